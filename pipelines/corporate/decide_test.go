package corporate_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"flowgate/messages"
	"flowgate/pipelines"
	"flowgate/pipelines/corporate"
	"flowgate/pipelines/flow"
	"flowgate/pipelines/pricing"
	"flowgate/pipelines/privacy"
)

var (
	noon = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	key  = messages.Key{Tenant: "acme", ID: "r1"}
)

// model costs $1 a million tokens in and $2 out: a call with max_tokens 1000 and a one-byte prompt is bounded at 2033.
const model = "claude-3-sonnet-20240229"

func setup(t testing.TB) (*messages.Request, corporate.Facts, corporate.Policy) {
	t.Helper()
	prices, err := pricing.NewTable([]pricing.Row{{Model: model, Version: "p1", Input: 1_000_000, Output: 2_000_000}})
	if err != nil {
		t.Fatal(err)
	}
	book, err := flow.NewBook([]flow.Agreement{
		{Trigger: "[Always]", FlowEncoding: "@a#b!c@d", Action: "x", Version: "a1", SLASeconds: 30},
		{Trigger: "[Past]", FlowEncoding: "@a#b!c@d", Action: "x", Version: "a2", ValidUntil: noon},
		{Trigger: "[Future]", FlowEncoding: "@a#b!c@d", Action: "x", Version: "a3", ValidFrom: noon.Add(1)},
	})
	if err != nil {
		t.Fatal(err)
	}
	policy := corporate.Policy{
		Version: "s1", MinAuditReason: 3, DefaultModel: "sonnet", Aliases: map[string]string{"sonnet": model},
		Prices: prices, Agreements: book, BillableAttempts: 2, Location: time.UTC,
		Limits: corporate.Limits{Request: 1_000_000, Day: 100_000_000, Month: 3_000_000_000},
	}
	facts := corporate.Facts{Address: messages.Address{Key: key, Class: messages.ClassStd}, Now: noon, SubmittedAt: noon.Add(-time.Second), IngressSeq: 7}
	request := &messages.Request{Prompt: "x", AuditReason: "quarterly report", UserID: "u1", Department: "finance"}
	return request, facts, policy
}

