package fleet_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"flowgate/messages"
	"flowgate/worker"
	"flowgate/worker/broker"
	"flowgate/worker/fleet"
	"flowgate/worker/sessions"
	"flowgate/worker/statistics"
	"flowgate/worker/workertest"
)

// enough is far more than any answer in process takes.
const enough = 10 * time.Second

func report(name string) fleet.Report {
	return fleet.Report{
		Worker: name, PID: 1, Host: "here", Version: "v1", StartedAt: time.Now(), Layers: []messages.LayerName{messages.LayerAI},
	}
}

// process serves a report until the test ends.
func process(t *testing.T, srv *broker.Server, r fleet.Report) {
	t.Helper()
	conn, _ := workertest.Conn(t, srv)
	ctx, cancel := context.WithCancel(t.Context())
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := fleet.Serve(ctx, conn, func() fleet.Report { return r }); err != nil {
			t.Errorf("serving: %v", err)
		}
	})
	t.Cleanup(func() { cancel(); serving.Wait() })
	asker, _ := workertest.Conn(t, srv)
	for f := (fleet.Fleet{}); !slices.ContainsFunc(f.Answers, func(a fleet.Answer) bool { return a.Worker == r.Worker }); {
		f = ask(t, asker, 0, 50*time.Millisecond)
	}
}

// stranger answers every question with the same bytes, until the test ends.
func stranger(t *testing.T, srv *broker.Server, answers ...string) {
	t.Helper()
	conn, _ := workertest.Conn(t, srv)
	if _, err := conn.Subscribe(fleet.Subject, func(m *nats.Msg) {
		for _, a := range answers {
			if err := m.Respond([]byte(a)); errors.Is(err, nats.ErrConnectionClosed) {
				return // nobody asks any more
			} else if err != nil {
				t.Errorf("answering: %v", err)
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
}

func ask(t *testing.T, conn *nats.Conn, wanted int, patience time.Duration) fleet.Fleet {
	t.Helper()
	f, err := fleet.AskFor(t.Context(), conn, patience, wanted)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestEveryProcessAnswersForItself(t *testing.T) {
	srv := workertest.Server(t)
	for i := range 3 {
		r := report(fmt.Sprint("worker-", i))
		book := statistics.NewBook(time.Now)
		book.Settled(worker.Settled{Layer: messages.LayerAI, Outcome: worker.SettledPassed, Took: time.Second})
		r.Statistics = book.Snapshot()
		process(t, srv, r)
	}
	conn, _ := workertest.Conn(t, srv)
	f := ask(t, conn, 3, enough)
	if len(f.Answers) != 3 || f.SkippedCount != 0 || f.Answers[0].Worker != "worker-0" || f.Answers[2].Worker != "worker-2" {
		t.Fatalf("the fleet is %+v", f)
	}
	for i := range f.Answers {
		if ahead, within := f.Answers[i].Offset(); ahead.Abs() > within+time.Millisecond {
			t.Errorf("a process on this very machine is %s ahead, give or take %s", ahead, within)
		}
	}
	s := f.Statistics()
	if w := s.Gateways[0].Window(statistics.Hour); w.Requests != 3 || w.Took.Max() != time.Second {
		t.Errorf("the fleet counted %+v", w)
	}
}

func TestNobodyIsNoError(t *testing.T) {
	srv := workertest.Server(t)
	conn, _ := workertest.Conn(t, srv)
	began := time.Now()
	if f := ask(t, conn, 0, time.Minute); len(f.Answers) != 0 || time.Since(began) > enough {
		t.Errorf("after %s the fleet of nobody is %+v", time.Since(began), f)
	}
}

func TestGarbageIsSkippedAndTold(t *testing.T) {
	srv := workertest.Server(t)
	process(t, srv, report("honest"))
	fake := func(change func(*fleet.Report)) string {
		r := report("stranger")
		r.V, r.Clock = 1, time.Now()
		change(&r)
		data, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	bad := []string{
		"", "{", `{"v":1}`, `"text"`, "\x00\xff", strings.Repeat("x", fleet.MaxReport+1),
		fake(func(r *fleet.Report) { r.Worker = "clears\x1b[2Jthe screen" }),
		fake(func(r *fleet.Report) { r.Worker = strings.Repeat("w", 5000) }),
		fake(func(r *fleet.Report) { r.V = 0 }),
		fake(func(r *fleet.Report) { r.Clock = time.Time{} }),
		fake(func(r *fleet.Report) { r.Queues = make([]string, 5000) }),
		fake(func(r *fleet.Report) { r.Statistics.Gateways = make([]statistics.Line, 5000) }),
		fake(func(r *fleet.Report) { r.Layers = []messages.LayerName{"two\nlines"} }),
	}
	stranger(t, srv, append(bad, fake(func(*fleet.Report) {}), fake(func(*fleet.Report) {}))...)
	conn, _ := workertest.Conn(t, srv)
	f := ask(t, conn, 0, 3*time.Second) // nobody knows how many will answer
	if len(f.Answers) != 2 || f.SkippedCount != len(bad)+1 {
		t.Errorf("%d answers are believed, %d of %d are skipped: %v", len(f.Answers), f.SkippedCount, len(bad)+1, f.Skipped)
	}
	for _, why := range f.Skipped {
		if len(why) > 300 || strings.ContainsAny(why, "\x1b\x00\n") {
			t.Errorf("said is %q", why)
		}
	}
}

func TestAnswersAreBounded(t *testing.T) {
	srv := workertest.Server(t)
	flood := make([]string, 3*fleet.MaxReports)
	for i := range flood {
		flood[i] = "{"
	}
	stranger(t, srv, flood...)
	conn, _ := workertest.Conn(t, srv)
	f := ask(t, conn, 0, time.Second)
	if f.SkippedCount > fleet.MaxReports || len(f.Skipped) > 20 {
		t.Errorf("%d answers were read, %d told", f.SkippedCount, len(f.Skipped))
	}
}

func TestTooLongAReportIsCut(t *testing.T) {
	srv := workertest.Server(t)
	r := report("talkative")
	r.Health = []sessions.Health{{Service: "s3", Detail: strings.Repeat("x", fleet.MaxReport)}}
	process(t, srv, r)
	conn, _ := workertest.Conn(t, srv)
	if f := ask(t, conn, 1, enough); len(f.Answers) != 1 || !f.Answers[0].Cut || f.Answers[0].Health != nil {
		t.Errorf("the fleet is %+v", f)
	}
}

func TestAProducerCannotAsk(t *testing.T) {
	srv := workertest.Server(t)
	process(t, srv, report("honest"))
	conn := workertest.Producer(t, srv, nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if f, err := fleet.AskFor(t.Context(), conn, 300*time.Millisecond, 1); err == nil && len(f.Answers) > 0 {
		t.Errorf("a producer learned of %d processes", len(f.Answers))
	}
}

func FuzzAnswer(f *testing.F) {
	for _, seed := range []string{`{"v":1,"worker":"w","clock":"2026-01-01T00:00:00Z","started_at":"2026-01-01T00:00:00Z"}`, `{}`, `[`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		heard := fleet.Hear(data)
		if len(heard.Answers)+heard.SkippedCount != 1 {
			t.Errorf("%d answers, %d skipped", len(heard.Answers), heard.SkippedCount)
		}
		heard.Statistics()
	})
}
