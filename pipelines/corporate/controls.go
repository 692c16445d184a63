package corporate

import (
	"flowgate/messages"
	"flowgate/pipelines"
	"flowgate/pipelines/compliance"
)

// checkControls judges by the controls of compliance that apply before a model is asked. It leaves no trace where there are none.
func checkControls(d *Decision, _ *Seen, f Facts, p Policy) (string, string, *refusal) {
	s := &d.Section
	levels := Levels(s, p.ComplianceLevel)
	out := p.Controls.Judge(compliance.StageBefore, ControlFacts(d.Kind, s, f), levels...)
	s.Controls, s.ControlsDue = out.Results, p.Controls.Due(compliance.StageBefore, levels...)
	switch refused := pipelines.Gate(out); {
	case refused != nil:
		return fail, refused.Detail, refused
	case len(out.Results) == 0:
		return "", "", nil
	}
	return pass, s.ComplianceLevel, nil
}

// Levels are the levels of compliance that a request has to meet: the one it was admitted under, and its agreement's. own is that
// of who asks, for a request that was admitted by a version without controls.
func Levels(s *messages.CorporateSection, own string) []string {
	levels := []string{s.ComplianceLevel}
	if s.ControlsVersion == "" {
		levels[0] = own
	}
	if s.Agreement != nil {
		levels = append(levels, s.Agreement.ComplianceLevel)
	}
	return levels
}

// ControlFacts are the facts that controls judge by, as far as layer 1 knows them. All of them are in the record.
func ControlFacts(kind messages.Kind, s *messages.CorporateSection, f Facts) compliance.Facts {
	facts := compliance.Facts{
		Facts: FactsOf(kind, s, f), PolicyVersion: s.BundleVersion, PolicyTicket: s.PolicyTicket, ReservedMicroUSD: s.ReservedMicroUSD,
	}
	_, facts.Unmasked = compliance.Classes(s.Findings)
	if s.Agreement != nil {
		facts.AgreementOwner, facts.AgreementApprover = s.Agreement.Owner, s.Agreement.Approver
	}
	return facts
}