func TestRefusalsHaveTheirReasonFieldAndNothingReserved(t *testing.T) {
	type change func(*messages.Request, *corporate.Facts, *corporate.Policy)
	for name, c := range map[string]struct {
		change change
		reason messages.Reason
		field  string
		check  string
	}{
		"a tenant that is not the subject's": {func(r *messages.Request, _ *corporate.Facts, _ *corporate.Policy) { r.Tenant = "other" }, messages.ReasonIDMismatch, "tenant", "identity"},
		"an id that is not the subject's":    {func(r *messages.Request, _ *corporate.Facts, _ *corporate.Policy) { r.ID = "r2" }, messages.ReasonIDMismatch, "id", "identity"},
		"a class that is not the subject's":  {func(r *messages.Request, _ *corporate.Facts, _ *corporate.Policy) { r.Class = "rt" }, messages.ReasonIDMismatch, "class", "identity"},
		"no audit reason":                    {func(r *messages.Request, _ *corporate.Facts, _ *corporate.Policy) { r.AuditReason = "" }, messages.ReasonAuditReasonMissing, "audit_reason", "audit_reason"},
		"an audit reason of spaces":          {func(r *messages.Request, _ *corporate.Facts, _ *corporate.Policy) { r.AuditReason = " \u00a0 " }, messages.ReasonAuditReasonMissing, "audit_reason", "audit_reason"},
		"too short an audit reason":          {func(r *messages.Request, _ *corporate.Facts, _ *corporate.Policy) { r.AuditReason = " äö " }, messages.ReasonAuditReasonTooShort, "audit_reason", "audit_reason"},
		"no user":                            {func(r *messages.Request, _ *corporate.Facts, _ *corporate.Policy) { r.UserID = " " }, messages.ReasonUserMissing, "user_id", "user"},
		"a user who says unknown":            {func(r *messages.Request, _ *corporate.Facts, _ *corporate.Policy) { r.UserID = "unknown" }, messages.ReasonUserMissing, "user_id", "user"},
		"no department":                      {func(r *messages.Request, _ *corporate.Facts, _ *corporate.Policy) { r.Department = "" }, messages.ReasonDepartmentMissing, "department", "department"},
		"a deadline that has passed":         {func(r *messages.Request, _ *corporate.Facts, _ *corporate.Policy) { r.NotAfter = new(noon.Add(-1)) }, messages.ReasonDeadlinePassed, "not_after", "deadline"},
		"an agreement nobody made":           {func(r *messages.Request, _ *corporate.Facts, _ *corporate.Policy) { r.Trigger = "[None]" }, messages.ReasonAgreementUnknown, "trigger", "agreement"},
		"an agreement that has expired":      {func(r *messages.Request, _ *corporate.Facts, _ *corporate.Policy) { r.Trigger = "[Past]" }, messages.ReasonAgreementExpired, "trigger", "agreement"},
		"an agreement of the future":         {func(r *messages.Request, _ *corporate.Facts, _ *corporate.Policy) { r.Trigger = "[Future]" }, messages.ReasonAgreementNotYetValid, "trigger", "agreement"},
		"data that nobody may see": {func(r *messages.Request, _ *corporate.Facts, p *corporate.Policy) {
			r.Prompt, p.Privacy = "card 4111111111111111", privacy.NewGuard(privacy.Rules{Request: privacy.Actions{"payment": "deny"}})
		}, messages.ReasonPersonalData, "prompt", "personal_data"},
		"a model without a price": {func(r *messages.Request, _ *corporate.Facts, _ *corporate.Policy) { r.Model = "gpt-9" }, messages.ReasonModelUnknown, "model", "cost"},
		"a model that is not allowed": {func(_ *messages.Request, _ *corporate.Facts, p *corporate.Policy) {
			p.AllowedModels = map[string]bool{"other": true}
		}, messages.ReasonModelNotAllowed, "model", "model"},
		"an alias on the allow-list only": {func(r *messages.Request, _ *corporate.Facts, p *corporate.Policy) {
			r.Model, p.AllowedModels = "sonnet", map[string]bool{"sonnet": true}
		}, messages.ReasonModelNotAllowed, "model", "model"},
		"a request that could cost too much": {func(r *messages.Request, _ *corporate.Facts, p *corporate.Policy) {
			r.MaxTokens, p.Limits.Request = new(1000), 2032
		}, messages.ReasonLimitRequest, "max_tokens", "cost"},
	} {
		t.Run(name, func(t *testing.T) {
			r, f, p := setup(t)
			c.change(r, &f, &p)
			d := corporate.Decide(r, f, p)
			if d.Refusal == nil || d.Refusal.Reason != c.reason || d.Refusal.Field != c.field {
				t.Fatalf("got %+v, want %s about %s", d.Refusal, c.reason, c.field)
			}
			if d.Amount != 0 || d.Scopes != nil || d.Section.ReservedMicroUSD != 0 {
				t.Errorf("a refusal reserves %d in %v", d.Amount, d.Scopes)
			}
			last := d.Section.Checks[len(d.Section.Checks)-1]
			if last.Name != c.check || last.State != "fail" {
				t.Errorf("the last check is %+v, want %s to fail", last, c.check)
			}
		})
	}
}

func TestChecksRunInOneOrder(t *testing.T) {
	r, f, p := setup(t)
	var names []string
	for _, c := range corporate.Decide(r, f, p).Section.Checks {
		names = append(names, c.Name)
	}
	want := []string{"identity", "audit_reason", "user", "department", "deadline", "agreement", "model", "cost"}
	if !slices.Equal(names, want) {
		t.Errorf("got %v", names)
	}
}

func TestDefaultsStandInForWhatIsLeftOut(t *testing.T) {
	r, f, p := setup(t)
	r.UserID, r.Department, p.AllowUnknownUser, p.AllowUnknownDepartment = "", " ", true, true
	d := corporate.Decide(r, f, p)
	s := d.Section
	if d.Refusal != nil || s.MaxTokens != 2000 || s.Temperature != 0.7 || s.Priority != messages.PriorityNormal || s.Model != model {
		t.Errorf("got %+v, %+v", s, d.Refusal)
	}
	if s.UserID != "unknown" || s.Department != "unknown" {
		t.Errorf("user %q, department %q", s.UserID, s.Department)
	}
	if d.ResumeAt != messages.StateAI || !d.NotBefore.IsZero() || d.Kind != messages.KindPrompt {
		t.Errorf("got %+v", d)
	}
}

func TestZeroTemperatureIsAValue(t *testing.T) {
	r, f, p := setup(t)
	r.Temperature = new(0.0)
	if got := corporate.Decide(r, f, p).Section.Temperature; got != 0 {
		t.Errorf("temperature 0 became %v", got)
	}
}

