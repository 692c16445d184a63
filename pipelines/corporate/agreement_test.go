package corporate_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"flowgate/messages"
	"flowgate/pipelines/corporate"
	"flowgate/pipelines/flow"
)

// agreed is an approved agreement that a request names.
func agreed(change func(*flow.Entry)) *corporate.Agreed {
	e := flow.Entry{Agreement: flow.Agreement{Trigger: "[Report]", FlowEncoding: "@a#b!c@d", Action: "x", Version: "7"}, State: flow.StateApproved, Revision: 4}
	if change != nil {
		change(&e)
	}
	return &corporate.Agreed{Entry: e, By: corporate.AgreedByTrigger}
}

func TestAnAgreementBoundsWhatRunsUnderIt(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*flow.Entry)
		want   messages.Reason
		check  string
	}{
		"nothing":            {func(*flow.Entry) {}, "", ""},
		"it is suspended":    {func(e *flow.Entry) { e.State = flow.StateSuspended }, messages.ReasonAgreementSuspended, "agreement"},
		"it is a draft":      {func(e *flow.Entry) { e.State = flow.StateDraft }, messages.ReasonAgreementNotApproved, "agreement"},
		"it is retired":      {func(e *flow.Entry) { e.State = flow.StateRetired }, messages.ReasonAgreementNotApproved, "agreement"},
		"it has expired":     {func(e *flow.Entry) { e.ValidUntil = noon }, messages.ReasonAgreementExpired, "agreement"},
		"it begins later":    {func(e *flow.Entry) { e.ValidFrom = noon.Add(1) }, messages.ReasonAgreementNotYetValid, "agreement"},
		"another tenant's":   {func(e *flow.Entry) { e.Tenants = []string{"other"} }, messages.ReasonAgreementNotAllowed, "agreement"},
		"another purpose":    {func(e *flow.Entry) { e.Allowed.Purposes = []string{"review"} }, messages.ReasonPurposeNotAllowed, "agreement"},
		"another model":      {func(e *flow.Entry) { e.Allowed.Models = []string{"haiku"} }, messages.ReasonModelNotAllowed, "allowed_model"},
		"the model's alias":  {func(e *flow.Entry) { e.Allowed.Models = []string{"sonnet"} }, "", ""},
		"a request's money":  {func(e *flow.Entry) { e.Limits.RequestMicroUSD = 2000 }, messages.ReasonLimitRequest, "cost"},
		"enough money":       {func(e *flow.Entry) { e.Limits.RequestMicroUSD = 9_000 }, "", ""},
		"another backend":    {func(e *flow.Entry) { e.Allowed.Backends = []string{"z"} }, "", ""}, // layer 2 finds none
		"a class of data":    {func(e *flow.Entry) { e.Allowed.Data = []string{"none"} }, messages.ReasonDataNotAllowed, "data"},
		"a level of nothing": {func(e *flow.Entry) { e.ComplianceLevel = "" }, "", ""},
	} {
		r, f, p := setup(t)
		p.Agreements = nil
		r.Trigger = "[Report]"
		f.Agreement = agreed(c.change)
		d := corporate.Decide(r, f, p)
		got := messages.Reason("")
		if d.Refusal != nil {
			got = d.Refusal.Reason
		}
		if got == messages.ReasonAgreementSuspended && d.Refusal.Detail != "[Report] version 7" {
			t.Errorf("%s: it says %q", name, d.Refusal.Detail)
		}
		last := d.Section.Checks[len(d.Section.Checks)-1]
		if got != c.want || c.want != "" && last.Name != c.check || d.Section.Agreement == nil || d.Section.Agreement.Version != "7" || d.Section.Agreement.Revision != 4 {
			t.Errorf("%s: %q at %+v, want %q; agreement %+v", name, got, last, c.want, d.Section.Agreement)
		}
	}
}

