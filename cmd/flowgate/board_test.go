package main

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"flowgate/messages"
	"flowgate/pipelines"
	"flowgate/pipelines/flow"
	"flowgate/worker"
	"flowgate/worker/doctor"
	"flowgate/worker/fleet"
	"flowgate/worker/postgres"
	"flowgate/worker/sessions"
)

var boardNoon = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

// halfRunning are the facts of a deployment without layer 3, whose Postgres is ill, with names of strangers.
func halfRunning(t *testing.T) *boardFacts {
	t.Helper()
	health := func(service string, state sessions.State, why string) sessions.Health {
		return sessions.Health{Service: service, State: state, Error: why, Detail: "says so", LastCheck: boardNoon.Add(-3 * time.Second), LatencyMS: sessions.Latency{Last: 1.25}}
	}
	f := &boardFacts{Facts: doctor.Facts{Now: boardNoon}}
	f.Fleet.Answers = []fleet.Answer{{Report: fleet.Report{
		Worker: "w1", StartedAt: boardNoon.Add(-time.Hour), Clock: boardNoon,
		Layers: []messages.LayerName{messages.LayerCorporate, messages.LayerAI}, Parts: []string{"recorder"}, Queues: []string{"corporate-std", "ai-std-0"},
		Health: []sessions.Health{
			health("nats", sessions.StateHealthy, ""), health("postgres", sessions.StateUnhealthy, "dial \x1b[31mtcp: postgres://me:hunter2@db: refused"),
			{Service: "s3", State: sessions.StateUnknown, Unused: true},
			health("openai", sessions.StateDegraded, "slow"),
		},
	}}}
	var err error
	if f.Gateways, err = fleet.Gateways(pipelines.Chain(), f.Fleet, nil); err != nil {
		t.Fatal(err)
	}
	queue := func(consumer string, layer messages.LayerName, looks ...doctor.Look) doctor.Queue {
		return doctor.Queue{Consumer: consumer, Layer: layer, Class: messages.ClassStd, Looks: looks}
	}
	waiting := queue("ai-std-0", messages.LayerAI, doctor.Look{Undelivered: 7, Unanswered: 2, Delivered: 4}, doctor.Look{Undelivered: 6, Unanswered: 3, Delivered: 5})
	waiting.Oldest = boardNoon.Add(-42 * time.Second)
	f.Queues = []doctor.Queue{queue("corporate-std", messages.LayerCorporate, doctor.Look{Waiting: 1}), waiting, queue("optimizer-std-0", messages.LayerOptimizer, doctor.Look{Undelivered: 1})}
	f.Agreements = []flow.Entry{
		{Agreement: flow.Agreement{Trigger: "[Cost Analysis]", Version: "1"}, State: flow.StateApproved},
		{Agreement: flow.Agreement{Trigger: "[\x1b[2J" + strings.Repeat("long ", 20) + "]", Version: "2"}, State: flow.StateSuspended},
	}
	f.Counts = []postgres.ExecutionCount{
		{Trigger: "", Denied: 4, Newest: boardNoon.Add(-time.Minute)}, {Trigger: "[Cost Analysis]", Real: 2, Fallback: 1, Failed: 3, Denied: 5, Newest: boardNoon.Add(-2 * time.Second)},
	}
	f.Pauses = []worker.Pause{{Kind: worker.PauseAgreement, Name: "[Cost Analysis]", Reason: "its\x07owner", By: "ann", Since: boardNoon}}
	f.Letters, f.Charged, f.Held = &postgres.LetterCount{All: 3, Open: 2}, &postgres.Charged{MicroUSD: 1_500_000, Calls: 9}, new(int64(250))
	seen := (&asker{}).ofFleet(f.Fleet)
	f.Sight = &seen
	return f
}

const writtenBoard = `flowgate at 2026-01-31 12:00:00: unhealthy, 1 process
  unhealthy ai_processing: it is blocked: it needs corporate_llm: postgres is unhealthy: dial
            [31mtcp: postgres://db: refused
  unhealthy workflow_optimizer: it is stopped: no process runs it
  unhealthy corporate_llm: postgres: it is unhealthy for at least one of 1 processes: dial [31mtcp:
            postgres://db: refused
  degraded  agreement [Cost Analysis] is paused since 2026-01-31T12:00:00Z: its owner
  degraded  openai: it is degraded: slow

SERVICE   STATE      LATENCY  CHECKED  SAYS
postgres  unhealthy  1.2 ms   3s ago   dial [31mtcp: postgres://db: refused
nats      healthy    1.2 ms   3s ago   says so
openai    degraded   1.2 ms   3s ago   slow
not used: s3

GATEWAY 0/3         STATE     PROC  DONE_5M  ERRORS  REFUSED  MS_P50/95/99  WHY
corporate_llm       degraded  1     0        0       0        -             postgres is unhealthy: …
ai_processing       blocked   1     0        0       0        -             it needs corporate_llm:…
workflow_optimizer  stopped   0     0        0       0        -             no process runs it

backends: no process tells of one that it uses

AGREEMENT                     STATE             LAST_HOUR  REAL  FALLBACK  FAILED  DENIED  NEWEST
[Cost Analysis]               approved, paused  11         2     1         3       5       2s ago
[�[2Jlong long long long lo…  suspended         0          0     0         0       0       -
(no agreement)                -                 4          0     0         0       4       1m0s ago

QUEUE rt/std/batch  DEPTH  PENDING  ACK_PENDING  OLDEST
corporate           0/0/0  0/0/0    0/0/0        -
ai                  0/9/0  0/6/0    0/3/0        42 s
optimizer           0/1/0  0/1/0    0/0/0        -

dead letters  3, 2 of them not replayed
money today   $1.500000 for 9 calls, held $0.000250
paused        agreement [Cost Analysis] is paused since 2026-01-31T12:00:00Z: its�owner
`