func TestLifetimes(t *testing.T) {
	for name, c := range map[string]struct {
		class               messages.Class
		notBefore, notAfter time.Duration // from submission; 0: left out
		want                time.Duration
	}{
		"a day":                        {messages.ClassStd, 0, 0, 24 * time.Hour},
		"a day for rt":                 {messages.ClassRT, 0, 0, 24 * time.Hour},
		"three days for batch":         {messages.ClassBatch, 0, 0, 72 * time.Hour},
		"as the request says":          {messages.ClassBatch, 0, time.Hour, time.Hour},
		"a day from a late not_before": {messages.ClassStd, 48 * time.Hour, 0, 72 * time.Hour},
		"a day with a past not_before": {messages.ClassStd, -48 * time.Hour, 0, 24 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			r, f, p := setup(t)
			f.Class = c.class
			if c.notBefore != 0 {
				r.NotBefore = new(f.SubmittedAt.Add(c.notBefore))
			}
			if c.notAfter != 0 {
				r.NotAfter = new(f.SubmittedAt.Add(c.notAfter))
			}
			d := corporate.Decide(r, f, p)
			if got := d.NotAfter.Sub(f.SubmittedAt); got != c.want || d.Refusal != nil {
				t.Errorf("ends after %s, want %s (%+v)", got, c.want, d.Refusal)
			}
			if waits := !d.NotBefore.IsZero(); waits != (c.notBefore > 0) {
				t.Errorf("waits: %v", waits)
			}
		})
	}
}

func TestAliasIsResolvedAndTheWordIsKept(t *testing.T) {
	r, f, p := setup(t)
	r.Model, p.AllowedModels = "sonnet", map[string]bool{model: true}
	s := corporate.Decide(r, f, p).Section
	if s.Model != model || s.RequestedModel != "sonnet" {
		t.Errorf("model %q, requested %q", s.Model, s.RequestedModel)
	}
}

func TestReservationCoversEveryCallThatMayBeBilled(t *testing.T) {
	const bound = 2033
	for name, c := range map[string]struct {
		limit        int64
		attempts     int
		wantAttempts int
		reserves     int64
	}{
		"two calls":                             {1_000_000, 2, 2, 2 * bound},
		"fewer where they pass the limit":       {bound + 5, 2, 1, bound},
		"three within the limit of three":       {3 * bound, 5, 3, 3 * bound},
		"no limit of one request":               {0, 4, 4, 4 * bound},
		"never less than one":                   {1_000_000, 0, 1, bound},
		"exactly the limit is within the limit": {bound, 1, 1, bound},
	} {
		t.Run(name, func(t *testing.T) {
			r, f, p := setup(t)
			r.MaxTokens, p.Limits.Request, p.BillableAttempts = new(1000), c.limit, c.attempts
			d := corporate.Decide(r, f, p)
			if d.Refusal != nil {
				t.Fatalf("refused: %+v", d.Refusal)
			}
			if d.Section.BoundMicroUSD != bound || d.Section.BillableAttempts != c.wantAttempts || d.Amount != c.reserves || d.Section.ReservedMicroUSD != c.reserves {
				t.Errorf("bound %d, attempts %d, amount %d", d.Section.BoundMicroUSD, d.Section.BillableAttempts, d.Amount)
			}
		})
	}
}

func TestScopesAreOfTheCalendarDayAndMonthOfTheTimeZone(t *testing.T) {
	auckland, err := time.LoadLocation("Pacific/Auckland")
	if err != nil {
		auckland = time.FixedZone("NZDT", 13*3600)
	}
	for _, c := range []struct {
		zone       *time.Location
		day, month string
	}{
		{time.UTC, "2026-01-31", "2026-01"},
		{auckland, "2026-02-01", "2026-02"},
		{time.FixedZone("west", -13*3600), "2026-01-30", "2026-01"},
	} {
		r, f, p := setup(t)
		p.Location = c.zone
		d := corporate.Decide(r, f, p)
		want := []corporate.Scope{
			{Name: "tenant:acme:day:" + c.day, Limit: 100_000_000, Reason: messages.ReasonLimitDay},
			{Name: "tenant:acme:month:" + c.month, Limit: 3_000_000_000, Reason: messages.ReasonLimitMonth},
		}
		if !slices.Equal(d.Scopes, want) || !slices.Equal(d.Section.Scopes, []string{want[0].Name, want[1].Name}) {
			t.Errorf("%s: got %+v, %v", c.zone, d.Scopes, d.Section.Scopes)
		}
	}
}

