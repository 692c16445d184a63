package policy

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"

	"flowgate/pipelines/rule"
)

// Policy is a compiled bundle. It is safe for concurrent use. A nil one denies nothing.
type Policy struct {
	bundle  Bundle
	version string
	facts   *rule.Language[Facts]
	rules   []compiled
	ticket  string
}

type compiled struct {
	Rule

	when rule.Expression[Facts]
}

// Compile compiles a bundle. Its error joins every *Fault.
func Compile(b Bundle) (*Policy, error) {
	faults := b.check()
	facts, err := rule.New(vocabulary())
	if err != nil {
		return nil, err
	}
	p := &Policy{bundle: b, version: b.Version(), facts: facts}
	for i, r := range b.Rules {
		when, err := facts.Compile(r.When)
		if err != nil {
			faults = append(faults, fault(fmt.Sprintf("rules[%d].when", i), "%v", err))
			continue
		}
		p.rules = append(p.rules, compiled{r, when})
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return p, nil
}

// Bundle is what was compiled, Version its name; both are empty of a nil policy.
func (p *Policy) Bundle() Bundle {
	if p == nil {
		return Bundle{}
	}
	return p.bundle
}

// Version names the policy by its content; empty: there is none.
func (p *Policy) Version() string {
	if p == nil {
		return ""
	}
	return p.version
}

// ticketForm is a ticket's name: of a project and a number, or a number behind a word for it.
var ticketForm = regexp.MustCompile(`\b[A-Z][A-Z0-9]{1,9}-[0-9]{1,9}\b|(?i:\b(?:ticket|change|case|issue)\b)[ #:]{1,3}([A-Za-z0-9-]{0,20}[0-9])`)

// Under is the policy as it was activated for a reason, in which a ticket may be named.
func (p *Policy) Under(reason string) *Policy {
	activated := *p
	activated.ticket = ""
	if found := ticketForm.FindStringSubmatch(reason); found != nil {
		activated.ticket = cmp.Or(found[1], found[0])
	}
	return &activated
}

// WithTicket is the policy as it was activated under a ticket.
func (p *Policy) WithTicket(ticket string) *Policy {
	activated := *p
	activated.ticket = ticket
	return &activated
}

// Ticket is the ticket that the activation names; empty: it names none.
func (p *Policy) Ticket() string {
	if p == nil {
		return ""
	}
	return p.ticket
}

// Outcome is what a policy decided.
type Outcome struct {
	// Denied is the first rule, in the bundle's order, that denies; empty: none.
	Denied string
	// Because is what the rule says.
	Because string
	// Failed is set where the rule could not be evaluated, which denies.
	Failed error
	// Flagged are the rules that flag.
	Flagged []string
}

// Decide judges by every rule. What cannot be evaluated denies.
func (p *Policy) Decide(f *Facts) Outcome {
	var out Outcome
	if p == nil {
		return out
	}
	facts := p.facts.Bind(f)
	defer facts.Release()
	for i := range p.rules {
		r := &p.rules[i]
		holds, err := r.when.Holds(facts)
		switch {
		case err != nil && out.Denied == "":
			out.Denied, out.Failed = r.ID, err
		case !holds:
		case r.Effect == EffectFlag:
			out.Flagged = append(out.Flagged, r.ID)
		case out.Denied == "":
			out.Denied, out.Because = r.ID, r.Because
		}
	}
	return out
}

// CaseResult is how a case went.
type CaseResult struct {
	Name string `json:"name"`
	OK   bool   `json:"ok"`
	// Denied and Flagged are what was decided, Want... what the case demands.
	Denied      string   `json:"denied,omitempty"`
	Flagged     []string `json:"flagged,omitempty"`
	WantDenied  string   `json:"want_denied,omitempty"`
	WantFlagged []string `json:"want_flagged,omitempty"`
	// Error is why a rule could not be evaluated.
	Error string `json:"error,omitempty"`
}

// Test runs the bundle's own cases.
func (p *Policy) Test() []CaseResult { return p.TestCases(p.Bundle().Cases) }

// TestCases runs cases, of this bundle or of another.
func (p *Policy) TestCases(cases []Case) []CaseResult {
	all := make([]CaseResult, len(cases))
	for i := range cases {
		c := &cases[i]
		out := p.Decide(&c.Facts)
		all[i] = CaseResult{Name: c.Name, Denied: out.Denied, Flagged: out.Flagged, WantDenied: c.Denied, WantFlagged: c.Flagged}
		if out.Failed != nil {
			all[i].Error = out.Failed.Error()
		}
		all[i].OK = out.Failed == nil && out.Denied == c.Denied && slices.Equal(sorted(out.Flagged), sorted(c.Flagged))
	}
	return all
}

func sorted(s []string) []string { return slices.Sorted(slices.Values(s)) }
