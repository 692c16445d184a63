package ai

import (
	"slices"

	"flowgate/messages"
	"flowgate/pipelines/compliance"
	"flowgate/pipelines/corporate"
	"flowgate/pipelines/privacy"
)

// beforeCall judges by the controls that apply once it is known who would be asked, and what of it they would see.
func beforeCall(e *messages.Envelope, f Facts, p Policy, b BackendFact, s privacy.Screened) compliance.Outcome {
	facts := ControlFacts(e, f)
	facts.Backend, facts.Region = b.Name, b.Region
	_, facts.Unmasked = compliance.Classes(s.Findings)
	return p.Controls.Judge(compliance.StageCall, facts, corporate.Levels(e.Corporate, p.ComplianceLevel)...)
}

// AfterAnswer judges by the controls that apply to an answer that nobody has yet.
func AfterAnswer(e *messages.Envelope, s *messages.AISection, f Facts, p Policy) compliance.Outcome {
	if e.Corporate == nil {
		return compliance.Outcome{}
	}
	return p.Controls.Judge(compliance.StageAfter, ControlFacts(e, f).WithAnswer(s), corporate.Levels(e.Corporate, p.ComplianceLevel)...)
}

// Unanswered completes the section of a request that ends after calls that brought no answer: what was judged before them, and the
// controls of the end, which no other layer judges any more.
func Unanswered(e *messages.Envelope, s *messages.AISection, plan Plan, f Facts, p Policy) {
	s.Findings, s.Region, s.ControlsVersion = plan.Screened.Findings, plan.Backend.Region, p.Controls.Version()
	facts := ControlFacts(e, f).WithAnswer(s)
	facts.Backend = plan.Backend.Name
	out := p.Controls.Judge(compliance.StageEnd, facts, corporate.Levels(e.Corporate, p.ComplianceLevel)...)
	s.Controls = slices.Concat(plan.Controls, out.Results)
}

// ControlFacts are the facts that controls judge by, as far as they are known before there is an answer.
func ControlFacts(e *messages.Envelope, f Facts) compliance.Facts {
	known := corporate.Facts{Address: f.Address, Now: f.Now, SubmittedAt: e.SubmittedAt}
	return corporate.ControlFacts(e.Kind, e.Corporate, known).WithCalls(e.History)
}

// Withhold takes an answer out of a section: it is paid for, and nobody gets it.
func Withhold(s *messages.AISection) {
	s.Answer, s.AnswerClaim, s.AnswerLength, s.AnswerSHA256, s.ToolCalls = "", nil, 0, "", nil
}
