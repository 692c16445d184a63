package ai_test

import (
	"testing"
	"time"

	"flowgate/messages"
	"flowgate/pipelines/ai"
	"flowgate/pipelines/pricing"
)

// road is a request for a model that two backends serve, one under another name, with prices.
func road(t *testing.T) (*messages.Envelope, *messages.Request, ai.Facts, ai.Policy) {
	t.Helper()
	e, r, f, p := setup(t)
	prices, err := pricing.NewTable([]pricing.Row{
		{Model: model, Input: 1_000_000, Output: 1_000_000},
		{Model: "us." + model, Input: 1_100_000, Output: 1_100_000},
		{Model: "old", Input: 1, Output: 1, RetiredOn: noon, RetiredBy: "anthropic", Successor: "new"},
	})
	if err != nil {
		t.Fatal(err)
	}
	p.Prices = prices
	f.Backends = []ai.BackendFact{
		{Name: "anthropic", Billable: true},
		{Name: "bedrock", Billable: true, Menu: ai.Menu{Prefixes: ai.BedrockPrefixes(), Names: map[string]string{model: "us." + model}}},
	}
	e.Corporate.InputBound, e.Corporate.BoundMicroUSD = 1000, 1210 // of the dearer one
	return e, r, f, p
}

func TestPlanGoesOnToTheNextBackend(t *testing.T) {
	past := func(class ai.Class) []messages.Attempt {
		return []messages.Attempt{{K: 1, Backend: "anthropic", Class: string(class)}}
	}
	for name, c := range map[string]struct {
		change func(*messages.Envelope, *ai.Facts)
		want   string // backend and what it is asked
	}{
		"nothing happened":         {func(*messages.Envelope, *ai.Facts) {}, "anthropic " + model},
		"it failed just now":       {func(_ *messages.Envelope, f *ai.Facts) { f.Avoid = map[string]bool{"anthropic": true} }, "bedrock us." + model},
		"both failed just now":     {func(_ *messages.Envelope, f *ai.Facts) { f.Avoid = map[string]bool{"anthropic": true, "bedrock": true} }, "anthropic " + model},
		"its breaker is open":      {func(_ *messages.Envelope, f *ai.Facts) { f.Backends[0].Held = noon.Add(time.Second) }, "bedrock us." + model},
		"its breaker was open":     {func(_ *messages.Envelope, f *ai.Facts) { f.Backends[0].Held = noon }, "anthropic " + model},
		"it is paused":             {func(_ *messages.Envelope, f *ai.Facts) { f.Backends[0].Paused = true }, "bedrock us." + model},
		"its quota was used up":    {func(e *messages.Envelope, _ *ai.Facts) { e.History = past(ai.ClassQuota) }, "bedrock us." + model},
		"it refused our key":       {func(e *messages.Envelope, _ *ai.Facts) { e.History = past(ai.ClassAuth) }, "bedrock us." + model},
		"it had no such model":     {func(e *messages.Envelope, _ *ai.Facts) { e.History = past(ai.ClassInvalid) }, "bedrock us." + model},
		"it was overloaded before": {func(e *messages.Envelope, _ *ai.Facts) { e.History = past(ai.ClassOverloaded) }, "anthropic " + model},
		"it was cut off before":    {func(e *messages.Envelope, _ *ai.Facts) { e.History = past(ai.ClassInDoubt) }, "anthropic " + model},
		"the model is retired there": {func(e *messages.Envelope, f *ai.Facts) {
			e.Corporate.Model, f.Backends[1].Menu = "old", ai.Menu{Only: map[string]bool{"old": true}}
		}, "bedrock old"},
	} {
		t.Run(name, func(t *testing.T) {
			e, r, f, p := road(t)
			c.change(e, &f)
			plan := ai.Decide(e, r, f, p)
			if got := plan.Backend.Name + " " + plan.Call.Model; got != c.want || plan.Row.Model != plan.Call.Model || plan.Refusal != nil {
				t.Errorf("asks %q (row of %s, refusal %+v), want %q", got, plan.Row.Model, plan.Refusal, c.want)
			}
		})
	}
}

