package fleet_test

import (
	"fmt"
	"strings"
	"testing"

	"flowgate/messages"
	"flowgate/pipelines"
	"flowgate/worker/fleet"
	"flowgate/worker/sessions"
)

// member is a process: its layers, and "service=state" for what it says of services.
func member(layers string, health ...string) fleet.Answer {
	var a fleet.Answer
	for word := range strings.FieldsSeq(layers) {
		for _, l := range messages.Layers() {
			if strings.HasPrefix(string(l), word) {
				a.Layers = append(a.Layers, l)
			}
		}
	}
	for _, h := range health {
		service, state, _ := strings.Cut(h, "=")
		a.Health = append(a.Health, sessions.Health{Service: service, State: sessions.State(state), Error: service + " fault"})
	}
	return a
}

func TestGatewaysStandAsTheFleetSays(t *testing.T) {
	well := []string{"nats=healthy", "postgres=healthy"}
	all := "corporate ai workflow"
	for name, c := range map[string]struct {
		fleet  []fleet.Answer
		paused map[messages.LayerName]string
		want   string
		why    string
	}{
		"all in one":           {fleet: []fleet.Answer{member(all, well...)}, want: "running 1, running 1, running 1"},
		"each its own":         {fleet: []fleet.Answer{member("corporate", well...), member("ai", well...), member("workflow", well...), member("ai", well...)}, want: "running 1, running 2, running 1"},
		"nobody":               {want: "stopped 0, stopped 0, stopped 0", why: "no process runs it"},
		"layer 1 is missing":   {fleet: []fleet.Answer{member("ai workflow", well...)}, want: "stopped 0, blocked 1, blocked 1", why: "it needs corporate_llm: no process runs it"},
		"layer 2 is missing":   {fleet: []fleet.Answer{member("corporate workflow", well...)}, want: "running 1, stopped 0, blocked 1", why: "it needs ai_processing: no process runs it"},
		"layer 1 has no money": {fleet: []fleet.Answer{member(all, "nats=healthy", "postgres=unhealthy")}, want: "degraded 1, blocked 1, blocked 1", why: "it needs corporate_llm: postgres is unhealthy: postgres fault"},
		"one of two is ill":    {fleet: []fleet.Answer{member(all, "nats=healthy", "postgres=unhealthy"), member(all, well...)}, want: "degraded 2, running 2, running 2", why: "postgres is unhealthy"},
		"slow":                 {fleet: []fleet.Answer{member(all, "nats=degraded", "postgres=healthy")}, want: "degraded 1, degraded 1, degraded 1", why: "nats is degraded"},
		"nobody has looked":    {fleet: []fleet.Answer{member(all)}, want: "unknown 1, unknown 1, unknown 1", why: "do not say"},
		"paused": {
			fleet: []fleet.Answer{member(all, well...)}, paused: map[messages.LayerName]string{messages.LayerAI: "by ops: cost"},
			want: "running 1, paused 1, running 1", why: "by ops: cost",
		},
		"paused and stopped": {
			fleet: []fleet.Answer{member("corporate", well...)}, paused: map[messages.LayerName]string{messages.LayerAI: "by ops: cost"},
			want: "running 1, stopped 0, stopped 0", why: "no process runs it",
		},
	} {
		gateways, err := fleet.Gateways(pipelines.Chain(), fleet.Fleet{Answers: c.fleet}, c.paused)
		if err != nil {
			t.Fatal(err)
		}
		var got, why []string
		for _, g := range gateways {
			got = append(got, fmt.Sprint(g.State, " ", g.Processes))
			why = append(why, g.Why)
		}
		if strings.Join(got, ", ") != c.want || !strings.Contains(strings.Join(why, "\n"), c.why) {
			t.Errorf("%s: %v, want %s; because %q, want %q", name, got, c.want, why, c.why)
		}
	}
}

func TestABackendInUseCountsAtLayerTwoAlone(t *testing.T) {
	a := member("corporate ai workflow", "nats=healthy", "postgres=healthy", "bedrock=unhealthy", "s3=unhealthy")
	a.Backends = []string{"bedrock"}
	gateways, err := fleet.Gateways(pipelines.Chain(), fleet.Fleet{Answers: []fleet.Answer{a}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []fleet.State{fleet.StateRunning, fleet.StateDegraded, fleet.StateBlocked} {
		if gateways[i].State != want {
			t.Errorf("%s is %s (%s), want %s", gateways[i].Name, gateways[i].State, gateways[i].Why, want)
		}
	}
}
