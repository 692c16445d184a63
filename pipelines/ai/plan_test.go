package ai_test

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"flowgate/messages"
	"flowgate/pipelines/ai"
	"flowgate/pipelines/flow"
	"flowgate/pipelines/pricing"
	"flowgate/pipelines/privacy"
)

var (
	noon = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	key  = messages.Key{Tenant: "acme", ID: "r1"}
)

const model = "claude-3-sonnet-20240229"

func setup(t testing.TB) (*messages.Envelope, *messages.Request, ai.Facts, ai.Policy) {
	t.Helper()
	book, err := flow.NewBook([]flow.Agreement{
		{Trigger: "[Shift]", FlowEncoding: "@a#b!c@d", Action: "x", Version: "a1", ValidFrom: noon, ValidUntil: noon.Add(time.Hour)},
	})
	if err != nil {
		t.Fatal(err)
	}
	e := &messages.Envelope{V: 1, Kind: messages.KindPrompt, Epoch: 2, Corporate: &messages.CorporateSection{Model: model, Temperature: 0, MaxTokens: 100, BoundMicroUSD: 1_000_000}}
	r := &messages.Request{Prompt: "hi", Metadata: map[string]json.RawMessage{"script": json.RawMessage(`{"a":1}`)}}
	f := ai.Facts{Address: messages.Address{Key: key}, Now: noon, Backends: []ai.BackendFact{
		{Name: "titans", Billable: true, Menu: ai.Menu{Only: map[string]bool{"titan": true}}}, {Name: "anthropic", Billable: true}, {Name: "offline"},
	}}
	prices, err := pricing.NewTable([]pricing.Row{{Model: model, Input: 1, Output: 1}, {Model: "titan", Input: 1, Output: 1}})
	if err != nil {
		t.Fatal(err)
	}
	return e, r, f, ai.Policy{Agreements: book, Prices: prices}
}

func TestPlanAsksTheFirstBackendThatServesTheModel(t *testing.T) {
	e, r, f, p := setup(t)
	plan := ai.Decide(e, r, f, p)
	if plan.Pass || plan.Refusal != nil || plan.Backend.Name != "anthropic" {
		t.Fatalf("got %+v", plan)
	}
	c := plan.Call
	if c.Key != key || c.Epoch != 2 || c.Attempt != 1 || c.Model != model || c.MaxTokens != 100 || c.Temperature != 0 {
		t.Errorf("call is %+v", c)
	}
	if len(c.Messages) != 1 || !reflect.DeepEqual(c.Messages[0], messages.Message{Role: "user", Content: "hi"}) || string(c.Metadata["script"]) != `{"a":1}` {
		t.Errorf("asks %+v with %s", c.Messages, c.Metadata)
	}
}

func TestConversationGoesToTheModelAsItCame(t *testing.T) {
	e, _, f, p := setup(t)
	turns := []messages.Message{{Role: "system", Content: "be brief"}, {Role: "user", Content: "hi", Name: "jo"}}
	got := ai.Decide(e, &messages.Request{Messages: turns}, f, p).Call.Messages
	if !reflect.DeepEqual(got, turns) {
		t.Errorf("got %+v", got)
	}
}

func TestModelThatNobodyServesEnds(t *testing.T) {
	e, r, f, p := setup(t)
	f.Backends = f.Backends[:1]
	if got := ai.Decide(e, r, f, p).Refusal; got == nil || got.Reason != messages.ReasonNoBackend || got.Status != messages.StatusFailure {
		t.Errorf("got %+v", got)
	}
	f.Backends = nil
	if got := ai.Decide(e, r, f, p).Refusal; got == nil || got.Reason != messages.ReasonNoBackend {
		t.Errorf("got %+v", got)
	}
}

func TestKindsThatAskNoModelPass(t *testing.T) {
	for _, kind := range []messages.Kind{messages.KindWorkflow, messages.KindAction} {
		e, r, f, p := setup(t)
		e.Kind = kind
		if plan := ai.Decide(e, r, f, p); !plan.Pass || plan.Refusal != nil || plan.Backend.Name != "" {
			t.Errorf("%s: got %+v", kind, plan)
		}
	}
}

