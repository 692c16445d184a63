package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"flowgate/worker/breaker"
	"flowgate/worker/fleet"
	"flowgate/worker/sessions"
)

// fakeEverything starts a fake provider and leads a ground's processes to it.
func fakeEverything(t *testing.T, g *ground) (url string) {
	t.Helper()
	fake := g.begin(g.command("fake-provider", "--json", "--listen", "127.0.0.1:0", "--latency", "0s"), "")
	var said struct {
		URL string
		Env map[string]string
	}
	if !fake.until("the provider serves", func() bool { return json.Unmarshal([]byte(fake.out.String()), &said) == nil }) {
		t.Fatal(fake.err)
	}
	for name, value := range said.Env {
		g.env = append(g.env, name+"="+value)
	}
	return said.URL
}

const everyBackend = quickSettings + "  backends: {openai: {models: [gpt-4o-mini]}, bedrock: {names: {claude-haiku-4-5: us.anthropic.claude-haiku-4-5-20251001-v1:0}}}\n" +
	"integrations: {mlflow: {enabled: true}}\n"

// seenBackends is what `flowgate backends --json` prints, by name.
func seenBackends(t *testing.T, said ran) (v backendsView, by map[string]backendView) {
	t.Helper()
	said.read(t, &v)
	by = map[string]backendView{}
	for _, b := range v.Backends {
		by[b.Name] = b
	}
	return v, by
}

func TestBackendsAreShownAndCheckedForReal(t *testing.T) {
	t.Parallel()
	g := newGround(t, everyBackend)
	fakeEverything(t, g)
	v, by := seenBackends(t, g.say("backends", "--check", "--json"))
	if v.Asked != "settings" || v.Why == "" {
		t.Errorf("%+v", v)
	}
	for _, name := range []string{"anthropic", "openai", "bedrock", "mlflow"} {
		if b := by[name]; !b.Used || b.Check == nil || b.Check.State != sessions.StateHealthy || b.Check.By != "this command" {
			t.Errorf("%+v %+v", b, b.Check)
		}
	}
	if b := by["offline"]; b.Used || b.Check != nil || b.Skipped == "" {
		t.Errorf("%+v", b)
	}
	g.up().ready()
	for _, model := range []string{"claude-haiku-4-5", "gpt-4o-mini", "amazon.nova-lite-v1:0"} {
		g.say("submit", "--model", model, "--wait", "--reason", "trying every backend once", "Say OK").wants(t, exitDone)
	}
	v, by = seenBackends(t, g.say("backends", "--json"))
	if v.Asked != "processes" || v.Processes != 1 {
		t.Errorf("%+v", v)
	}
	for name, credentials := range map[string]string{
		"anthropic": "environment (ANTHROPIC_API_KEY)", "openai": "environment (OPENAI_API_KEY)", "bedrock": "environment (AWS_ACCESS_KEY_ID)",
	} {
		b := by[name]
		if b.Source != credentials || b.Calls == nil || b.Calls.Requests != 1 || b.Calls.Errors != 0 || b.Breaker != "closed" || len(b.Paces) != 1 || b.Processes != 1 || b.Priced == 0 {
			t.Errorf("%s: %+v %+v", name, b, b.Calls)
		}
	}
	whole := g.say("backends", "anthropic", "--check")
	whole.wants(t, exitDone, "anthropic: available", "claude-*", "1 in 5 minutes, 0 failed", "calls/s", "healthy")
	table := g.say("backends")
	table.wants(t, exitDone, "BACKEND", "anthropic", "mlflow", "  offline    a real backend answers")
	for line := range strings.Lines(table.stdout) {
		if len(strings.TrimRight(line, "\n")) > 100 {
			t.Errorf("%d columns: %s", len(line), line)
		}
	}
	if strings.Contains(whole.stdout+table.stdout, fakeKey) {
		t.Error("a key is shown")
	}
	g.say("backends", "--models").wants(t, exitDone, "claude-haiku-4-5", "anthropic, bedrock")
}

func TestChecksOfBackendsFailWithTheBackend(t *testing.T) {
	t.Parallel()
	g := newGround(t, quickSettings+"  backends: {allowed: [anthropic, openai]}\n", "OPENAI_BASE_URL=http://127.0.0.1:1/v1")
	g.say("backends", "--check").wants(t, exitFailed, "openai", "unhealthy", "anthropic  it has no key")
	g.say("backends", "anthropic", "--check").wants(t, exitDone, "anthropic: skipped")
	g.say("backends", "anthropik").wants(t, exitUsage, "must be of anthropic, openai, bedrock, mlflow, offline")
}

func TestStandingsOfProcessesAreAddedUp(t *testing.T) {
	until := time.Now().Add(time.Minute)
	told := func(skipped, state string, waiting int) fleet.Answer {
		return fleet.Answer{Report: fleet.Report{BackendStates: []fleet.Backend{{
			Name: "openai", Skipped: skipped, Standing: fleet.Standing{Breaker: state, HeldUntil: until, Paces: []fleet.Pace{{Model: "m", PerSecond: 50, Waiting: waiting}}},
		}}}}
	}
	v := backendsView{Why: "not asked yet"}
	v.gather(fleet.Fleet{Answers: []fleet.Answer{told("no key", "", 0), told("", "closed", 3), told("", "open", 4), {}}})
	if v.Processes != 3 || v.Why != "" || len(v.Backends) != 1 {
		t.Fatalf("%+v", v)
	}
	b := v.Backends[0]
	if !b.Used || b.Processes != 2 || b.Skipped != "" || b.Breaker != "open" || b.Paces[0].Waiting != 7 || b.Paces[0].PerSecond != 50 || b.state(time.Now()) != "held" {
		t.Errorf("%+v", b)
	}
}

func TestStandingTellsBreakersOfBackendAndModels(t *testing.T) {
	next := time.Now().Add(time.Minute)
	var s fleet.Standing
	byBreakers(&s, []breaker.State{
		{Backend: "other", State: breaker.Open},
		{Backend: "openai", State: breaker.Held, Class: "quota", Code: "insufficient_quota", Next: &next},
		{Backend: "openai", Model: "a", State: breaker.Closed},
		{Backend: "openai", Model: "b", State: breaker.Open, Class: "transient", Code: "500"},
	}, "openai")
	if s.Breaker != "held" || s.HeldBy != "quota insufficient_quota" || s.HeldUntil.IsZero() {
		t.Errorf("%+v", s)
	}
	if want := []fleet.ModelBreaker{{Model: "b", State: "open", Class: "transient", Code: "500"}}; !slices.Equal(s.ModelBreakers, want) {
		t.Errorf("%+v", s.ModelBreakers)
	}
	if empty := standingOf(nil, nil)("openai"); empty.Breaker != "" || empty.Paces != nil {
		t.Errorf("%+v", empty)
	}
}
