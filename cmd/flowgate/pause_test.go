package main

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"flowgate/messages"
	"flowgate/worker"
	"flowgate/worker/control"
	"flowgate/worker/state"
)

// operator is JetStream as the operator of the built-in broker has it, until the test ends.
func (g *ground) operator() jetstream.JetStream {
	g.t.Helper()
	info, err := state.Read(g.state)
	if err != nil {
		g.t.Fatal(err)
	}
	conn, err := nats.Connect(info.NATSURL, nats.UserInfo(info.OperatorUser, info.OperatorPassword))
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		g.t.Fatal(err)
	}
	return js
}

// lastEvent reads the newest event of a kind as the operator.
func (g *ground) lastEvent(tenant string, kind messages.EventKind) messages.Event {
	g.t.Helper()
	stream, err := g.operator().Stream(g.t.Context(), worker.EventsStream)
	if err != nil {
		g.t.Fatal(err)
	}
	msg, err := stream.GetLastMsgForSubject(g.t.Context(), messages.EventSubject(tenant, kind))
	if err != nil {
		g.t.Fatal(err)
	}
	event, err := messages.DecodeEvent(msg.Data)
	if err != nil {
		g.t.Fatal(err)
	}
	return event
}

// TestPausedRequestsSaySoSurviveAKillAndGoOn: a tenant is paused; one request waits for it and one ends at its deadline, the
// process is killed meanwhile, and everything goes on when the tenant is resumed.
func TestPausedRequestsSaySoSurviveAKillAndGoOn(t *testing.T) {
	t.Parallel()
	g := newGround(t, quickSettings)
	up := g.up()
	up.ready()
	g.say("pause", "tenant", "default", "--reason", "invoice in dispute", "--by", "finance").wants(t, exitDone, "tenant default is paused")
	g.say("pause", "tenant", "default", "--reason", "invoice in dispute", "--by", "finance").wants(t, exitDone, "was paused before")
	if e := g.lastEvent("default", messages.EventPaused); e.Pause == nil || e.Pause.By != "finance" || e.Pause.Reason != "invoice in dispute" || e.Pause.Version == 0 {
		t.Errorf("recorded %+v", e.Pause)
	}
	expires := time.Now().Add(6 * time.Second).UTC()
	g.say("submit", "--id", "waits", "--reason", "a drill of pauses", "Say OK").wants(t, exitDone)
	g.say("submit", "--id", "late", "--reason", "a drill of pauses", "--not-after", expires.Format(time.RFC3339Nano), "Say OK").wants(t, exitDone)
	eventually(t, "the result says why", func() bool {
		r := g.say("result", "waits")
		return strings.Contains(r.stdout, "at hold") && strings.Contains(r.stdout, "tenant default is paused") && strings.Contains(r.stdout, "invoice in dispute")
	})
	up.kill()
	up = g.up()
	up.ready()
	latest := expires
	if back := time.Now(); back.After(latest) { // a start may take as long
		latest = back
	}
	var pauses []control.Pause
	g.say("pauses", "--json").read(t, &pauses)
	if len(pauses) != 1 || pauses[0].Name != "default" || pauses[0].Reason != "invoice in dispute" {
		t.Errorf("pauses %+v", pauses)
	}
	late := g.result("late", "--wait")
	if late.Status != messages.StatusTimeout || late.FinishedAt.Before(expires) || late.FinishedAt.After(latest.Add(10*time.Second)) {
		t.Errorf("the one with a deadline at %s ended as %s at %s", expires, late.Status, late.FinishedAt)
	}
	var waits messages.Result
	g.say("result", "waits", "--json").read(t, &waits)
	if waits.State != messages.ResultPending || waits.Reason != messages.ReasonPaused || !waits.Retry {
		t.Errorf("the other is %+v", waits)
	}
	g.say("resume", "tenant", "default").wants(t, exitDone, "goes on")
	g.say("resume", "tenant", "default").wants(t, exitDone, "was not paused")
	if r := g.result("waits", "--wait"); r.Status != messages.StatusSuccess || r.Metadata.Attempts != 1 {
		t.Errorf("it ended as %+v", r)
	}
	g.say("pauses").wants(t, exitDone, "nothing is paused")
	up.stop()
}

// TestALayerABackendAndAnAgreementArePausedAcrossADrain: what is paused stays so while the process is stopped and started.
func TestALayerABackendAndAnAgreementArePausedAcrossADrain(t *testing.T) {
	t.Parallel()
	g := newGround(t, quickSettings)
	up := g.up()
	up.ready()
	for i, p := range [][2]string{{"layer", "optimizer"}, {"backend", "offline"}, {"class", "std"}, {"layer", "corporate"}} {
		id := fmt.Sprintf("r%d", i)
		g.say("pause", p[0], p[1], "--reason", "a drill of pauses").wants(t, exitDone, "is paused")
		g.say("submit", "--id", id, "--reason", "a drill of pauses", "Say OK").wants(t, exitDone)
		eventually(t, "the result says why", func() bool { return strings.Contains(g.say("result", id).stdout, "is paused") })
		if i == 1 {
			up.signal(syscall.SIGTERM)
			up.ended().wants(t, exitDone)
			up = g.up()
			up.ready()
		}
		g.say("resume", p[0], p[1]).wants(t, exitDone, "goes on")
		if r := g.result(id, "--wait"); r.Status != messages.StatusSuccess || r.Metadata.Attempts != 1 {
			t.Errorf("paused %s: it ended as %+v", p, r)
		}
	}
	up.stop()
}

func TestPauseRefusesWhatIsNot(t *testing.T) {
	t.Parallel()
	g := newGround(t, quickSettings)
	for words, args := range map[string][]string{
		"use layer, class":            {"pause", "planet", "mars", "--reason", "r"},
		`did you mean "optimizer"`:    {"pause", "layer", "optimiser", "--reason", "r"},
		`did you mean "batch"`:        {"pause", "class", "bach", "--reason", "r"},
		`did you mean "openai"`:       {"pause", "backend", "opnai", "--reason", "r"},
		`did you mean "[Error Analys`: {"pause", "agreement", "[Eror Analysis]", "--reason", "r"},
		"reason is missing":           {"pause", "layer", "ai"},
		"1 to 63 characters":          {"pause", "tenant", "a.b c", "--reason", "r"},
		"accepts 2 arg":               {"resume", "layer"},
	} {
		g.say(args...).wants(t, exitUsage, words)
	}
	g.say("pause", "layer", "ai", "--reason", "nobody runs").wants(t, exitEnvironment, "flowgate up")
}