func TestWithoutFailoverARetryStaysWhereItWas(t *testing.T) {
	e, r, f, p := road(t)
	p.NoFailover = true
	e.History = []messages.Attempt{{K: 1, Backend: "anthropic", Class: string(ai.ClassTransient)}, {K: 2, Class: "crash"}}
	if plan := ai.Decide(e, r, f, p); plan.Backend.Name != "anthropic" || plan.Call.Model == "" {
		t.Errorf("asks %q", plan.Backend.Name)
	}
	f.Backends[0].Held = noon.Add(time.Second)
	if plan := ai.Decide(e, r, f, p); !plan.Until.Equal(noon.Add(time.Second)) {
		t.Errorf("asks %q instead of waiting", plan.Backend.Name)
	}
	e.History = e.History[1:]
	if plan := ai.Decide(e, r, f, p); plan.Backend.Name != "bedrock" {
		t.Errorf("the first call asks %q, whose turn it is not", plan.Backend.Name)
	}
}

func TestPlanWaitsForTheFirstThatIsNoLongerHeld(t *testing.T) {
	e, r, f, p := road(t)
	f.Backends[0].Held, f.Backends[1].Held = noon.Add(time.Minute), noon.Add(time.Second)
	if plan := ai.Decide(e, r, f, p); !plan.Until.Equal(noon.Add(time.Second)) || plan.Refusal != nil {
		t.Errorf("got %+v", plan)
	}
	e.History = []messages.Attempt{{K: 1, Backend: "bedrock", Class: string(ai.ClassAuth)}}
	if plan := ai.Decide(e, r, f, p); !plan.Until.Equal(noon.Add(time.Minute)) {
		t.Errorf("it waits until %s for one that would fail again", plan.Until)
	}
}

func TestBackendThatCouldCostMoreThanIsReservedIsNotAsked(t *testing.T) {
	e, r, f, p := road(t)
	f.Backends[0].Paused = true
	e.Corporate.BoundMicroUSD = 1209
	if plan := ai.Decide(e, r, f, p); !plan.Paused {
		t.Errorf("asks %s for %s, which could cost more", plan.Backend.Name, plan.Call.Model)
	}
	e.Corporate.BoundMicroUSD = 1210
	plan := ai.Decide(e, r, f, p)
	if plan.Backend.Name != "bedrock" || plan.Bound(e.Corporate) != 1210 {
		t.Errorf("asks %q, bound %d", plan.Backend.Name, plan.Bound(e.Corporate))
	}
	f.Backends[0].Paused = false
	if plan = ai.Decide(e, r, f, p); plan.Bound(e.Corporate) != 1100 {
		t.Errorf("the cheaper one is bounded by %d", plan.Bound(e.Corporate))
	}
}

func TestCallIsPricedByTheRowThatTheRequestWasReservedBy(t *testing.T) {
	e, r, f, p := road(t)
	rows := append(p.Prices.Rows(), pricing.Row{Model: model, EffectiveFrom: noon.Add(-time.Hour), Input: 9, Output: 9})
	prices, err := pricing.NewTable(rows)
	if err != nil {
		t.Fatal(err)
	}
	old, _ := prices.Row(model, noon.Add(-2*time.Hour))
	e.Corporate.Routes = []messages.Route{{Backend: "anthropic", Model: model, PriceVersion: old.Version}}
	p.Prices = prices
	if got := ai.Decide(e, r, f, p).Row.Version; got != old.Version {
		t.Errorf("priced by %s, reserved by %s", got, old.Version)
	}
}

func TestModelThatEveryBackendRetiredIsRefusedByName(t *testing.T) {
	e, r, f, p := road(t)
	e.Corporate.Model, f.Backends = "old", f.Backends[:1]
	if got := ai.Decide(e, r, f, p).Refusal; got == nil || got.Reason != messages.ReasonModelRetired {
		t.Errorf("got %+v", got)
	}
}

