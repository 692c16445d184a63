package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"

	"flowgate/messages"
	"flowgate/worker/postgres"
	"flowgate/worker/state"
	"flowgate/worker/workertest"
)

// Environment of the long form: how many kills, and the seed of the moments.
const (
	envKills = "FLOWGATE_KILLS"
	envSeed  = "FLOWGATE_SEED"
)

// drill is how hard a test of kills is.
type drill struct {
	kills, lines int
	seed         uint64
	random       *rand.Rand
}

// newDrill is the short form, or the long one that the environment asks for.
func newDrill(t *testing.T) drill {
	t.Helper()
	d := drill{kills: 4, lines: 240, seed: rand.Uint64()}
	number := func(name string, into func(n uint64)) {
		text := os.Getenv(name)
		if text == "" {
			return
		}
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		into(n)
	}
	number(envKills, func(n uint64) { d.kills, d.lines = int(n), int(n)*50 }) //nolint:gosec // a small number
	number(envSeed, func(n uint64) { d.seed = n })
	d.random = rand.New(rand.NewPCG(d.seed, 0)) //nolint:gosec // moments are no secret
	t.Logf("%d kills, %d lines; again with %s=%d", d.kills, d.lines, envSeed, d.seed)
	return d
}

// kind is what a line of the drill's file asks for and how it must end.
type kind struct {
	name     string
	request  map[string]any
	status   messages.Status
	reason   messages.Reason
	attempts int
}

func kinds() []kind {
	faults := func(class string, attempts int) map[string]any {
		return map[string]any{"offline_latency_ms": 10, "offline_faults": []any{map[string]any{"class": class, "attempts": attempts}}}
	}
	good := map[string]any{"metadata": map[string]any{"offline_latency_ms": 10}}
	return []kind{
		{"good", good, messages.StatusSuccess, messages.ReasonOK, 1},
		{"shaky", map[string]any{"metadata": faults("transient", 1)}, messages.StatusSuccess, messages.ReasonOK, 2},
		{"wrong", map[string]any{"metadata": faults("invalid", 0)}, messages.StatusFailure, messages.ReasonBackendInvalid, 1},
		{"dear", map[string]any{"model": "claude-sonnet-4-6", "max_tokens": 200_000}, messages.StatusDenied, messages.ReasonLimitRequest, 0},
		{"long", map[string]any{"prompt": strings.Repeat("seventy thousand bytes ", 70_000/23)}, messages.StatusSuccess, messages.ReasonOK, 1},
		{"quick", map[string]any{"priority": "high", "max_tokens": 16}, messages.StatusSuccess, messages.ReasonOK, 1},
		{"patient", map[string]any{"priority": "low", "metadata": map[string]any{"offline_latency_ms": 400}}, messages.StatusSuccess, messages.ReasonOK, 1},
	}
}

// kindOf is the kind of the i-th line: most are good.
func kindOf(i int) kind {
	all := kinds()
	if n := i % 20; n > 0 && n < len(all) {
		return all[n]
	}
	return all[0]
}

// mixed writes a file of n requests.
func mixed(g *ground, n int) string {
	g.t.Helper()
	var b strings.Builder
	for i := range n {
		k := kindOf(i)
		request := map[string]any{
			"id": k.name + "-" + strconv.Itoa(i), "prompt": "Say " + strconv.Itoa(i), "audit_reason": "a drill of outages",
			"model": "claude-3-haiku", "max_tokens": 24,
		}
		maps.Copy(request, k.request)
		line, err := json.Marshal(request)
		if err != nil {
			g.t.Fatal(err)
		}
		b.Write(append(line, '\n'))
	}
	return g.file("drill.jsonl", []byte(b.String()))
}