func TestWithoutLimitsNothingIsReserved(t *testing.T) {
	r, f, p := setup(t)
	p.Limits = corporate.Limits{}
	d := corporate.Decide(r, f, p)
	if d.Refusal != nil || d.Amount != 0 || len(d.Scopes) != 0 || d.Section.BoundMicroUSD == 0 {
		t.Errorf("got %+v", d)
	}
}

func TestOnlyPromptsAskAModelAndCostMoney(t *testing.T) {
	for kind, r := range map[messages.Kind]*messages.Request{
		messages.KindAction:   {Trigger: "[Always]", AuditReason: "test"},
		messages.KindWorkflow: {Operation: "fix_errors", Workflow: &messages.Workflow{}, AuditReason: "test"},
	} {
		_, f, p := setup(t)
		p.AllowUnknownUser, p.AllowUnknownDepartment = true, true
		d := corporate.Decide(r, f, p)
		if d.Refusal != nil || d.Kind != kind || d.Amount != 0 || d.Section.Model != "" {
			t.Errorf("%s: got %+v", kind, d)
		}
		for _, c := range d.Section.Checks[6:] {
			if c.State != "not_applicable" {
				t.Errorf("%s: check %+v", kind, c)
			}
		}
	}
}

func TestAgreementIsRecordedInTheVersionThatWasChecked(t *testing.T) {
	r, f, p := setup(t)
	r.Trigger = "[Always]"
	got := corporate.Decide(r, f, p).Section.Agreement
	if got == nil || *got != (messages.AgreementRef{Trigger: "[Always]", Version: "a1", SLASeconds: 30}) {
		t.Errorf("got %+v", got)
	}
}

func TestUnreadableKeepsFieldAndRule(t *testing.T) {
	_, f, p := setup(t)
	_, err := messages.DecodeRequest([]byte(`{"prompt":1}`))
	d := corporate.Unreadable(err, f, p)
	if d.Refusal.Status != messages.StatusFailure || d.Refusal.Reason != messages.ReasonMalformed || d.Refusal.Field != "prompt" || d.Kind != messages.KindUnknown {
		t.Errorf("got %+v", d.Refusal)
	}
	if c := d.Section.Checks; len(c) != 1 || !strings.HasPrefix(c[0].Detail, "prompt: ") {
		t.Errorf("checks are %+v", c)
	}
}

func TestCrashedSaysWhere(t *testing.T) {
	_, f, p := setup(t)
	if d := corporate.Ended(pipelines.Fail(messages.ReasonCrash, "panic at x"), f, p); d.Refusal.Reason != messages.ReasonCrash || d.Refusal.Detail != "panic at x" {
		t.Errorf("got %+v", d.Refusal)
	}
}

func TestDecisionSurvivesItsRecord(t *testing.T) {
	for name, change := range map[string]func(*messages.Request, *corporate.Facts){
		"approved": func(r *messages.Request, _ *corporate.Facts) { r.Trigger, r.Temperature = "[Always]", new(0.0) },
		"waiting":  func(r *messages.Request, f *corporate.Facts) { r.NotBefore = new(f.Now.Add(time.Hour)) },
		"refused":  func(r *messages.Request, _ *corporate.Facts) { r.AuditReason = "" },
	} {
		t.Run(name, func(t *testing.T) {
			r, f, p := setup(t)
			change(r, &f)
			d := corporate.Decide(r, f, p)
			data, err := json.Marshal(d)
			if err != nil {
				t.Fatal(err)
			}
			var back corporate.Decision
			if err := json.Unmarshal(data, &back); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(back, d) {
				t.Errorf("got  %+v\nwant %+v", back, d)
			}
		})
	}
}

func TestPersonalDataAreCountedAndKeptOutOfTheRecord(t *testing.T) {
	r, f, p := setup(t)
	p.Privacy = privacy.NewGuard(privacy.Rules{Request: privacy.Actions{"contact": "flag"}})
	r.Prompt, r.Purpose = "card 4111111111111111 of a@example.com, b@example.com", " support "
	r.AuditReason, r.UserID, r.Department = "asked by a@example.com", "a@example.com 536-90-4399", "4111 1111 1111 1111"
	d := corporate.Decide(r, f, p)
	s := d.Section
	want := []messages.Finding{{Type: "CREDIT_CARD", Count: 1, Action: "mask"}, {Type: "EMAIL_ADDRESS", Count: 2, Action: "flag"}}
	if d.Refusal != nil || !reflect.DeepEqual(s.Findings, want) {
		t.Errorf("got %+v, %+v", s.Findings, d.Refusal)
	}
	if s.AuditReason != "asked by <EMAIL>" || s.UserID != "a@example.com <SSN>" || s.Department != "<CARD>" || s.Purpose != "support" {
		t.Errorf("the record has %+v", s)
	}
}

