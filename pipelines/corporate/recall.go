package corporate

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"flowgate/messages"
	"flowgate/pipelines"
	"flowgate/pipelines/flow"
)

// Gap is why a decision on record cannot be made again.
type Gap string

// The gaps.
const (
	// GapNothing: the record has no decision of layer 1.
	GapNothing Gap = "nothing_decided"
	// GapOlder: an older version wrote the record, without the facts.
	GapOlder Gap = "older_record"
	// GapSettings and GapPolicy: the version that decided is not kept.
	GapSettings Gap = "settings_unknown"
	GapPolicy   Gap = "policy_unknown"
	// GapAgreement: the terms of the agreement that decided are not kept.
	GapAgreement Gap = "agreement_unknown"
	// GapText: what is asked now needs a text that was not kept.
	GapText Gap = "text_needed"
)

// Recalled is a decision on record: by what it was made, and what came of it.
type Recalled struct {
	Seen  Seen
	Facts Facts
	Grant Grant

	Section *messages.CorporateSection
	// End is layer 1's; nil where it let the request go on.
	End *messages.End

	// unread tells that the runtime ended a message that nobody had read.
	unread bool
}

// Recall finds in a recorded envelope by what layer 1 decided. The gap is empty where all of it is there.
func Recall(at messages.Address, e *messages.Envelope) (Recalled, Gap) {
	s := e.Corporate
	switch {
	case s == nil:
		return Recalled{}, GapNothing
	case s.Facts == nil:
		return Recalled{Section: s}, GapOlder
	}
	r := Recalled{
		Section: s, Seen: recallSeen(e), Grant: recallGrant(s),
		Facts: Facts{
			Address: at, Now: s.StartedAt, SubmittedAt: e.SubmittedAt, IngressSeq: e.IngressSeq, Budgets: recallBudgets(s),
			Credential: s.Credential, Defaults: s.Defaults, Directory: DirectoryOf(s), Rates: recallRates(s), Serving: ServingOf(s),
			Meant: s.Facts.Meant,
		},
		unread: s.Facts.Ended && len(s.Checks) == 0,
	}
	if !s.Facts.DecidedAt.IsZero() {
		r.Facts.Now = s.Facts.DecidedAt
	}
	if e.End != nil && e.End.Layer == messages.LayerCorporate {
		r.End = e.End
	}
	for _, c := range s.Checks {
		switch {
		case c.Name == "cancelled":
			r.Facts.Cancelled = pipelines.Cancelled(c.Detail)
		case c.Name == "pause":
			r.Facts.Paused = c.Detail
		case c.Name == "document" && c.State == fail:
			r.Seen.Fault = recallFault(c.Detail, r.End)
		case c.Name == "identity" && c.State == fail:
			r.Seen.Stranger = recallFault(strings.TrimPrefix(c.Detail, "field "), r.End)
		}
	}
	return r, ""
}

// Terms names what was kept of the agreement that decided; empty: none did, or the settings have it.
func (r *Recalled) Terms() string {
	if a := r.Section.Facts.Agreement; a != nil {
		return a.Terms
	}
	return ""
}

// Under tells the agreement that Terms names.
func (r *Recalled) Under(a flow.Agreement) {
	fact := r.Section.Facts.Agreement
	e := flow.Entry{Agreement: a, State: flow.State(fact.State)}
	if ref := r.Section.Agreement; ref != nil {
		e.Revision = ref.Revision
	}
	r.Facts.Agreement = &Agreed{Entry: e, By: AgreedBy(fact.By), Confidence: fact.Confidence}
}

