package corporate_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"flowgate/messages"
	"flowgate/pipelines"
	"flowgate/pipelines/compliance"
	"flowgate/pipelines/corporate"
	"flowgate/pipelines/flow"
	"flowgate/pipelines/policy"
	"flowgate/pipelines/pricing"
	"flowgate/pipelines/privacy"
)

func drawRequest(t *rapid.T) *messages.Request {
	pick := func(name string, of ...string) string { return rapid.SampledFrom(of).Draw(t, name) }
	r := &messages.Request{
		AuditReason: pick("reason", "quarterly report", "quarterly report", "for anna@example.com, quarterly", "", " ab "),
		UserID:      pick("user", "u1", "u1", "", "4111111111111111", "unknown"), Department: pick("department", "hr", "it", " "),
		Purpose: pick("purpose", "", "review", "536-90-4399"), CorrelationID: pick("correlation", "", "order-4711"), Model: pick("model", "", "sonnet", model, "gpt-9"),
		Trigger:  pick("trigger", "", "", "[Always]", "[Past]", "[Future]", "[None]", " [Always]", "[Mail anna@example.com]"),
		Tenant:   pick("tenant", "", "", "", "acme", "other"),
		Priority: rapid.SampledFrom([]messages.Priority{"", messages.PriorityHigh}).Draw(t, "priority"),
	}
	text := rapid.SampledFrom([]string{"hi", "anna@example.com and bob@example.com", "card 4111111111111111", "<EMAIL_1> anna@example.com"})
	switch rapid.IntRange(0, 4).Draw(t, "kind") {
	case 0:
		r.Operation = "fix_errors"
	case 1:
	case 2:
		r.Prompt = text.Draw(t, "prompt")
	default:
		for range rapid.IntRange(1, 3).Draw(t, "turns") {
			r.Messages = append(r.Messages, messages.Message{Role: "user", Content: text.Draw(t, "turn")})
		}
	}
	if rapid.Bool().Draw(t, "bounded") {
		r.MaxTokens = new(rapid.IntRange(1, 3000).Draw(t, "tokens"))
	}
	if rapid.Bool().Draw(t, "warm") {
		r.Temperature = new(rapid.Float64Range(0, 2).Draw(t, "temperature"))
	}
	moment := func(name string) *time.Time {
		if rapid.IntRange(0, 3).Draw(t, name) > 0 {
			return nil
		}
		return new(noon.Add(time.Duration(rapid.Int64Range(-10, 10).Draw(t, name)) * time.Second))
	}
	r.NotBefore, r.NotAfter = moment("not before"), moment("not after")
	return r
}

