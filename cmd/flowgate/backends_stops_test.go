package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"flowgate/messages"
	"flowgate/pipelines/ai"
	"flowgate/worker/breaker"
	"flowgate/worker/fleet"
)

var stopsNow = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

// stopped is a backend at stopsNow that was asked for the models a and b.
func stopped(change func(*fleet.Backend)) fleet.Backend {
	b := fleet.Backend{Name: "anthropic", Standing: fleet.Standing{Breaker: "closed", Paces: []fleet.Pace{{Model: "a", From: "none"}, {Model: "b", From: "none"}}}}
	change(&b)
	return b
}

func TestStopsOfABackendAreShown(t *testing.T) {
	soon := stopsNow.Add(42 * time.Second)
	for name, c := range map[string]struct {
		change func(*fleet.Backend)
		state  string
		says   []string
	}{
		"well":               {func(*fleet.Backend) {}, "available", nil},
		"a block that ended": {func(b *fleet.Backend) { b.Paces[0].BlockedUntil = stopsNow }, "available", nil},
		"one model blocked":  {func(b *fleet.Backend) { b.Paces[0].BlockedUntil = soon }, "partly", []string{"a is blocked after rate_limited until 2026-01-31 12:00:42.000, 42 s left"}},
		"every model blocked": {func(b *fleet.Backend) {
			b.Paces[0].BlockedUntil, b.Paces[1].BlockedUntil = soon, stopsNow.Add(time.Hour)
		}, "blocked", []string{
			"a is blocked after rate_limited until 2026-01-31 12:00:42.000, 42 s left", "b is blocked after rate_limited until 2026-01-31 13:00:00.000, 1h0m0s left",
		}},
		"its key refused":         {func(b *fleet.Backend) { b.Breaker, b.HeldBy, b.HeldUntil = "unhealthy", "auth 401", soon }, "held", []string{"held after auth 401 until 2026-01-31 12:00:42.000, 42 s left"}},
		"refused until a restart": {func(b *fleet.Backend) { b.Breaker, b.HeldBy = "unhealthy", "auth 401" }, "held", []string{"held after auth 401, until a restart"}},
		"a model refused": {func(b *fleet.Backend) {
			b.ModelBreakers = []fleet.ModelBreaker{{Model: "b", State: "unhealthy", Class: "auth", Code: "403", Until: soon}}
		}, "partly", []string{"b is held after auth 403 until 2026-01-31 12:00:42.000, 42 s left"}},
		"the only model refused": {func(b *fleet.Backend) {
			b.Paces, b.ModelBreakers = b.Paces[:1], []fleet.ModelBreaker{{Model: "a", State: "open", Class: "transient", Until: soon}}
		}, "held", []string{"a is held after transient until 2026-01-31 12:00:42.000, 42 s left"}},
		"a model tries": {func(b *fleet.Backend) {
			b.ModelBreakers = []fleet.ModelBreaker{{Model: "b", State: "half_open", Class: "auth"}}
		}, "available", nil},
	} {
		b := stopped(c.change)
		var says []string
		for _, s := range stopsOf(b, stopsNow) {
			says = append(says, s.String())
		}
		if state := stateBy(stopsOf(b, stopsNow), b); state != c.state || !slices.Equal(says, c.says) {
			t.Errorf("%s: %s, %q, want %s, %q", name, state, says, c.state, c.says)
		}
	}
}

func TestTableAndJSONOfBackendsHaveTheirStops(t *testing.T) {
	held := stopped(func(b *fleet.Backend) {
		b.Breaker, b.HeldBy, b.HeldUntil = "unhealthy", "auth 401", time.Now().Add(time.Hour)
	})
	for _, asJSON := range []bool{false, true} {
		v := backendsView{Asked: "processes", Processes: 1, Backends: []backendView{{Backend: held, Used: true}}}
		var out strings.Builder
		if err := v.show(&out, asJSON, false); err != nil {
			t.Fatal(err)
		}
		wants := []string{"anthropic  held   unhealthy", "  anthropic  held after auth 401 until ", " left\n"}
		if asJSON {
			wants = []string{`"state": "held"`, `"by": "auth 401"`, `"seconds_left": 3`}
		}
		for _, want := range wants {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%q is missing in\n%s", want, out.String())
			}
		}
	}
}

func TestExplainTellsWhatWaitsInLayer2(t *testing.T) {
	soon := stopsNow.Add(42 * time.Second)
	view := func(change func(*fleet.Backend)) []backendView {
		return []backendView{{Backend: stopped(change), Used: true}, {Backend: fleet.Backend{Name: "openai", Prefixes: []string{"gpt-"}, Standing: fleet.Standing{Breaker: "unhealthy"}}, Used: true}}
	}
	waiting := &messages.Envelope{Corporate: &messages.CorporateSection{Model: "a"}}
	later := &messages.Envelope{Corporate: &messages.CorporateSection{Model: "a"}, NotBefore: soon}
	for name, c := range map[string]struct {
		at       *whereabouts
		backends []backendView
		want     string
	}{
		"its turn": {&whereabouts{State: messages.StateAI, Envelope: waiting}, view(func(*fleet.Backend) {}), ""},
		"blocked": {
			&whereabouts{State: messages.StateAI, Envelope: later}, view(func(b *fleet.Backend) { b.Paces[0].BlockedUntil = soon }),
			"anthropic: a is blocked after rate_limited until 2026-01-31 12:00:42.000, 42 s left; its next turn at 2026-01-31 12:00:42.000, in 42 s",
		},
		"another model is blocked": {&whereabouts{State: messages.StateAI, Envelope: waiting}, view(func(b *fleet.Backend) { b.Paces[1].BlockedUntil = soon }), ""},
		"a rate limit": {
			&whereabouts{State: messages.StateAI, Envelope: waiting}, view(func(b *fleet.Backend) {
				b.Paces[0] = fleet.Pace{Model: "a", From: "headers", PerSecond: 50, Waiting: 2, Away: 3}
			}),
			"anthropic: its rate limit, 50.0 calls/s by headers; 5 wait",
		},
		"a call": {
			&whereabouts{State: messages.StateCalling, Envelope: waiting, Call: &messages.Attempt{K: 2, Backend: "anthropic", Model: "a", StartedAt: stopsNow.Add(-3 * time.Second)}}, nil,
			"call 2, of anthropic for a, under way for 3 s",
		},
	} {
		if got := strings.Join(waitsFor(c.at, c.backends, stopsNow), "; "); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestBackendIsAskedAgainWhenItsCredentialsAreOthers(t *testing.T) {
	b, err := breaker.New(breaker.DefaultOptions())
	if err != nil {
		t.Fatal(err)
	}
	n := &node{breakers: b}
	permit, refused := b.Allow("bedrock", "m")
	if refused != nil {
		t.Fatal(refused)
	}
	permit.Done(&ai.Fault{Class: ai.ClassAuth, Code: "401"})
	if n.renewed("bedrock"); b.Check("bedrock", "m") == nil {
		t.Error("a node that is not ready yet touches its breakers")
	}
	n.ready.Store(true)
	if n.renewed("bedrock"); b.Check("bedrock", "m") != nil {
		t.Error(b.Check("bedrock", "m"))
	}
}
