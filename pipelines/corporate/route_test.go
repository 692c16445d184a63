package corporate_test

import (
	"testing"
	"time"

	"flowgate/messages"
	"flowgate/pipelines/corporate"
	"flowgate/pipelines/pricing"
)

// routed is a decision about a question for a model that backends serve.
func routed(t *testing.T, r *messages.Request, serving ...corporate.Serving) (corporate.Decision, corporate.Facts, corporate.Policy) {
	t.Helper()
	_, f, p := setup(t)
	prices, err := pricing.NewTable([]pricing.Row{
		{Model: "m", Input: 1_000_000, Output: 2_000_000},
		{Model: "us.m", Input: 1_100_000, Output: 2_200_000},
		{Model: "gone", Input: 1, Output: 1, RetiredOn: f.Now.Add(-time.Hour), RetiredBy: "anthropic", Successor: "m"},
		{Model: "vectors", Input: 1_000_000, NoOutput: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	p.Prices, f.Serving, p.AllowUnknownUser, p.AllowUnknownDepartment = prices, serving, true, true
	return corporate.Decide(r, f, p), f, p
}

func TestReservationCoversTheDearestRoute(t *testing.T) {
	r := &messages.Request{Prompt: "hi", Model: "m", AuditReason: "a test of routes", MaxTokens: new(100)}
	one, _, _ := routed(t, r, corporate.Serving{Name: "anthropic"})
	two, _, _ := routed(t, r, corporate.Serving{Name: "anthropic"}, corporate.Serving{Name: "bedrock", Region: "us-east-1", Model: "us.m"}, corporate.Serving{Name: "mlflow", Model: "unpriced"})
	if one.Refusal != nil || two.Refusal != nil || len(one.Section.Routes) != 1 || len(two.Section.Routes) != 2 {
		t.Fatalf("routes %+v and %+v, refusals %+v and %+v", one.Section.Routes, two.Section.Routes, one.Refusal, two.Refusal)
	}
	if got, want := two.Section.BoundMicroUSD, (one.Section.BoundMicroUSD*11+9)/10; got != want {
		t.Errorf("bound %d, want %d", got, want)
	}
	if r := two.Section.Routes[1]; r.Backend != "bedrock" || r.Model != "us.m" || r.Region != "us-east-1" || r.PriceVersion == "" {
		t.Errorf("route %+v", r)
	}
	if two.Section.Backend != "anthropic" || two.Section.PriceVersion != two.Section.Routes[0].PriceVersion {
		t.Errorf("first is %s at %s", two.Section.Backend, two.Section.PriceVersion)
	}
	if left := two.Section.Facts.Unrouted; len(left) != 1 || left[0].Backend != "mlflow" {
		t.Errorf("left out: %+v", left)
	}
}

func TestModelThatItsBackendsRetiredIsRefusedWithItsSuccessor(t *testing.T) {
	r := &messages.Request{Prompt: "hi", Model: "gone", AuditReason: "a test of routes"}
	d, _, _ := routed(t, r, corporate.Serving{Name: "anthropic"})
	if d.Refusal == nil || d.Refusal.Reason != messages.ReasonModelRetired || d.Refusal.Detail != "gone, whose successor is m" {
		t.Errorf("got %+v", d.Refusal)
	}
	if d, _, _ := routed(t, r, corporate.Serving{Name: "anthropic"}, corporate.Serving{Name: "bedrock"}); d.Refusal != nil || d.Section.Backend != "bedrock" {
		t.Errorf("got %+v at %s", d.Refusal, d.Section.Backend)
	}
}

func TestRoutesAreMadeAgainOutOfTheRecord(t *testing.T) {
	for _, model := range []string{"m", "gone"} {
		r := &messages.Request{Prompt: "hi", Model: model, AuditReason: "a test of routes"}
		d, f, p := routed(t, r, corporate.Serving{Name: "anthropic"}, corporate.Serving{Name: "mlflow", Model: "unpriced"}, corporate.Serving{Name: "x", Region: "eu", Model: "us.m"})
		e := &messages.Envelope{SubmittedAt: f.SubmittedAt}
		corporate.Conclude(e, d, corporate.Grant{Approved: true, Now: f.Now})
		recalled, gap := corporate.Recall(f.Address, e)
		if gap != "" {
			t.Fatal(gap)
		}
		again := corporate.Judge(&recalled.Seen, recalled.Facts, p)
		if again.Section.BoundMicroUSD != d.Section.BoundMicroUSD || len(again.Section.Routes) != len(d.Section.Routes) || (again.Refusal == nil) != (d.Refusal == nil) {
			t.Errorf("%s: decided again as %+v with %+v, was %+v with %+v", model, again.Refusal, again.Section.Routes, d.Refusal, d.Section.Routes)
		}
	}
}

func TestImagesToolsAndVectorsAreBounded(t *testing.T) {
	plain := &messages.Request{Prompt: "hi", Model: "m", AuditReason: "a test of routes", MaxTokens: new(100)}
	bare, _, _ := routed(t, plain)
	rich := *plain
	rich.Prompt, rich.Messages = "", []messages.Message{{Role: "user", Content: "hi", Images: []messages.Image{{MediaType: "image/png", Data: "YQ=="}, {URL: "https://x.example/a"}}}}
	rich.Tools = []messages.Tool{{Name: "a", Description: "does a"}}
	d, _, _ := routed(t, &rich)
	if d.Section.Images != 2 || d.Section.Tools != 1 || d.Section.BoundMicroUSD < bare.Section.BoundMicroUSD+2*8000 {
		t.Errorf("images %d, tools %d, bound %d over %d", d.Section.Images, d.Section.Tools, d.Section.BoundMicroUSD, bare.Section.BoundMicroUSD)
	}
	v, _, _ := routed(t, &messages.Request{Input: []string{"a", "b"}, Model: "vectors", AuditReason: "a test of routes"})
	if v.Refusal != nil || v.Kind != messages.KindEmbedding || v.Section.Inputs != 2 || v.Section.MaxTokens != 0 || v.Section.BoundMicroUSD < 1 {
		t.Errorf("got %+v, section %+v", v.Refusal, v.Section)
	}
}