func TestTheLeastMoneyOfAnAgreementCounts(t *testing.T) {
	_, f, p := setup(t)
	limit := func(set, own corporate.Limits) corporate.Limits {
		f.Budgets = nil
		if set != (corporate.Limits{}) {
			f.Budgets = []corporate.Budget{{Kind: corporate.BudgetAgreement, Name: "[Report]", Limits: set}}
		}
		f.Agreement = agreed(func(e *flow.Entry) {
			e.Limits = flow.Limits{RequestMicroUSD: own.Request, DayMicroUSD: own.Day, MonthMicroUSD: own.Month}
		})
		r, _, _ := setup(t)
		d := corporate.Decide(r, f, p)
		var got corporate.Limits
		for _, s := range d.Scopes {
			if strings.HasPrefix(s.Name, "agreement:acme/[Report]:day:2026-01-31") {
				got.Day = s.Limit
			}
			if strings.HasPrefix(s.Name, "agreement:acme/[Report]:month:2026-01") {
				got.Month = s.Limit
			}
		}
		return got
	}
	for name, c := range map[string]struct{ set, own, want corporate.Limits }{
		"none":            {},
		"its own":         {own: corporate.Limits{Day: 5, Month: 9}, want: corporate.Limits{Day: 5, Month: 9}},
		"the operators'":  {set: corporate.Limits{Day: 5, Month: 9}, want: corporate.Limits{Day: 5, Month: 9}},
		"the least":       {set: corporate.Limits{Day: 5, Month: 9}, own: corporate.Limits{Day: 6, Month: 8}, want: corporate.Limits{Day: 5, Month: 8}},
		"what one leaves": {set: corporate.Limits{Day: 5}, own: corporate.Limits{Month: 8}, want: corporate.Limits{Day: 5, Month: 8}},
	} {
		if got := limit(c.set, c.own); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

func TestCallsOfAnAgreementCountInADayOfTheCalendar(t *testing.T) {
	r, f, p := setup(t)
	zone, err := time.LoadLocation("Asia/Tokyo")
	if err != nil {
		t.Fatal(err)
	}
	p.Location, f.Now = zone, time.Date(2026, 1, 31, 15, 30, 0, 0, time.UTC) // half past midnight there
	f.Agreement = agreed(func(e *flow.Entry) { e.Limits.CallsDay = 10 })
	d := corporate.Decide(r, f, p)
	want := "rate:acme/agreement/[Report]:day:2026-02-01"
	at := slices.IndexFunc(d.Rates, func(s corporate.RateScope) bool { return s.Name == want })
	if at < 0 || d.Rates[at].Requests != 10 || d.Rates[at].Wait || d.Rates[at].Reason != messages.ReasonAgreementExhausted || d.Rates[at].Window.Span() < 20*24*time.Hour {
		t.Fatalf("got %+v", d.Rates)
	}
	span := d.Rates[at].Window.Span().Milliseconds()
	if begin := time.Date(2026, 2, 1, 0, 0, 0, 0, zone); begin.UnixMilli()/span != begin.AddDate(0, 0, 1).UnixMilli()/span {
		t.Errorf("a window of %d ms begins in the middle of the day", span)
	}
	e := &messages.Envelope{}
	corporate.Conclude(e, d, corporate.Grant{Reason: messages.ReasonAgreementExhausted, Blocked: want, RetryAt: f.Now.Add(1 << 60), Now: f.Now})
	if e.End.Status != messages.StatusDenied || e.End.Reason != messages.ReasonAgreementExhausted || e.End.Field != "trigger" || !e.Corporate.RetryAt.IsZero() || !e.End.RetryAt.IsZero() {
		t.Errorf("ended as %+v", e.End)
	}
}

func TestHowARequestComesToItsAgreement(t *testing.T) {
	approved := func(trigger string, tenants ...string) flow.Entry {
		return flow.Entry{Agreement: flow.Agreement{Trigger: trigger, FlowEncoding: "@a#b!c@d", Action: "x", DefaultFor: tenants}, State: flow.StateApproved}
	}
	book, err := flow.Bind([]flow.Entry{approved("[Cost Analysis]"), approved("[Error Analysis]"), approved("[House]", "acme")})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		request messages.Request
		tenant  string
		texts   bool
		trigger string
		by      corporate.AgreedBy
		meant   int
	}{
		"by its trigger":               {messages.Request{Prompt: "x", Trigger: "[Cost Analysis]"}, "acme", true, "[Cost Analysis]", corporate.AgreedByTrigger, 0},
		"by its text":                  {messages.Request{Prompt: "run the cost analysis"}, "acme", true, "[Cost Analysis]", corporate.AgreedByText, 0},
		"by what it says last":         {messages.Request{Messages: []messages.Message{{Role: "user", Content: "error analysis"}, {Role: "assistant", Content: "yes"}, {Role: "user", Content: "rather the cost analysis"}}}, "acme", true, "[Cost Analysis]", corporate.AgreedByText, 0},
		"by its tenant":                {messages.Request{Prompt: "hello"}, "acme", true, "[House]", corporate.AgreedByDefault, 0},
		"its text does not count":      {messages.Request{Prompt: "run the cost analysis"}, "acme", false, "[House]", corporate.AgreedByDefault, 0},
		"none":                         {messages.Request{Prompt: "hello"}, "other", true, "", "", 0},
		"an ambiguous text":            {messages.Request{Prompt: "cost analysis and error analysis"}, "acme", true, "", "", 2},
		"an unknown trigger":           {messages.Request{Prompt: "hello", Trigger: "[Nothing]"}, "acme", true, "", "", 0},
		"a trigger that comes near":    {messages.Request{Prompt: "hello", Trigger: "[cost analysis]"}, "acme", true, "", "", 2},
		"a workflow's text says none":  {messages.Request{Operation: "fix_errors"}, "other", true, "", "", 0},
		"a trigger goes before a text": {messages.Request{Prompt: "cost analysis", Trigger: "[Error Analysis]"}, "acme", true, "[Error Analysis]", corporate.AgreedByTrigger, 0},
	} {
		a, meant := corporate.Agree(&c.request, c.tenant, book, c.texts)
		switch {
		case c.trigger == "" && (a != nil || len(meant) != c.meant):
			t.Errorf("%s: %+v, meant %v", name, a, meant)
		case c.trigger != "" && (a == nil || a.Trigger != c.trigger || a.By != c.by || meant != nil):
			t.Errorf("%s: %+v, meant %v", name, a, meant)
		}
	}
}

func TestWhatARequestMayMeanIsNamed(t *testing.T) {
	r, f, p := setup(t)
	p.Agreements = nil
	f.Meant = []string{"[Cost Analysis]", "[Error Analysis]"}
	if d := corporate.Decide(r, f, p); d.Refusal == nil || d.Refusal.Reason != messages.ReasonAgreementAmbiguous || !strings.Contains(d.Refusal.Detail, "[Error Analysis]") {
		t.Errorf("got %+v", d.Refusal)
	}
	r.Trigger = "[Cost]"
	if d := corporate.Decide(r, f, p); d.Refusal == nil || d.Refusal.Reason != messages.ReasonAgreementUnknown || !strings.Contains(d.Refusal.Detail, "[Cost Analysis]") {
		t.Errorf("got %+v", d.Refusal)
	}
}