func TestAgreementIsCheckedAgainBeforeTheModelIsAsked(t *testing.T) {
	for name, c := range map[string]struct {
		trigger string
		now     time.Time
		want    messages.Reason
	}{
		"none":                       {"", noon, ""},
		"valid at its first":         {"[Shift]", noon, ""},
		"valid to its last":          {"[Shift]", noon.Add(time.Hour - 1), ""},
		"expired since layer 1":      {"[Shift]", noon.Add(time.Hour), messages.ReasonAgreementExpired},
		"moved into the future":      {"[Shift]", noon.Add(-1), messages.ReasonAgreementNotYetValid},
		"withdrawn since layer 1":    {"[Gone]", noon, messages.ReasonAgreementUnknown},
		"withdrawn, another trigger": {"[shift]", noon, messages.ReasonAgreementUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			e, r, f, p := setup(t)
			f.Now = c.now
			if c.trigger != "" {
				e.Corporate.Agreement = &messages.AgreementRef{Trigger: c.trigger, Version: "a1"}
			}
			got := ai.Decide(e, r, f, p).Refusal
			switch {
			case c.want == "" && got != nil:
				t.Errorf("refused: %+v", got)
			case c.want != "" && (got == nil || got.Reason != c.want || got.Status != messages.StatusDenied || got.Field != "trigger"):
				t.Errorf("got %+v, want %s", got, c.want)
			}
		})
	}
}

func TestAttemptsAreNumberedOn(t *testing.T) {
	for want, history := range map[int][]messages.Attempt{1: nil, 2: {{K: 1}}, 8: {{K: 1}, {K: 7, Repeats: 5}}} {
		if got := ai.NextAttempt(history); got != want {
			t.Errorf("after %+v comes %d, want %d", history, got, want)
		}
	}
}

func TestRetryPolicyIsThatOfTheLongestFamilyName(t *testing.T) {
	r := ai.Retries{Default: ai.Retry{Attempts: 1}, Families: map[string]ai.Retry{
		"claude": {Attempts: 2}, "claude-3": {Attempts: 3}, "mistral": {Attempts: 4}, "": {Attempts: 5},
	}}
	for name, want := range map[string]int{
		"us.anthropic.claude-3-sonnet": 3, "claude-instant": 2, "mistral-large": 4, "gpt-4": 1, "": 1,
	} {
		if got := r.For(name).Attempts; got != want {
			t.Errorf("%q has the policy %d, want %d", name, got, want)
		}
	}
}

func TestSameInputGivesTheSamePlan(t *testing.T) {
	e, r, f, p := setup(t)
	first, second := ai.Decide(e, r, f, p), ai.Decide(e, r, f, p)
	if a, b := encode(t, first), encode(t, second); a != b {
		t.Errorf("%s\nthen %s", a, b)
	}
}