func TestOtherBackendsAreAskedAtOnceWhereThatHelps(t *testing.T) {
	for _, c := range []struct {
		step  ai.Step
		fault ai.Fault
		want  bool
	}{
		{ai.StepLater, ai.Fault{Class: ai.ClassTransient}, true},
		{ai.StepEnd, ai.Fault{Class: ai.ClassTransient}, false}, // as often as settings allow
		{ai.StepLater, ai.Fault{Class: ai.ClassOverloaded}, true},
		{ai.StepLater, ai.Fault{Class: ai.ClassRateLimited}, false}, // it is well, and says when
		{ai.StepEnd, ai.Fault{Class: ai.ClassQuota}, true},
		{ai.StepEnd, ai.Fault{Class: ai.ClassAuth}, true},
		{ai.StepEnd, ai.Fault{Class: ai.ClassInvalid}, false},
		{ai.StepEnd, ai.Fault{Class: ai.ClassInvalid, Elsewhere: true}, true},
		{ai.StepEnd, ai.Fault{Class: ai.ClassRefused}, false},
		{ai.StepAgain, ai.Fault{Class: ai.ClassInDoubt}, true},
		{ai.StepEnd, ai.Fault{Class: ai.ClassInDoubt}, false}, // it may have been paid for as often as is allowed
		{ai.StepLater, ai.Fault{Class: ai.ClassDrained}, false},
	} {
		if got := ai.Elsewhere(c.step, &c.fault); got != c.want {
			t.Errorf("%s at step %d: %v", c.fault.Class, c.step, got)
		}
	}
}

func TestMenuKnowsItsModels(t *testing.T) {
	bedrock := ai.Menu{Prefixes: ai.BedrockPrefixes(), Names: map[string]string{"claude-x": "us.anthropic.claude-x-v1:0"}}
	for _, c := range []struct {
		menu  ai.Menu
		model string
		id    string
		has   bool
	}{
		{ai.Menu{}, "anything", "anything", true},
		{ai.Menu{Only: map[string]bool{"a": true}}, "a", "a", true},
		{ai.Menu{Only: map[string]bool{"a": true}}, "b", "b", false},
		{ai.Menu{Only: map[string]bool{"a": true}, Names: map[string]string{"b": "c"}}, "b", "c", true},
		{bedrock, "amazon.nova-lite-v1:0", "amazon.nova-lite-v1:0", true},
		{bedrock, "global.amazon.nova-2-lite-v1:0", "global.amazon.nova-2-lite-v1:0", true},
		{bedrock, "claude-x", "us.anthropic.claude-x-v1:0", true},
		{bedrock, "claude-y", "claude-y", false},
		{ai.Menu{Prefixes: ai.AnthropicPrefixes()}, "anthropic.claude-3", "anthropic.claude-3", false},
		{ai.Menu{Prefixes: ai.OpenAIPrefixes()}, "o3", "o3", true},
		{ai.Menu{Prefixes: ai.OpenAIPrefixes()}, "text-embedding-3-small", "text-embedding-3-small", true},
	} {
		if id, has := c.menu.Find(c.model); id != c.id || has != c.has {
			t.Errorf("%s: %s %v", c.model, id, has)
		}
	}
}

func TestBackendThatIsDownIsNamedWithTheTimeLeft(t *testing.T) {
	e, r, f, p := road(t)
	f.Backends = f.Backends[:1]
	b := &f.Backends[0]
	b.Down, b.DownBy, b.DownUntil = messages.ReasonBackendAuth, "anthropic is unhealthy after auth (401)", noon.Add(42*time.Second)
	want := "anthropic is unhealthy after auth (401); one call tries again in 42s, and the first one after a restart"
	if got := ai.Decide(e, r, f, p).Refusal; got == nil || got.Reason != messages.ReasonBackendAuth || got.Detail != want {
		t.Errorf("got %+v, want %q", got, want)
	}
	b.DownUntil = time.Time{}
	want = "anthropic is unhealthy after auth (401); nothing is asked of it before a restart, or before its credentials are others"
	if got := ai.Decide(e, r, f, p).Refusal; got == nil || got.Detail != want {
		t.Errorf("got %+v, want %q", got, want)
	}
}
