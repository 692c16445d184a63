package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"flowgate/messages"
	"flowgate/worker/doctor"
	"flowgate/worker/fleet"
	"flowgate/worker/sessions"
)

// TestPipelineAndBoardTellTheTruth: two requests of one correlation id, one that is denied, one that waits; and boards of that, of a pause,
// of a database that does not answer, and of nothing.
func TestPipelineAndBoardTellTheTruth(t *testing.T) {
	t.Parallel()
	g := newGround(t, quickSettings+"  probes: {interval: 1s, timeout: 30s, slow: 20s}\n")
	up := g.up()
	up.ready()
	g.pipelinesAreJoined()
	g.pipelinesThatDoNotSucceed()
	g.boardsTell()
	g.boardsGoOn()
	up.stop()
	g.say("board").wants(t, exitEnvironment, "unknown", "the broker cannot be reached")
}

// stageStates are the states of a request's stages, in order.
func stageStates(v pipelineView, number int) string {
	var states []string
	for _, s := range v.Stages {
		if s.Number == number {
			states = append(states, s.Stage+" "+s.State)
		}
	}
	return strings.Join(states, ", ")
}

func (g *ground) pipelinesAreJoined() {
	t := g.t
	t.Helper()
	var v pipelineView
	asked := g.say("pipeline", "run", "--id", "question", "--correlation-id", "order-1", "--user", "anna", "--reason", "a test of pipelines", "--json", "Say OK \x1b[31m")
	asked.wants(t, exitDone)
	asked.read(t, &v)
	if v.CorrelationID != "order-1" || len(v.Requests) != 1 || v.Result == nil || v.Result.Status != messages.StatusSuccess || v.Result.CorrelationID != "order-1" {
		t.Fatalf("the first request is %s", asked.stdout)
	}
	if got, want := stageStates(v, 1), "agreement pass, governance approved, ai processed, optimizer validated, outcome success"; got != want {
		t.Errorf("stages are %s, want %s", got, want)
	}
	if a := v.Stages[0].Agreement; a == nil || a.Trigger != pipelineTrigger || a.Version == "" || a.Confidence == nil || *a.Confidence != 1 {
		t.Errorf("the agreement is %+v", a)
	}
	if f := v.Stages[1].Governance; f == nil || f.PolicyVersion == "" || f.ReservedMicroUSD == 0 || f.Compliance == nil {
		t.Errorf("governance is %+v", f)
	}
	if f := v.Stages[2].AI; f == nil || f.Backend != "offline" || len(f.Attempts) != 1 || f.TokensOut == 0 || f.CostMicroUSD != v.Result.Metadata.CostMicroUSD {
		t.Errorf("the model's stage is %+v", f)
	}

	// The action of another agreement, under the same id: one trail of both.
	acted := g.say("pipeline", "run", "--id", "action", "--correlation-id", "order-1", "--user", "anna", "--reason", "a test of pipelines", "--trigger", "[Error Analysis]")
	acted.wants(t, exitDone, "correlation id order-1: 2 requests", "#1 question", "#2 action", "action error_analysis: real")
	fitsIn(t, acted.stdout, pageWidth)
	v = pipelineView{}
	g.say("pipeline", "show", "order-1", "--json").read(t, &v)
	if v.Result != nil || len(v.Requests) != 2 || v.Requests[0].ID != "question" || v.Requests[1].Kind != messages.KindAction {
		t.Errorf("both are %+v", v.Requests)
	}
	if x := v.Stages[8].Optimizer; x == nil || x.Execution == nil || x.Execution.Mode != messages.ExecutionReal {
		t.Errorf("the action's check is %+v", x)
	}
	g.trailIsWhole(v.Trail)
	g.say("submit", "--id", "third", "--correlation-id", "order-1", "--reason", "a test of pipelines", "--wait", "Say OK").wants(t, exitDone)
	eventually(t, "a request that was submitted alone is part of the trail", func() bool {
		return strings.Contains(g.say("pipeline", "show", "order-1").stdout, "#3 third, epoch 0: success")
	})

	// An action's parts are found by the id of the request whose action it is, with that request.
	g.say("flow", "run", "[Integration Test]", "--id", "origin").wants(t, exitDone, "real")
	eventually(t, "the action and its part are one trail", func() bool {
		said := g.say("pipeline", "show", "origin").stdout
		return strings.Contains(said, "#1 origin, epoch 0: success") && strings.Contains(said, "#2 action-")
	})
}