func recallSeen(e *messages.Envelope) Seen {
	s := e.Corporate
	seen := Seen{
		Kind: e.Kind, UserID: s.UserID, Department: s.Department, AuditReason: s.AuditReason, Purpose: s.Purpose,
		ReasonLength: s.ReasonLength, Priority: s.Priority, Model: s.RequestedModel, Trigger: s.Facts.Trigger, ToldTrigger: s.Facts.Trigger, PartOf: s.PartOf, CorrelationID: s.CorrelationID,
		Temperature: s.Facts.Temperature, MaxTokens: s.Facts.MaxTokens,
		PromptBytes: s.PromptBytes, Turns: s.Turns, InputBound: s.InputBound, Images: s.Images, Tools: s.Tools, Inputs: s.Inputs, Found: s.Facts.Found, Growth: s.Facts.Growth,
	}
	if !e.NotAfter.IsZero() {
		seen.NotAfter = &e.NotAfter
	}
	if s.Agreement != nil {
		seen.Trigger, seen.ToldTrigger = s.Agreement.Trigger, s.Agreement.Trigger
	}
	if slices.ContainsFunc(s.Checks, func(c messages.Check) bool { return c.Name == "personal_data" && c.State != notApplicable }) {
		seen.InputBound -= seen.Growth
		for _, f := range s.Findings {
			f.Action = ""
			seen.Found = append(seen.Found, f)
		}
	}
	return seen
}

// recallFault makes a fault again out of what its check says, "<field>: <rule>", and out of the end that it was.
func recallFault(detail string, end *messages.End) *messages.FieldError {
	if end != nil && detail == end.Field+": "+end.Detail {
		return &messages.FieldError{Field: end.Field, Rule: end.Detail, Reason: end.Reason}
	}
	field, rule, _ := strings.Cut(detail, ": ")
	return &messages.FieldError{Field: field, Rule: rule}
}

func recallGrant(s *messages.CorporateSection) Grant {
	g := Grant{Approved: s.Verdict == messages.VerdictApproved, Reason: s.Reason, Blocked: s.RateBlocked, RetryAt: s.RetryAt, Now: s.FinishedAt}
	g.Least = g.Approved && s.BillableAttempts == 1 && s.ReservedMicroUSD == s.BoundMicroUSD && len(s.Scopes) > 0
	return g
}

func recallRates(s *messages.CorporateSection) []Rate {
	var all []Rate
	for _, r := range s.Facts.Rates {
		all = append(all, Rate{RateKind(r.Kind), r.Name, RateLimits{r.RequestsMinute, r.RequestsHour, r.TokensMinute, r.TokensHour, Excess(r.Excess)}})
	}
	return all
}

func recallBudgets(s *messages.CorporateSection) []Budget {
	var all []Budget
	for _, b := range s.Facts.Budgets {
		budget := Budget{Kind: BudgetKind(b.Kind), Limits: Limits{b.Request, b.Day, b.Month}}
		switch budget.Kind {
		case BudgetUser:
			budget.Name = s.UserID
		case BudgetDepartment:
			budget.Name = s.Department
		case BudgetAgreement:
			budget.Name = s.Facts.Trigger
			if s.Agreement != nil {
				budget.Name = s.Agreement.Trigger
			}
		case BudgetTenant:
		}
		all = append(all, budget)
	}
	return all
}

// factsFor are the facts that the section does not say anyway.
func factsFor(s *Seen, f Facts) *messages.CorporateFacts {
	facts := &messages.CorporateFacts{
		Temperature: s.Temperature, MaxTokens: s.MaxTokens, Trigger: s.ToldTrigger, Growth: s.Growth, Found: s.Found,
	}
	for _, b := range f.Budgets {
		facts.Budgets = append(facts.Budgets, messages.BudgetFact{Kind: string(b.Kind), Request: b.Request, Day: b.Day, Month: b.Month})
	}
	for _, r := range f.Rates {
		facts.Rates = append(facts.Rates, messages.RateFact{
			Kind: string(r.Kind), Name: r.Name, RequestsMinute: r.RequestsMinute, RequestsHour: r.RequestsHour,
			TokensMinute: r.TokensMinute, TokensHour: r.TokensHour, Excess: string(r.Excess),
		})
	}
	return facts
}

// Since makes a decision one on a request that the layer first took up at an earlier time.
func (d *Decision) Since(first time.Time) {
	if facts := d.Section.Facts; facts != nil && !first.Equal(d.Section.StartedAt) {
		facts.DecidedAt = d.Section.StartedAt
	}
	d.Section.StartedAt = first
}

// EndedBy lets a refusal end the request, whatever was decided.
func (d *Decision) EndedBy(r *pipelines.Refusal) {
	d.Refusal, d.Section.Facts = r, d.Section.Facts.End()
}