// awaitMoment waits in a life of `flowgate up` for the moment of its end: while it starts, when it is up, or after some of
// the results that it makes. It returns false where nothing is left to be disturbed.
func (d drill) awaitMoment(g *ground, up *process, life int, submitter *process) bool {
	g.t.Helper()
	file := func(elem ...string) func() bool {
		path := filepath.Join(append([]string{g.state}, elem...)...)
		return func() bool { _, err := os.Stat(path); return err == nil }
	}
	if life > 0 {
		switch d.random.IntN(8) {
		case 0: // it has the folder
			return up.until("the folder is taken", file("lock"))
		case 1: // its database is up: its broker is starting
			return up.until("the database is up", func() bool {
				text, err := os.ReadFile(filepath.Join(g.state, "postgres", "data", "postmaster.pid"))
				return err == nil && strings.Contains(string(text), "ready")
			})
		case 2: // it has announced itself
			return up.until("it is announced", func() bool { _, err := state.Read(g.state); return err == nil })
		}
	}
	conn := producer(g.t, up.ready().NATSURL)
	defer conn.Close()
	results := make(chan *nats.Msg, 1<<16)
	if _, err := conn.ChanSubscribe(messages.ResultSubject(messages.Key{Tenant: "default", ID: "*"}), results); err != nil {
		g.t.Fatal(err)
	}
	after := d.random.IntN(d.lines * 2 / 3 / d.kills)
	if life == 0 {
		after++ // the submitter has begun
	}
	for range after {
		select {
		case <-results:
		case <-submitter.done:
			return false
		case <-up.done:
			g.t.Fatalf("flowgate up ended by itself: %s", up.err)
		}
	}
	return submitter.running()
}

func TestKilledAtAnyMomentItLosesNothingAndRepeatsNothing(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, sync string }{{"nothing is flushed", "interval"}, {"everything is flushed", "always"}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel() // most of its time it waits for dead workers' messages
			d := newDrill(t)
			g := newGround(t, quickSettings)
			path := mixed(g, d.lines)
			up := g.up("--sync", c.sync)
			up.ready()
			submitter := g.begin(g.command("batch", "submit", path, "--json"), "")
			killed := 0
			for life := 0; killed < d.kills && d.awaitMoment(g, up, life, submitter); life++ {
				up.kill()
				killed++
				up = g.up("--sync", c.sync)
			}
			up.ready()
			submitter.ended().wants(t, exitFailed) // some lines are meant to fail
			t.Logf("killed %d times", killed)
			g.judge(d.lines)
			up.stop()
		})
	}
}

func TestSubmitterAndGatewayAreKilledTogether(t *testing.T) {
	t.Parallel()
	d := newDrill(t)
	g := newGround(t, quickSettings)
	path := mixed(g, d.lines)
	up := g.up()
	up.ready()
	submit := func() *process { return g.begin(g.command("batch", "submit", path, "--json"), "") }
	submitter := submit()
	killed := 0
	for life := 0; killed < d.kills && d.awaitMoment(g, up, life, submitter); life++ {
		submitter.kill()
		if d.random.IntN(2) == 0 {
			up.kill()
			up = g.up()
		}
		killed++
		up.ready() // without a gateway there is nothing to submit to
		submitter = submit()
	}
	up.ready()
	submitter.ended().wants(t, exitFailed)
	t.Logf("killed %d times", killed)
	g.judge(d.lines)
	up.stop()
}

// TestMoneyIsShortAndTheGatewayIsKilled lets reservations of a few requests at a time fit under the limit of the day: the
// others wait, through the kills, and all are served in the end.
func TestMoneyIsShortAndTheGatewayIsKilled(t *testing.T) {
	t.Parallel()
	d := newDrill(t)
	d.lines /= 2
	const reservation = 2 * 2600 // two calls of at most 2000 tokens out, in micro-dollars, rounded up
	limit := reservation*10 + d.lines*80
	g := newGround(t, quickSettings+fmt.Sprintf("cost_optimization:\n  limits: {daily_limit: %d.%06d, monthly_limit: none}\n", limit/1_000_000, limit%1_000_000))
	path := g.file("drill.jsonl", []byte(strings.Repeat(`{"prompt":"Say OK","audit_reason":"a drill of outages","model":"claude-3-haiku"}`+"\n", d.lines)))
	up := g.up()
	up.ready()
	submitter := g.begin(g.command("batch", "submit", path, "--json"), "")
	for life := 0; life < d.kills && d.awaitMoment(g, up, life, submitter); life++ {
		up.kill()
		up = g.up()
	}
	up.ready()
	submitter.ended().wants(t, exitDone) // every one a success
	g.audited(d.lines)
	// Intake, hold, ai, optimizer, done, and some states more for outages and for waits of minutes.
	if written := g.number("SELECT seq FROM flowgate.recorder_position WHERE stream = 'FLOWGATE_WORK_0'"); written > int64(d.lines)*10 {
		t.Errorf("%d states were written for %d requests", written, d.lines)
	}
	up.stop()
}