// trailIsWhole wants the records of both requests in order of time, each with its place.
func (g *ground) trailIsWhole(trail []trailRecord) {
	t := g.t
	t.Helper()
	events := map[int][]string{}
	for i, r := range trail {
		if i > 0 && (r.OffsetMS < trail[i-1].OffsetMS || r.At.Before(trail[i-1].At)) {
			t.Errorf("the trail is out of order: %+v", trail)
		}
		if slices.Contains([]string{"intent", "outcome success"}, r.Event) && (r.Seq == 0 || r.Stream != "FLOWGATE_WORK_0") {
			t.Errorf("a record without its place: %+v", r)
		}
		events[r.Number] = append(events[r.Number], r.Event)
	}
	for _, n := range []int{1, 2} {
		for _, event := range []string{"submitted", "admission approved", "approved", "intent", "validated", "outcome success"} {
			if !slices.Contains(events[n], event) {
				t.Errorf("the trail of request %d lacks %q: %v", n, event, events[n])
			}
		}
	}
}

func (g *ground) pipelinesThatDoNotSucceed() {
	t := g.t
	t.Helper()
	var v pipelineView
	run := []string{"pipeline", "run", "--reason", "a test of pipelines", "--user", "anna"}
	denied := g.say(append(run, "--trigger", "[No Such Thing]", "--json", "Say OK")...)
	denied.wants(t, exitFailed)
	denied.read(t, &v)
	if got, want := stageStates(v, 1), "agreement fail, governance denied, ai not_reached, optimizer not_reached, outcome denied"; got != want {
		t.Errorf("stages are %s, want %s", got, want)
	}
	if messages.CheckCorrelationID(v.CorrelationID) != nil || v.CorrelationID == "" || v.Stages[4].Outcome.Next == "" {
		t.Errorf("denied is %s", denied.stdout)
	}
	waits := g.say(append(run, "--run-at", "+1h", "--not-after", "+2h", "--timeout", "2s", "--json", "Say OK")...)
	waits.wants(t, exitFailed, "is pending")
	v = pipelineView{}
	waits.read(t, &v)
	if v.Result == nil || v.Result.State != messages.ResultPending {
		t.Errorf("waiting is %s", waits.stdout)
	}
	g.say(append(run, "--id", "question", "Say OK")...).wants(t, exitFailed, "was submitted before")
	g.say(append(run, "--correlation-id", "a b", "Say OK")...).wants(t, exitUsage, "correlation_id")
	g.say(run...).wants(t, exitDone, "action cost_analysis: real")
	g.say(append(run, "--trigger", "")...).wants(t, exitUsage, "give a prompt")
	g.say("pipeline", "show", "order-9").wants(t, exitFailed, "nothing is recorded")
	g.say("pipeline", "show", "a.b").wants(t, exitUsage, "correlation_id")
}

// board asks for one, and takes off the reasons that are this machine's.
func (g *ground) board(args ...string) (b board, code int) {
	g.t.Helper()
	said := g.say(append([]string{"board", "--once", "--json"}, args...)...)
	said.read(g.t, &b)
	b.Reasons = slices.DeleteFunc(b.Reasons, func(r boardReason) bool {
		return r.Code == string(doctor.DiskLow) || r.Code == string(doctor.ClockSkew)
	})
	return b, said.code
}