// TestTheBoundCoversPlaceholders: what a model is asked may be longer than what was sent.
func TestTheBoundCoversPlaceholders(t *testing.T) {
	r, f, p := setup(t)
	r.Prompt = strings.Repeat("a@b.co ", 500)
	plain := corporate.Decide(r, f, p).Section.BoundMicroUSD
	p.Privacy = privacy.NewGuard(privacy.Rules{})
	bound := corporate.Decide(r, f, p).Section.BoundMicroUSD
	asked := p.Privacy.Request([]string{r.Prompt}, "", "").Texts[0]
	if bound-plain < int64(len(asked)-len(r.Prompt)) || len(asked) <= len(r.Prompt) { // $1 a million tokens of input
		t.Errorf("bounds %d and %d; asked are %d bytes instead of %d", plain, bound, len(asked), len(r.Prompt))
	}
}

func TestARequestCountsInEveryBudget(t *testing.T) {
	r, f, p := setup(t)
	f.Budgets = []corporate.Budget{
		{Kind: corporate.BudgetTenant, Name: "acme", Limits: corporate.Limits{Day: 7_000_000, Request: 2_000_000}},
		{Kind: corporate.BudgetDepartment, Name: "finance", Limits: corporate.Limits{Month: 6_000_000}},
		{Kind: corporate.BudgetUser, Name: "u1", Limits: corporate.Limits{Request: 5000, Day: 5_000_000, Month: 50_000_000}},
		{Kind: corporate.BudgetAgreement, Name: "[Always]", Limits: corporate.Limits{Day: 4_000_000}},
	}
	r.MaxTokens = new(1000)
	d := corporate.Decide(r, f, p)
	want := []corporate.Scope{
		{Name: "tenant:acme:day:2026-01-31", Limit: 7_000_000, Reason: messages.ReasonLimitDay},
		{Name: "tenant:acme:month:2026-01", Limit: 3_000_000_000, Reason: messages.ReasonLimitMonth}, // the settings' own
		{Name: "department:acme/finance:month:2026-01", Limit: 6_000_000, Reason: messages.ReasonLimitDepartment},
		{Name: "user:acme/u1:day:2026-01-31", Limit: 5_000_000, Reason: messages.ReasonLimitUser},
		{Name: "user:acme/u1:month:2026-01", Limit: 50_000_000, Reason: messages.ReasonLimitUser},
		{Name: "agreement:acme/[Always]:day:2026-01-31", Limit: 4_000_000, Reason: messages.ReasonLimitAgreement},
	}
	if d.Refusal != nil || !reflect.DeepEqual(d.Scopes, want) || d.Amount != 2*2033 {
		t.Errorf("%d in %+v (%+v)", d.Amount, d.Scopes, d.Refusal)
	}
	p.Limits.Request = 2032 // the tenant's own takes its place
	if d := corporate.Decide(r, f, p); d.Refusal != nil {
		t.Errorf("got %+v", d.Refusal)
	}
	f.Budgets[2].Request = 2032
	if d := corporate.Decide(r, f, p); d.Refusal == nil || d.Refusal.Reason != messages.ReasonLimitRequest {
		t.Errorf("got %+v", d.Refusal)
	}
}

func TestUnknownModelsAreHeldAtTheDearestWhereSettingsSaySo(t *testing.T) {
	r, f, p := setup(t)
	r.Model, r.MaxTokens = "gpt-9", new(1000)
	p.Prices = p.Prices.AtDearest()
	d := corporate.Decide(r, f, p)
	s := d.Section
	if d.Refusal != nil || s.Model != "gpt-9" || s.BoundMicroUSD != 2033 || !pricing.Dearest(s.PriceVersion) || d.Amount != 4066 {
		t.Fatalf("%+v, refused %+v", s, d.Refusal)
	}
	i := slices.IndexFunc(s.Checks, func(c messages.Check) bool { return c.Name == "cost" })
	if i < 0 || !strings.Contains(s.Checks[i].Detail, "at the dearest prices of the table") {
		t.Errorf("the record does not tell: %+v", s.Checks)
	}
}