func TestBoardsSayWhyTheyAreNotHealthy(t *testing.T) {
	t.Parallel()
	b := boardOf(halfRunning(t))
	var wide, narrow bytes.Buffer
	if err := b.write(newPage(&wide)); err != nil {
		t.Fatal(err)
	}
	if err := b.write(&page{w: &narrow, width: 50}); err != nil {
		t.Fatal(err)
	}
	fitsIn(t, wide.String(), pageWidth)
	fitsIn(t, narrow.String(), 50)
	var many bytes.Buffer
	b.Letters, b.Money.Today = &boardLetters{All: 10_000, Open: 9, More: true}, &postgres.Charged{MicroUSD: 5, Calls: 10_000, More: true}
	b.writeRest(newPage(&many))
	for _, want := range []string{"10000+, at least 9 of them not replayed", "at least $0.000005 for 10000+ calls, held"} {
		if !strings.Contains(many.String(), want) {
			t.Errorf("of more than are counted it says %s", many.String())
		}
	}
	if wide.String() != writtenBoard {
		t.Errorf("got\n%s\nwant\n%s", wide.String(), writtenBoard)
	}
	document, err := json.Marshal(b)
	if err != nil || strings.Contains(string(document), "hunter2") {
		t.Errorf("%v: %s", err, document)
	}
}

// TestWhatIsNotAskedIsUnknown: neither healthy nor stopped, nor none.
func TestWhatIsNotAskedIsUnknown(t *testing.T) {
	t.Parallel()
	f := halfRunning(t)
	silent := &boardFacts{Facts: doctor.Facts{Now: boardNoon, Unreachable: []doctor.Silence{{What: "broker", Why: "refused"}, {What: "database", Why: "refused"}}}, Away: "refused"}
	gateways, err := fleet.Gateways(pipelines.Chain(), silent.Fleet, nil)
	if err != nil {
		t.Fatal(err)
	}
	silent.Gateways = gateways
	b := boardOf(silent)
	if b.State != sessions.StateUnknown || len(b.Reasons) != 2 || b.Agreement != nil || b.Queues != nil || b.Backends != nil || b.Paused != nil || b.Money != nil || b.Letters != nil || len(b.Unknown) != 2 {
		t.Errorf("%+v", b)
	}
	for _, g := range b.Gateways {
		if g.State != fleet.StateUnknown {
			t.Errorf("%s is %s", g.Name, g.State)
		}
	}
	if code := exitCode(b.verdict(nil)); code != exitEnvironment {
		t.Errorf("exit code %d", code)
	}

	// One part alone: what depends on it is unknown, and so is the whole.
	f.Fleet.Answers[0].Health, f.Unreachable = nil, []doctor.Silence{{What: askExecutions, Why: "no answer within 3s"}}
	f.Gateways, f.Pauses, f.Queues = nil, nil, nil
	f.Fleet.Answers[0].Layers, f.Sight = messages.Layers(), nil
	if b = boardOf(f); b.State != sessions.StateUnknown || b.Agreement[0].Executions != nil || b.Letters == nil {
		t.Errorf("%+v", b)
	}
	if code := exitCode(b.verdict(nil)); code != exitFailed {
		t.Errorf("exit code %d", code)
	}
}

// TestASlowDatabaseIsKept: one that says what time it is, and answers nothing else in time, is not one that is away.
func TestASlowDatabaseIsKept(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		unanswered []string
		clock      bool
		kept       bool
	}{
		"all is answered":         {nil, true, true},
		"money is slow":           {[]string{askCharged}, true, true},
		"everything is slow":      {[]string{askExecutions, askLetters, askCharged, askHeld}, true, true},
		"nothing at all is heard": {[]string{askExecutions, askLetters, askCharged, askHeld}, false, false},
	} {
		f, told := boardFacts{}, make(chan doctor.Silence, boardQuestions)
		if !c.clock {
			f.silent(silentClock, context.DeadlineExceeded)
		}
		for _, what := range c.unanswered {
			told <- doctor.Silence{What: what, Why: "no answer within 3s"}
		}
		close(told)
		f.unanswered(told)
		if kept := !f.lacks(silentDatabase); kept != c.kept {
			t.Errorf("%s: kept is %t, unreachable are %+v", name, kept, f.Unreachable)
		}
	}
}