// TestKilledWhileItReplays has a batch of dead letters done again: each is, once.
func TestKilledWhileItReplays(t *testing.T) {
	t.Parallel()
	d := newDrill(t)
	d.lines = d.kills * 10
	g := newGround(t, quickSettings)
	var lines strings.Builder
	for i := range d.lines {
		fmt.Fprintf(&lines, `{"id":"dead-%d","prompt":"Say %d","audit_reason":"a drill of outages","model":"claude-3-haiku","max_tokens":24,`+
			`"metadata":{"offline_latency_ms":50,"offline_faults":[{"class":"invalid","epoch":0}]}}`+"\n", i, i)
	}
	path := g.file("drill.jsonl", []byte(lines.String()))
	up := g.up()
	up.ready()
	g.say("batch", "submit", path).wants(t, exitFailed, "failure       "+strconv.Itoa(d.lines))
	dead := g.audited(d.lines)
	for i, letter := range dead {
		g.say("replay", "one", letter.ID, "--reason", "a drill of outages", "--wait=false").wants(t, exitDone, "accepted as epoch 1")
		if i%10 == d.random.IntN(10) {
			up.kill()
			up = g.up()
			up.ready()
		}
	}
	for _, o := range g.audited(2 * d.lines) {
		if want := []string{"failure", "success"}[o.Epoch]; o.Status != want {
			t.Errorf("epoch %d of %s ended as %s (%s), want %s", o.Epoch, o.ID, o.Status, o.Reason, want)
		}
	}
	g.say("replay", "one", dead[0].ID, "--reason", "a drill of outages").wants(t, exitFailed, "already replayed as epoch 1")
	up.stop()
}

// judge compares files, record and money after a drill.
func (g *ground) judge(lines int) {
	g.t.Helper()
	seen := make(map[string]int)
	for _, name := range []string{"drill.output.jsonl", "drill.errors.jsonl"} {
		for _, line := range g.lines(name) {
			id, _ := line["custom_id"].(string)
			seen[id]++
			status, reason := fmt.Sprint(line["status"]), fmt.Sprint(line["reason"])
			_, number, _ := strings.Cut(id, "-")
			i, err := strconv.Atoi(number)
			if err != nil {
				g.t.Errorf("a line of %q in %s", id, name)
				continue
			}
			if k := kindOf(i); status != string(k.status) || reason != string(k.reason) {
				g.t.Errorf("%s ended as %s (%s), want %s (%s): %v", id, status, reason, k.status, k.reason, line["message"])
			}
		}
	}
	for i := range lines {
		if id := kindOf(i).name + "-" + strconv.Itoa(i); seen[id] != 1 {
			g.t.Errorf("%s stands %d times in the files of results", id, seen[id])
		}
	}
	if len(seen) != lines {
		g.t.Errorf("%d requests stand in the files of results, want %d", len(seen), lines)
	}
	g.audited(lines)
}

// audited waits until everything is recorded and compares record and money.
func (g *ground) audited(lines int) []postgres.Outcome {
	g.t.Helper()
	var outcomes []postgres.Outcome
	eventually(g.t, "everything is recorded", func() bool {
		g.say("audit", "list", "--limit", strconv.Itoa(lines*2+10), "--json").read(g.t, &outcomes)
		return len(outcomes) >= lines
	})
	of, cost := make(map[string]int), int64(0)
	for _, o := range outcomes {
		of[o.ID+" epoch "+strconv.Itoa(o.Epoch)]++
		cost += o.CostMicroUSD
	}
	if len(outcomes) != lines || len(of) != lines {
		g.t.Errorf("%d outcomes of %d epochs, want %d", len(outcomes), len(of), lines)
	}
	var check struct {
		OK       bool               `json:"ok"`
		Findings []postgres.Finding `json:"findings"`
	}
	g.say("audit", "check", "--json").read(g.t, &check)
	if !check.OK {
		g.t.Errorf("audit check: %+v", check.Findings)
	}
	for name, s := range g.scopes() {
		if s.settled != cost || s.reserved != 0 {
			g.t.Errorf("scope %s has %d settled and %d reserved, want %d and 0", name, s.settled, s.reserved, cost)
		}
	}
	return outcomes
}

// number reads one number of the record.
func (g *ground) number(sql string) (n int64) {
	g.t.Helper()
	info, err := state.Read(g.state)
	if err != nil {
		g.t.Fatal(err)
	}
	conn, err := pgx.Connect(g.t.Context(), info.DatabaseURL)
	if err != nil {
		g.t.Fatal(err)
	}
	defer conn.Close(g.t.Context())
	if err := conn.QueryRow(g.t.Context(), sql).Scan(&n); err != nil {
		g.t.Fatal(err)
	}
	return n
}

type money struct{ settled, reserved int64 }