func encode(t testing.TB, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestABackendSeesWhatItsRegionMay(t *testing.T) {
	guard := privacy.NewGuard(privacy.Rules{
		Request: privacy.Actions{"payment": "deny"}, Regions: map[string]privacy.Actions{"eu-*": {"payment": "mask", "contact": "pass"}},
	})
	for name, c := range map[string]struct {
		prompt, purpose string
		regions         [2]string
		backend, asks   string
		reason          messages.Reason
	}{
		"nothing to hide":            {"hi", "", [2]string{"us", "eu-west-1"}, "first", "hi", ""},
		"masked where it goes first": {"a@example.com", "", [2]string{"us", "eu-west-1"}, "first", "<EMAIL_1>", ""},
		"passed in its region":       {"a@example.com", "", [2]string{"eu-west-1", "us"}, "first", "a@example.com", ""},
		"denied, so the next one":    {"card 4111111111111111", "", [2]string{"us", "eu-west-1"}, "second", "card <CARD_1>", ""},
		"denied by all":              {"card 4111111111111111", "", [2]string{"us", "ap-south-1"}, "", "", messages.ReasonPersonalData},
	} {
		t.Run(name, func(t *testing.T) {
			e, r, f, p := setup(t)
			p.Privacy, r.Prompt = guard, c.prompt
			f.Backends = []ai.BackendFact{{Name: "first", Region: c.regions[0]}, {Name: "second", Region: c.regions[1]}}
			plan := ai.Decide(e, r, f, p)
			if c.reason != "" {
				if plan.Refusal == nil || plan.Refusal.Reason != c.reason || plan.Refusal.Status != messages.StatusDenied || plan.Refusal.Detail != "CREDIT_CARD (1)" || len(plan.Screened.Findings) != 1 {
					t.Errorf("got %+v", plan)
				}
				return
			}
			if plan.Refusal != nil || plan.Backend.Name != c.backend || plan.Call.Messages[0].Content != c.asks {
				t.Errorf("got %+v", plan)
			}
		})
	}
}

func TestASpeakerWhoseNameIsPersonalDataHasNone(t *testing.T) {
	e, _, f, p := setup(t)
	p.Privacy = privacy.NewGuard(privacy.Rules{})
	turns := []messages.Message{{Role: "user", Content: "hi", Name: "jo@example.com"}, {Role: "user", Content: "ho", Name: "jo"}}
	got := ai.Decide(e, &messages.Request{Messages: turns}, f, p).Call.Messages
	if got[0].Name != "" || got[1].Name != "jo" || turns[0].Name == "" {
		t.Errorf("got %+v", got)
	}
}

func TestOnlyAllowedBackendsAndRegionsAreAsked(t *testing.T) {
	for name, c := range map[string]struct {
		backends, regions []string
		paused            bool
		want              string // a backend, or a reason
	}{
		"no lists":                          {nil, nil, false, "anthropic"},
		"the second":                        {[]string{"offline"}, nil, false, "offline"},
		"by region":                         {nil, []string{"local"}, false, "offline"},
		"another backend":                   {[]string{"bedrock"}, nil, false, "backend_not_allowed"},
		"another region":                    {nil, []string{"eu"}, false, "region_not_allowed"},
		"a region of a barred one":          {[]string{"offline"}, []string{"us"}, false, "region_not_allowed"},
		"one that does not serve the model": {[]string{"titans"}, nil, false, "backend_not_allowed"},
		"the one allowed is paused":         {[]string{"anthropic"}, nil, true, "paused"},
		"a barred one is paused":            {[]string{"bedrock"}, nil, true, "backend_not_allowed"},
	} {
		t.Run(name, func(t *testing.T) {
			e, r, f, p := setup(t)
			f.Backends[1].Region, f.Backends[1].Paused, f.Backends[2].Region = "us", c.paused, "local"
			e.Corporate.AllowedBackends, e.Corporate.AllowedRegions = c.backends, c.regions
			plan := ai.Decide(e, r, f, p)
			got := plan.Backend.Name
			switch {
			case plan.Refusal != nil && plan.Refusal.Status == messages.StatusDenied:
				got = string(plan.Refusal.Reason)
			case plan.Paused:
				got = "paused"
			}
			if got != c.want {
				t.Errorf("got %q, %+v", got, plan.Refusal)
			}
		})
	}
	e, r, f, p := setup(t)
	e.Corporate.AllowedRegions = []string{"us"}
	if plan := ai.Decide(e, r, f, p); plan.Refusal == nil || plan.Refusal.Reason != messages.ReasonRegionNotAllowed {
		t.Errorf("a region that nobody named: %+v", plan)
	}
}

func TestWhatARequestSaysOfSamplingCountsBeforeSettings(t *testing.T) {
	e, r, f, p := setup(t)
	e.Corporate.Sampling = &messages.Sampling{TopP: new(0.2), TopK: new(5), Stop: []string{"END"}}
	if c := ai.Decide(e, r, f, p).Call; *c.TopP != 0.2 || *c.TopK != 5 || !reflect.DeepEqual(c.Stop, []string{"END"}) {
		t.Errorf("it says nothing, and is asked with %+v", c)
	}
	r.TopP, r.TopK, r.Stop = new(0.9), new(7), []string{"stop"}
	if c := ai.Decide(e, r, f, p).Call; *c.TopP != 0.9 || *c.TopK != 7 || !reflect.DeepEqual(c.Stop, []string{"stop"}) {
		t.Errorf("it says all, and is asked with %+v", c)
	}
	e.Corporate.Sampling, r.TopP, r.TopK, r.Stop = nil, nil, nil, nil
	if c := ai.Decide(e, r, f, p).Call; c.TopP != nil || c.TopK != nil || c.Stop != nil {
		t.Errorf("nobody says anything, and it is asked with %+v", c)
	}
}
