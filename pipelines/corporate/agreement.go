package corporate

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"flowgate/messages"
	"flowgate/pipelines"
	"flowgate/pipelines/flow"
)

// Agree finds the agreement that a request runs under: the one whose trigger it names, the one that its text means where texts are
// matched, else its tenant's default. meant are triggers that come near, where none is found.
func Agree(r *messages.Request, tenant string, book *flow.Book, texts bool) (agreed *Agreed, meant []string) {
	near := func(m flow.Match) (triggers []string) {
		for _, c := range m.Candidates {
			triggers = append(triggers, c.Trigger)
		}
		return triggers
	}
	if r.Trigger != "" {
		if e, found := book.Find(r.Trigger); found {
			return &Agreed{Entry: e, By: AgreedByTrigger}, nil
		}
		return nil, near(book.MatchFor(tenant, r.Trigger))
	}
	if texts && r.Kind().AsksModel() {
		m := book.MatchFor(tenant, lastSaid(r))
		if e, found := book.Find(m.Trigger); found {
			return &Agreed{Entry: e, By: AgreedByText, Confidence: m.Confidence}, nil
		}
		if m.Ambiguous {
			return nil, near(m)
		}
	}
	if e, has := book.Default(tenant); has {
		return &Agreed{Entry: e, By: AgreedByDefault}, nil
	}
	return nil, nil
}

// lastSaid is what the user asks last.
func lastSaid(r *messages.Request) string {
	q := r.Question()
	for _, m := range slices.Backward(q.Messages) {
		if m.Role == "user" {
			return m.Content
		}
	}
	return ""
}

// note writes the agreement into a section.
func (a *Agreed) note(s *messages.CorporateSection) {
	ref := a.Ref()
	s.Agreement, s.Facts.Trigger = &ref, ""
	s.Facts.Agreement = &messages.AgreementFact{Terms: a.TermsVersion(), State: string(a.State), By: string(a.By), Confidence: a.Confidence}
}

// checkAgreement refuses what runs under no valid agreement although it should.
func checkAgreement(d *Decision, s *Seen, f Facts, p Policy) (string, string, *refusal) {
	deny := func(reason messages.Reason, detail string) (string, string, *refusal) {
		return fail, detail, pipelines.Deny(reason, "trigger", detail)
	}
	if f.Agreement == nil {
		if e, found := p.Agreements.Find(s.Trigger); found {
			f.Agreement = &Agreed{Entry: e}
		}
	}
	if f.Agreement == nil {
		d.Section.Facts.Meant = f.Meant
		switch {
		case s.Trigger == "" && len(f.Meant) > 0:
			return deny(messages.ReasonAgreementAmbiguous, "it may mean "+strings.Join(f.Meant, ", "))
		case s.Trigger == "":
			return notApplicable, "no trigger", nil
		case len(f.Meant) > 0:
			return deny(messages.ReasonAgreementUnknown, "near it are "+strings.Join(f.Meant, ", "))
		}
		return deny(messages.ReasonAgreementUnknown, "")
	}
	a := f.Agreement
	if a.By == "" { // of an older record
		ref := a.Ref()
		d.Section.Agreement, d.Section.Facts.Trigger = &ref, ""
	} else {
		a.note(&d.Section)
	}
	if reason := a.Refuses(f.Tenant, f.Now); reason != "" {
		if a.By == "" {
			return fail, a.Version, pipelines.Deny(reason, "trigger", "")
		}
		return fail, a.Version, pipelines.Deny(reason, "trigger", a.Named())
	}
	if allowed := a.Allowed.Purposes; len(allowed) > 0 && !slices.Contains(allowed, d.Section.Purpose) {
		detail := "the agreement is for " + strings.Join(allowed, ", ")
		return fail, detail, pipelines.Deny(messages.ReasonPurposeNotAllowed, "purpose", detail)
	}
	detail := a.Version
	switch a.By {
	case AgreedByText:
		detail = fmt.Sprintf("%s, by its text, confidence %.2f", a.Version, a.Confidence)
	case AgreedByDefault:
		detail += ", its tenant's default"
	case AgreedByExecution:
		detail += ", asked by its action"
	case AgreedByTrigger:
	}
	return pass, detail, nil
}

// agreementBudget adds what an agreement says of money to what operators set for it: the least counts.
func agreementBudget(all []Budget, a *Agreed) []Budget {
	if a == nil {
		return all
	}
	own := Limits{Request: a.Limits.RequestMicroUSD, Day: a.Limits.DayMicroUSD, Month: a.Limits.MonthMicroUSD}
	if own == (Limits{}) {
		return all
	}
	for i, b := range all {
		if b.Kind == BudgetAgreement {
			all[i].Request, all[i].Day, all[i].Month = least(b.Request, own.Request), least(b.Day, own.Day), least(b.Month, own.Month)
			return all
		}
	}
	return append(all, Budget{Kind: BudgetAgreement, Name: a.Trigger, Limits: own})
}

// least is the lower one of two limits, of which 0 is none.
func least(a, b int64) int64 {
	if a == 0 || b == 0 {
		return cmp.Or(a, b)
	}
	return min(a, b)
}

// TermsBody is what is kept of an agreement for deciding again.
func TermsBody(a flow.Agreement) []byte {
	data, err := json.Marshal(a.Terms())
	if err != nil {
		panic(err) // plain data
	}
	return data
}

// ReadTerms makes an agreement of what was kept.
func ReadTerms(body []byte) (flow.Agreement, error) {
	var a flow.Agreement
	if err := json.Unmarshal(body, &a); err != nil {
		return a, fmt.Errorf("reading an agreement on record: %w", err)
	}
	return a, nil
}

// TermsVersion names what is kept of the agreement.
func (a *Agreed) TermsVersion() string { return VersionOf(TermsBody(a.Agreement)) }

// checkCalls lets the ledger count the request among those of its agreement's day. What an action asks was counted with the request
// whose action it is.
func checkCalls(d *Decision, f Facts, p Policy) {
	a := f.Agreement
	if a == nil || a.Limits.CallsDay == 0 || a.By == AgreedByExecution {
		return
	}
	day := f.Now.In(p.Location)
	name := CallsName(f.Tenant, a.Trigger, day)
	d.Section.Rates = append(d.Section.Rates, messages.RateLimit{Name: name, Requests: a.Limits.CallsDay})
	d.Rates = append(d.Rates, RateScope{Name: name, Window: dayWindow(day), Requests: a.Limits.CallsDay, Reason: messages.ReasonAgreementExhausted})
}

// CallsName names what counts the requests of an agreement on a day, in the ledger and in the record.
func CallsName(tenant, trigger string, day time.Time) string {
	return "rate:" + tenant + "/agreement/" + trigger + DayWindow(day)
}