// scopes reads the money as it stands.
func (g *ground) scopes() map[string]money {
	g.t.Helper()
	info, err := state.Read(g.state)
	if err != nil {
		g.t.Fatal(err)
	}
	conn, err := pgx.Connect(g.t.Context(), info.DatabaseURL)
	if err != nil {
		g.t.Fatal(err)
	}
	defer conn.Close(g.t.Context())
	rows, err := conn.Query(g.t.Context(), "SELECT name, settled, reserved FROM flowgate.scope")
	if err != nil {
		g.t.Fatal(err)
	}
	scopes := make(map[string]money)
	var name string
	var m money
	_, err = pgx.ForEachRow(rows, []any{&name, &m.settled, &m.reserved}, func() error { scopes[name] = m; return nil })
	if err != nil {
		g.t.Fatal(err)
	}
	if len(scopes) == 0 {
		g.t.Error("no scope of money is recorded")
	}
	return scopes
}

// TestKilledInTheMidstOfCalls kills the gateway while its model server holds calls back: whatever was called twice is in
// doubt in the record, and nothing is called more often than may be paid for.
func TestKilledInTheMidstOfCalls(t *testing.T) {
	t.Parallel()
	d := newDrill(t)
	const billable = 2 // the default of flowgate.billable_attempts
	server := workertest.NewOpenAI(t)
	g := newGround(t, quickSettings, "OPENAI_BASE_URL="+server.URL)
	var lines strings.Builder
	for i := range d.lines {
		fmt.Fprintf(&lines, `{"id":"call-%d","prompt":"Say %d","audit_reason":"a drill of outages","model":"claude-3-haiku","max_tokens":24}`+"\n", i, i)
	}
	path := g.file("drill.jsonl", []byte(lines.String()))
	up := g.up()
	up.ready()
	submitter := g.begin(g.command("batch", "submit", path, "--json"), "")
	for killed := 0; killed < d.kills && submitter.running(); killed++ {
		gate := server.Block("")
		for range 1 + d.random.IntN(8) { // calls in flight at the kill
			select {
			case <-gate.Arrived():
			case <-submitter.done:
			}
		}
		up.kill()
		gate.Release()
		up = g.up()
		up.ready()
		server.Block("").Release() // some go through in peace
		before, most := server.Calls(""), d.random.IntN(d.lines/d.kills)
		up.until("it has called", func() bool { return server.Calls("") >= before+most || !submitter.running() })
	}
	if s := submitter.ended(); s.code != exitDone && s.code != exitFailed {
		t.Errorf("batch submit ended with code %d: %s", s.code, s.stderr)
	}
	twice := 0
	for _, o := range g.audited(d.lines) {
		seen := server.Seen("default/" + o.ID)
		if len(seen) == 1 && messages.Reason(o.Reason) == messages.ReasonOK {
			continue // nothing to explain
		}
		doubts, known := 0, make(map[string]bool)
		for _, a := range g.attempts(o.ID) {
			known[fmt.Sprintf("default/%s/0/%d", o.ID, a.K)] = true
			if a.Billing == string(messages.BillingInDoubt) {
				doubts++
			}
		}
		answered := 0
		if messages.Reason(o.Reason) == messages.ReasonOK {
			answered = 1
		} else if messages.Reason(o.Reason) != messages.ReasonInDoubt {
			t.Errorf("%s ended as %s (%s)", o.ID, o.Status, o.Reason)
		}
		if len(seen) > answered+doubts {
			t.Errorf("%s was called %d times; its record has %d in doubt and %d answered", o.ID, len(seen), doubts, answered)
		}
		if doubts > billable {
			t.Errorf("%s has %d attempts in doubt, %d may be paid for", o.ID, doubts, billable)
		}
		for _, call := range seen {
			if !known[call.RequestID] || call.N > 1 {
				t.Errorf("call %s, for the %d. time, is not in the record", call.RequestID, call.N)
			}
		}
		if len(seen) > 1 {
			twice++
		}
	}
	t.Logf("%d requests were called more than once", twice)
	up.stop()
}

// attempts are the recorded attempts of a request that was never replayed.
func (g *ground) attempts(id string) []postgres.Attempt {
	g.t.Helper()
	var timeline postgres.Timeline
	g.say("audit", "show", id, "--json").read(g.t, &timeline)
	if len(timeline.Epochs) != 1 {
		g.t.Fatalf("%s has %d epochs", id, len(timeline.Epochs))
	}
	return timeline.Epochs[0].Attempts
}
