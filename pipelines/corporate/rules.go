package corporate

import (
	"fmt"
	"slices"

	"flowgate/messages"
	"flowgate/pipelines"
	"flowgate/pipelines/policy"
	"flowgate/pipelines/privacy"
)

// checkPolicy judges by the company's rules. It leaves no trace where there are none.
func checkPolicy(d *Decision, _ *Seen, f Facts, p Policy) (string, string, *refusal) {
	if p.Rules == nil {
		return "", "", nil
	}
	d.Section.BundleVersion, d.Section.PolicyTicket = p.Rules.Version(), p.Rules.Ticket()
	facts := FactsOf(d.Kind, &d.Section, f)
	out := p.Rules.Decide(&facts)
	d.Section.Flags = out.Flagged
	switch {
	case out.Failed != nil: // what it says may hold what was asked: the rule's name is enough
		detail := "rule " + out.Denied
		return fail, detail, pipelines.Deny(messages.ReasonPolicyError, "", detail)
	case out.Denied != "":
		detail := "rule " + out.Denied
		if out.Because != "" {
			detail = fmt.Sprintf("rule %s: %s", out.Denied, out.Because)
		}
		return fail, detail, pipelines.Deny(messages.ReasonPolicyDenied, "", detail)
	}
	return pass, p.Rules.Bundle().Name, nil
}

// FactsOf are the facts that rules judge by. All of them are in the record, so that a decision can be made again.
func FactsOf(kind messages.Kind, s *messages.CorporateSection, f Facts) policy.Facts {
	facts := policy.Facts{
		Tenant: f.Tenant, ID: f.ID, Class: string(f.Class), Kind: string(kind), Priority: string(s.Priority),
		User: s.UserID, Department: s.Department, Purpose: s.Purpose, ReasonLength: int64(s.ReasonLength),
		Model: s.Model, Temperature: s.Temperature, MaxTokens: int64(s.MaxTokens), BoundMicroUSD: s.BoundMicroUSD,
		PromptBytes: s.PromptBytes, Turns: int64(s.Turns),
		Images: int64(s.Images), Tools: int64(s.Tools), Inputs: int64(s.Inputs), Now: f.Now, Submitted: f.SubmittedAt,
	}
	if s.Agreement != nil {
		facts.Trigger = s.Agreement.Trigger
	}
	for _, found := range s.Findings {
		if facts.Findings == nil {
			facts.Findings = make(map[string]int64, len(s.Findings))
		}
		facts.Findings[found.Type] = int64(found.Count)
		if c := string(privacy.Type(found.Type).Class()); !slices.Contains(facts.Data, c) {
			facts.Data = append(facts.Data, c)
		}
	}
	return facts
}