// strict are controls of the level strict: a gate, and advice.
func strict(t fataler) *compliance.Book {
	control := func(id, pass string, gate bool) compliance.Control {
		return compliance.Control{
			ID: "house." + id, Says: "so", Stages: []compliance.Stage{compliance.StageBefore}, Severity: compliance.SeverityHigh, Gate: gate,
			Pass: pass, Evidence: []string{"purpose", "policy_ticket"},
		}
	}
	b, err := compliance.Compile(compliance.Document{
		Levels: map[string][]string{"strict": {"house"}},
		Sets:   []compliance.Set{{ID: "house", Title: "House", Controls: []compliance.Control{control("purpose", `purpose == "review"`, true), control("ticket", `policy_ticket != ""`, false)}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func drawDirectory(t *rapid.T) *corporate.Directory {
	if rapid.IntRange(0, 2).Draw(t, "directory") > 0 {
		return nil
	}
	d := directory()
	d.Everyone.KnownPeople = rapid.Bool().Draw(t, "known people")
	if rapid.Bool().Draw(t, "lists") {
		d.Everyone.Allowed = messages.Allowed{Models: []string{"sonnet"}, Purposes: []string{"", "review", "reports"}, Backends: []string{"a", "b"}, Regions: []string{"us", "eu"}}
		d.Departments["hr"] = messages.Department{Allowed: messages.Allowed{Backends: []string{"b"}, Data: []string{"contact"}}}
	}
	return d
}

func drawFacts(t *rapid.T, f corporate.Facts) corporate.Facts {
	f.Class = rapid.SampledFrom(messages.Classes()).Draw(t, "class")
	f.Now = noon.Add(time.Duration(rapid.Int64Range(0, 10_000_000_001).Draw(t, "later")))
	if rapid.IntRange(0, 9).Draw(t, "cancelled") == 0 {
		f.Cancelled = pipelines.Cancelled("by ops: enough")
	}
	if rapid.Bool().Draw(t, "serving") {
		f.Serving = []corporate.Serving{{Name: "a"}, {Name: "b", Region: "eu"}}
	}
	if rapid.IntRange(0, 4).Draw(t, "paused") == 0 {
		f.Paused = "tenant acme: maintenance"
	}
	return f
}

// drawAgreed finds the agreement of a request, and what is kept of it.
func drawAgreed(t *rapid.T, r *messages.Request, f *corporate.Facts) (terms map[string][]byte) {
	var entries []flow.Entry
	for _, trigger := range []string{"[Always]", "[Past]", "[Future]"} {
		a := flow.Agreement{
			Trigger: trigger, FlowEncoding: "@a#b!c@d", Action: "x", Version: "v" + trigger, SLASeconds: 30, Owner: "ops", Approver: "bob",
			ComplianceLevel: rapid.SampledFrom([]string{"", "strict"}).Draw(t, "level"),
			Parameters:      map[string]any{"token": "hunter2-secret"},
		}
		if trigger == "[Past]" {
			a.ValidUntil = noon
		}
		if trigger == "[Future]" {
			a.ValidFrom = noon.Add(time.Hour)
		}
		if rapid.Bool().Draw(t, "bounded agreement") {
			a.Limits = flow.Limits{CallsDay: 3, RequestMicroUSD: 2500, DayMicroUSD: 6000}
			a.Allowed = messages.Allowed{Models: []string{"sonnet"}, Backends: []string{"b"}, Purposes: []string{"review"}, Data: []string{"contact"}}
			a.Tenants, a.DefaultFor = []string{"acme"}, []string{"acme"}
		}
		state := rapid.SampledFrom([]flow.State{flow.StateApproved, flow.StateApproved, flow.StateSuspended, flow.StateDraft}).Draw(t, "state")
		if len(entries) > 0 {
			a.DefaultFor = nil
		}
		entries = append(entries, flow.Entry{Agreement: a, State: state, Revision: rapid.Int64Range(0, 9).Draw(t, "revision")})
	}
	book, err := flow.Bind(entries)
	if err != nil {
		t.Fatal(err)
	}
	f.Agreement, f.Meant = corporate.Agree(r, f.Tenant, book, rapid.Bool().Draw(t, "texts"))
	if f.Agreement == nil {
		return nil
	}
	return map[string][]byte{f.Agreement.TermsVersion(): corporate.TermsBody(f.Agreement.Agreement)}
}

func drawPolicy(t *rapid.T, p corporate.Policy, rules *policy.Policy, controls *compliance.Book) corporate.Policy {
	p.MinAuditReason = rapid.SampledFrom([]int{0, 3, 20}).Draw(t, "least")
	p.AllowUnknownUser, p.AllowUnknownDepartment = rapid.Bool().Draw(t, "nobody"), rapid.Bool().Draw(t, "nowhere")
	p.BillableAttempts = rapid.IntRange(0, 3).Draw(t, "attempts")
	amount := func(name string) int64 {
		return rapid.SampledFrom([]int64{0, 0, 3000, 5_000_000}).Draw(t, name)
	}
	if rapid.Bool().Draw(t, "dearest") {
		p.Prices = p.Prices.AtDearest()
	}
	p.Limits = corporate.Limits{Request: amount("request"), Day: amount("day"), Month: amount("month")}
	if rapid.Bool().Draw(t, "own") {
		p.Models = map[string]corporate.ModelDefaults{model: {MaxTokens: new(77), Temperature: new(0.1), TopK: new(7)}}
	}
	if rapid.IntRange(0, 3).Draw(t, "list") == 0 {
		p.AllowedModels = map[string]bool{"other": true, model: rapid.Bool().Draw(t, "allowed")}
	}
	switch rapid.IntRange(0, 3).Draw(t, "privacy") {
	case 0:
	case 1:
		p.Privacy = privacy.NewGuard(privacy.Rules{Request: privacy.Actions{"payment": "deny"}, Purposes: map[string]privacy.Exceptions{"review": {Request: privacy.Actions{"payment": "flag"}}}})
	default:
		p.Privacy = privacy.NewGuard(privacy.Rules{Restore: []string{"contact"}})
	}
	if rapid.Bool().Draw(t, "rules") {
		p.Rules = rules.WithTicket("CHG-4711")
	}
	p.Rates = corporate.RateLimits{RequestsMinute: rapid.Int64Range(0, 1).Draw(t, "requests"), TokensHour: rapid.SampledFrom([]int64{0, 900, 9_000_000}).Draw(t, "tokens")}
	if rapid.Bool().Draw(t, "controls") {
		p.Controls, p.ComplianceLevel = controls, rapid.SampledFrom([]string{"", "strict"}).Draw(t, "level")
	}
	return p
}

type fataler interface{ Fatal(...any) }

func zone(name string) (*time.Location, error) {
	if name == otherwhere.String() {
		return otherwhere, nil
	}
	return time.UTC, nil
}

var otherwhere = time.FixedZone("Elsewhere", 7200)

// stored puts a policy's settings and an envelope through the JSON in which they are kept.
func stored(t fataler, p corporate.Policy, e *messages.Envelope) (corporate.Policy, *messages.Envelope) {
	kept, err := corporate.ReadSettings(p.Settings().Body(), zone)
	if err != nil {
		t.Fatal(err)
	}
	kept.Rules = p.Rules
	data, err := messages.EncodeEnvelope(e)
	if err != nil {
		t.Fatal(err)
	}
	read, err := messages.DecodeEnvelope(data)
	if err != nil {
		t.Fatal(err)
	}
	return kept, read
}

// TestTheRecordAloneGivesTheSameDecisionAgain: whatever was asked, under whatever settings, and whatever came of it.
func TestTheRecordAloneGivesTheSameDecisionAgain(t *testing.T) {
	_, facts, base := setup(t)
	rules := rulesOf(t,
		policy.Rule{ID: "cards", Effect: policy.EffectDeny, When: `"payment" in data && purpose != "review"`, Because: "no: cards"},
		policy.Rule{ID: "long", Effect: policy.EffectDeny, When: `prompt_bytes > 60 || turns > 2 || reason_length > 20`},
		policy.Rule{ID: "fails", Effect: policy.EffectDeny, When: `department == "hr" && findings["EMAIL_ADDRESS"] > 0`},
		policy.Rule{ID: "late", Effect: policy.EffectFlag, When: `now - submitted > duration("5s") || trigger == "[Always]"`},
		policy.Rule{ID: "dear", Effect: policy.EffectFlag, When: `bound_microusd > 2000 && max_tokens > 500 && temperature < 1.0`},
	)
	controls := strict(t)
	rapid.Check(t, func(t *rapid.T) {
		r, f, p := drawRequest(t), drawFacts(t, facts), drawPolicy(t, base, rules, controls)
		p.Version = corporate.VersionOf(p.Settings().Body())
		e := &messages.Envelope{V: 1, SubmittedAt: f.SubmittedAt, IngressSeq: f.IngressSeq}
		f.Directory, f.Credential = drawDirectory(t), rapid.SampledFrom([]string{"", "nightly"}).Draw(t, "credential")
		terms := map[string][]byte{}
		if rapid.Bool().Draw(t, "agreements apart") { // else as an older version had them, in its settings
			p.Agreements = nil
			p.Version = corporate.VersionOf(p.Settings().Body())
			terms = drawAgreed(t, r, &f)
		}
		corporate.Fill(r, &f, p)
		seen := corporate.Read(r, f.Address, p.Privacy)
		if f.Agreement != nil {
			f.Budgets = append(f.Budgets, corporate.Budget{Kind: corporate.BudgetAgreement, Name: f.Agreement.Trigger, Limits: corporate.Limits{Day: 7_000_000}})
		}
		for _, kind := range corporate.BudgetKinds() {
			name := map[corporate.BudgetKind]string{corporate.BudgetUser: seen.UserID, corporate.BudgetDepartment: seen.Department, corporate.BudgetAgreement: seen.Trigger}[kind]
			if rapid.IntRange(0, 3).Draw(t, "budget") == 0 && (kind != corporate.BudgetAgreement || r.Trigger == "[Always]" && p.Agreements != nil) {
				f.Budgets = append(f.Budgets, corporate.Budget{Kind: kind, Name: name, Limits: corporate.Limits{Day: 7_000_000}})
			}
		}
		for _, kind := range corporate.RateKinds() {
			name := map[corporate.RateKind]string{corporate.RateUser: seen.UserID, corporate.RateDepartment: seen.Department, corporate.RateModel: model, corporate.RateBackend: "b"}[kind]
			if rapid.IntRange(0, 3).Draw(t, "rate") == 0 {
				f.Rates = append(f.Rates, corporate.Rate{Kind: kind, Name: name, RateLimits: corporate.RateLimits{TokensMinute: 5_000_000, Excess: corporate.ExcessWait}})
			}
		}
		var d corporate.Decision
		switch rapid.IntRange(0, 9).Draw(t, "unread") {
		case 0:
			d = corporate.Unreadable(&messages.FieldError{Field: "prompt: x", Rule: "must be: text", Got: "a number"}, f, p)
		case 1:
			d = corporate.Ended(pipelines.Fail(messages.ReasonCrash, "three times"), f, p)
		default:
			d = corporate.Judge(&seen, f, p)
		}
		if rapid.IntRange(0, 3).Draw(t, "held") == 0 {
			d.Since(f.Now.Add(-time.Minute))
		}
		if rapid.IntRange(0, 5).Draw(t, "behind the model") == 0 {
			e.Replay = &messages.ReplayOrigin{Reason: "x"}
			old := &messages.Envelope{Corporate: &messages.CorporateSection{Model: d.Section.Model}, AI: &messages.AISection{Stay: messages.Stay{Verdict: messages.VerdictProcessed}, PrivacyVersion: d.Section.PrivacyVersion}}
			corporate.Resume(&d, old, messages.StateOptimizer, false)
			e.Replay.ResumeAt = d.ResumeAt
		}
		grants := []corporate.Grant{
			{Approved: true},
			{Approved: true, Least: d.Amount > 0},
			{Reason: messages.ReasonLimitDay},
			{Waiting: true, Reason: messages.ReasonWaitingMoney},
			{Reason: messages.ReasonLimitRateUser, Blocked: "rate:x", RetryAt: noon.Add(1234567)},
			{Reason: messages.ReasonAgreementExhausted, Blocked: "rate:acme/agreement/[Always]:day:2026-01-31", RetryAt: noon.Add(1 << 60)},
			{Waiting: true, Reason: messages.ReasonLimitRateUser, Blocked: "rate:x", RetryAt: noon.Add(99)},
		}
		grant := rapid.SampledFrom(grants).Draw(t, "grant")
		grant.Now = f.Now.Add(time.Millisecond)
		corporate.Conclude(e, d, grant)
		if e.Corporate.Verdict == messages.VerdictWaiting { // nothing ends so
			pipelines.Cancel(e, messages.StateHold, pipelines.Cancelled("by ops"), grant.Now.Add(time.Second))
		}
		kept, record := stored(t, p, e)
		recalled, gap := corporate.Recall(f.Address, record)
		if gap != "" {
			t.Fatal(gap)
		}
		if v := recalled.Terms(); v != "" {
			a, err := corporate.ReadTerms(terms[v])
			if err != nil {
				t.Fatal(err)
			}
			recalled.Under(a)
		}
		_, now, end := recalled.Again(kept)
		if differ := corporate.Differences(recalled.Section, &now, recalled.End, end); differ != nil {
			a, _ := json.Marshal(e)
			b, _ := json.Marshal(now)
			t.Fatalf("differs in %v:\nwas %s\nnow %s", differ, a, b)
		}
	})
}

// TestEverythingThatDecidesIsInTheSettings: a policy's version changes with whatever decides, and what is kept is all of it.
func TestEverythingThatDecidesIsInTheSettings(t *testing.T) {
	_, _, base := setup(t)
	version := func(p corporate.Policy) string { return corporate.VersionOf(p.Settings().Body()) }
	elsewhere := []string{"Version", "Rules"} // the version itself, and what has one of its own
	for _, field := range reflect.VisibleFields(reflect.TypeFor[corporate.Policy]()) {
		if slices.Contains(elsewhere, field.Name) {
			continue
		}
		p := base
		v := reflect.ValueOf(&p).Elem().FieldByName(field.Name)
		switch v.Kind() { //nolint:exhaustive // every other kind is in otherwise
		case reflect.Bool:
			v.SetBool(!v.Bool())
		case reflect.Int:
			v.SetInt(v.Int() + 1)
		case reflect.String:
			v.SetString(v.String() + "x")
		default:
			other := otherwise(t)
			v.Set(reflect.ValueOf(other).FieldByName(field.Name))
		}
		if version(p) == version(base) {
			t.Errorf("Policy.%s decides and is not in Settings: a decision under it could not be made again. Add it to Settings, its two ways, and otherwise()", field.Name)
		}
	}
	if kept, err := corporate.ReadSettings(otherwise(t).Settings().Body(), zone); err != nil || version(kept) != version(otherwise(t)) {
		t.Errorf("%v: what is kept reads as\n%s\nof\n%s", err, kept.Settings().Body(), otherwise(t).Settings().Body())
	}
	if _, err := corporate.ReadSettings([]byte(`{"min_audit_reason":3,"newer":1}`), zone); err == nil {
		t.Error("settings of a newer version were read as if nothing were missing")
	}
}

// otherwise is a policy that differs from setup's in every field that no number or word can stand for.
func otherwise(t testing.TB) corporate.Policy {
	t.Helper()
	prices, err := pricing.NewTable([]pricing.Row{{Model: model, Input: 1_000_001, Output: 2_000_000, EffectiveFrom: noon, Tiers: []pricing.Tier{{Above: 9, Input: 1, Output: 2}}, Multipliers: pricing.Multipliers{Batch: 50, InferenceGeoUS: 110}}, {Model: "free", Free: true}, {Model: "e", Input: 7, NoOutput: true}})
	if err != nil {
		t.Fatal(err)
	}
	book, err := flow.NewBook([]flow.Agreement{{Trigger: "[Always]", FlowEncoding: "@a#b!c@d", Action: "x", Version: "a1", SLASeconds: 31, ValidUntil: noon.In(time.FixedZone("x", 3600)), Parameters: map[string]any{"token": "hunter2-secret"}}})
	if err != nil {
		t.Fatal(err)
	}
	return corporate.Policy{
		Aliases: map[string]string{"s": model}, Models: map[string]corporate.ModelDefaults{model: {MaxTokens: new(5), Temperature: new(0.0), TopP: new(0.9), TopK: new(40), Stop: []string{"END"}}},
		Controls: strict(t), ComplianceLevel: "strict", Rates: corporate.RateLimits{RequestsMinute: 1, TokensHour: 2, Excess: corporate.ExcessWait},
		AllowedModels: map[string]bool{model: true, "other": false}, Privacy: privacy.NewGuard(privacy.Rules{Request: privacy.Actions{"payment": "deny"}}),
		Prices: prices.AtDearest(), Agreements: book, Limits: corporate.Limits{Request: 1, Day: 2, Month: 3}, Location: otherwhere,
	}
}

func TestSettingsKeepNoParameters(t *testing.T) {
	if body := string(otherwise(t).Settings().Body()); strings.Contains(body, "hunter2") || !strings.Contains(body, "[Always]") {
		t.Errorf("%s", body)
	}
}

func rulesOf(t testing.TB, rules ...policy.Rule) *policy.Policy {
	t.Helper()
	p, err := policy.Compile(policy.Bundle{Name: "test", Rules: rules})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestSettingsThatRefuseUnknownModelsKeepTheVersionThatTheyHad(t *testing.T) {
	_, _, p := setup(t)
	if body := string(p.Settings().Body()); strings.Contains(body, "unknown_models") || strings.Contains(body, "multipliers") || strings.Contains(body, "no_output") {
		t.Errorf("what nobody set is in the settings on record, so that every version changes: %s", body)
	}
	p.Prices = p.Prices.AtDearest()
	if kept, err := corporate.ReadSettings(p.Settings().Body(), zone); err != nil || !kept.Prices.PricesUnknown() {
		t.Errorf("%v: what becomes of unknown models is not kept", err)
	}
}