func (g *ground) boardsTell() {
	t := g.t
	t.Helper()
	var b board
	var code int
	whole := func() bool {
		b, code = g.board("--timeout", "30s")
		return len(b.Reasons) == 0
	}
	eventually(t, "everything is healthy", whole)
	if b.State == sessions.StateHealthy && code != exitDone {
		t.Errorf("exit code %d of a healthy board", code)
	}
	if b.Processes != 1 || len(b.Gateways) != 3 || len(b.Queues) != 12 || b.Money == nil || b.Money.Today.Calls < 2 || b.Letters == nil || len(b.Unknown) > 0 || len(b.Backends) != 1 {
		t.Errorf("the board is %+v", b)
	}
	for _, gateway := range b.Gateways {
		if gateway.State != fleet.StateRunning || gateway.Requests == 0 || gateway.Took.P99 <= 0 {
			t.Errorf("a gateway is %+v", gateway)
		}
	}
	at := slices.IndexFunc(b.Agreement, func(a boardAgreed) bool { return a.Trigger == "[Error Analysis]" })
	if at < 0 || b.Agreement[at].Executions == nil || b.Agreement[at].Executions.Real != 1 || b.Agreement[at].Executions.All != 1 {
		t.Errorf("the agreements are %+v", b.Agreement)
	}
	fitsIn(t, g.say("board").stdout, pageWidth)

	g.say("pause", "layer", "ai_processing", "--reason", "a test of boards").wants(t, exitDone)
	eventually(t, "the board tells of the pause", func() bool {
		b, code = g.board("--timeout", "30s")
		return code == exitFailed && b.State != sessions.StateHealthy && len(b.Paused) == 1 &&
			slices.ContainsFunc(b.Reasons, func(r boardReason) bool { return r.About == "layer ai_processing" && r.State == sessions.StateDegraded })
	})
	g.say("resume", "layer", "ai_processing").wants(t, exitDone)

	// A database that takes connections and answers none holds nobody else up.
	thaw := g.freezeDatabase()
	b, code = g.board("--timeout", "10s")
	if code != exitFailed || b.State == sessions.StateHealthy || b.Money != nil || b.Letters != nil || b.Agreement != nil ||
		!slices.ContainsFunc(b.Reasons, func(r boardReason) bool { return r.About == "database" && r.State == sessions.StateUnknown }) {
		t.Errorf("without an answer of the database, exit code %d, the board is %+v", code, b)
	}
	thaw()
	eventually(t, "everything is healthy again", whole)
}

// freezeDatabase stops the private Postgres from taking connections up until thaw.
func (g *ground) freezeDatabase() (thaw func()) {
	g.t.Helper()
	data, err := os.ReadFile(filepath.Join(g.state, "postgres", "data", "postmaster.pid"))
	if err != nil {
		g.t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.SplitN(string(data), "\n", 2)[0])
	if err != nil {
		g.t.Fatal(err)
	}
	signal := func(s syscall.Signal) {
		if err := syscall.Kill(pid, s); err != nil {
			g.t.Error(err)
		}
	}
	signal(syscall.SIGSTOP)
	frozen := true
	thaw = func() {
		if frozen {
			frozen = false
			signal(syscall.SIGCONT)
		}
	}
	g.t.Cleanup(thaw)
	return thaw
}

// boardsGoOn prints one board a line until it is interrupted.
func (g *ground) boardsGoOn() {
	t := g.t
	t.Helper()
	p := g.begin(g.command("board", "--json", "--every", "200ms"), "")
	p.until("there are three boards", func() bool { return strings.Count(p.out.String(), "\n") >= 3 })
	p.signal(syscall.SIGINT)
	ended := p.ended()
	ended.wants(t, exitDone)
	for line := range strings.Lines(ended.stdout) {
		var b board
		if err := json.Unmarshal([]byte(line), &b); err != nil || b.At.IsZero() || b.State == "" {
			t.Errorf("%v: %s", err, line)
		}
	}
	g.say("board", "--every", "1ms").wants(t, exitUsage, "--every")
}