// Again makes the decision again under a policy. Where that lets pass what a check had refused, nobody has asked the ledger: the
// grant says so by approving it.
func (r Recalled) Again(p Policy) (Decision, messages.CorporateSection, *messages.End) {
	var d Decision
	if r.unread {
		d = Ended(nil, r.Facts, p)
	} else {
		d = Judge(&r.Seen, r.Facts, p)
	}
	if r.Section.Facts.BehindModel {
		d.behindModel()
	}
	d.Since(r.Section.StartedAt)
	g := r.Grant
	switch {
	case r.Section.Facts.Ended && r.End != nil:
		d.EndedBy(&pipelines.Refusal{Status: r.End.Status, Reason: r.End.Reason, Field: r.End.Field, Detail: r.End.Detail, RetryAt: r.End.RetryAt})
		d.Section.RateBlocked, d.Section.RetryAt = r.Section.RateBlocked, r.Section.RetryAt
	case slices.ContainsFunc(r.Section.Checks, func(c messages.Check) bool { return c.State == fail }):
		g = Grant{Approved: true, Now: g.Now}
	}
	e := &messages.Envelope{}
	Conclude(e, d, g)
	return d, *e.Corporate, e.End
}

// Differences names the fields in which two decisions differ: of the section, and of the end.
func Differences(was, now *messages.CorporateSection, wasEnd, nowEnd *messages.End) []string {
	names := differing(was, now)
	if wasEnd == nil || nowEnd == nil {
		if (wasEnd == nil) != (nowEnd == nil) {
			names = append(names, "end")
		}
		return names
	}
	a, b := *wasEnd, *nowEnd
	a.CostMicroUSD, b.CostMicroUSD = 0, 0 // an earlier epoch's calls are no decision
	for _, name := range differing(a, b) {
		names = append(names, "end."+name)
	}
	return names
}

func differing(a, b any) []string {
	x, y := fields(a), fields(b)
	var names []string
	for name, value := range x {
		if !bytes.Equal(value, y[name]) {
			names = append(names, name)
		}
	}
	for name := range y {
		if _, both := x[name]; !both {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func fields(v any) map[string]json.RawMessage {
	var all map[string]json.RawMessage
	data, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(data, &all)
	}
	if err != nil {
		panic(err) // plain data
	}
	return all
}

// Again is what another decision makes of one on record.
type Again string

// The words.
const (
	// AgainSame: what was decided stands.
	AgainSame Again = "same"
	// AgainDenied: what was let through would be refused; AgainPassed: what was refused would go on to the ledger.
	AgainDenied Again = "would_be_denied"
	AgainPassed Again = "would_pass"
	// AgainOtherwise: it would be refused for something else, or go on as something else: another model, other flags, other bounds
	// of the answer, another treatment of what was found.
	AgainOtherwise Again = "otherwise"
)

// Word says what a decision, made again under other rules, makes of the one on record.
func (r Recalled) Word(now *messages.CorporateSection, end *messages.End) Again {
	was := r.Section
	switch {
	case r.End == nil && end != nil:
		return AgainDenied
	case r.End != nil && end == nil:
		return AgainPassed
	case end != nil && (end.Reason != r.End.Reason || refuser(was) != refuser(now)):
		return AgainOtherwise
	case end == nil && (was.Model != now.Model || was.MaxTokens != now.MaxTokens || was.Temperature != now.Temperature),
		!sameFlags(was.Flags, now.Flags), !slices.Equal(was.Findings, now.Findings):
		return AgainOtherwise
	}
	return AgainSame
}

// Refuser is the check that refused, and of the company's policy the rule; empty: none did.
func Refuser(s *messages.CorporateSection) (check, rule string) {
	for _, c := range s.Checks {
		if c.State != fail {
			continue
		}
		if said, is := strings.CutPrefix(c.Detail, "rule "); is && c.Name == "policy" {
			rule, _, _ = strings.Cut(said, ":")
		}
		return c.Name, rule
	}
	return "", ""
}

func refuser(s *messages.CorporateSection) string {
	check, rule := Refuser(s)
	return check + " " + rule
}

func sameFlags(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}
