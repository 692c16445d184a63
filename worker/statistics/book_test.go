package statistics_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"flowgate/messages"
	"flowgate/worker"
	"flowgate/worker/statistics"
)

// hand is a clock that is set by hand.
type hand struct{ at time.Time }

func (h *hand) now() time.Time { return h.at }

func newHand() *hand { return &hand{time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

func settled(outcome worker.SettledAs, reason messages.Reason, took time.Duration) worker.Settled {
	return worker.Settled{Layer: messages.LayerAI, Outcome: outcome, Reason: reason, Took: took, Waited: 2 * took}
}

func line(t *testing.T, lines []statistics.Line, name string) *statistics.Line {
	t.Helper()
	for i := range lines {
		if lines[i].Name == name {
			return &lines[i]
		}
	}
	t.Fatalf("%s has no line in %+v", name, lines)
	return nil
}

func TestBookCountsByOutcome(t *testing.T) {
	clock := newHand()
	book := statistics.NewBook(clock.now)
	clock.at = clock.at.Add(30 * time.Second)
	book.Settled(settled(worker.SettledPassed, "", 10*time.Millisecond))
	book.Settled(settled("success", messages.ReasonOK, 20*time.Millisecond))
	book.Settled(settled("failure", messages.ReasonBackendAuth, 30*time.Millisecond))
	book.Settled(settled("denied", messages.ReasonLimitDay, 40*time.Millisecond))
	book.Settled(settled(worker.SettledRetry, "", time.Hour))
	book.Settled(settled(worker.SettledMoved, "", time.Hour))
	book.Settled(settled(worker.SettledLost, "", time.Hour))
	for _, class := range []string{"", "overloaded"} {
		book.Attempted(worker.Attempted{Attempt: messages.Attempt{Backend: "openai", Class: class, DurationMS: 500}})
	}

	ai := line(t, book.Snapshot().Gateways, string(messages.LayerAI))
	w := ai.Window(statistics.Minute)
	if w.Requests != 4 || w.Errors != 1 || w.Refused != 1 || w.Again != 1 || w.Seconds != 30 {
		t.Errorf("the window is %+v", w)
	}
	if want := map[string]uint64{"backend_auth": 1, "limit_day": 1}; !reflect.DeepEqual(w.Reasons, want) {
		t.Errorf("the reasons are %v, want %v", w.Reasons, want)
	}
	if w.Took.Max() != 40*time.Millisecond || w.Waited.Max() != 80*time.Millisecond {
		t.Errorf("the longest took %s and waited %s", w.Took.Max(), w.Waited.Max())
	}
	if ai.Total != 4 || ai.TotalErrors != 1 || !ai.Last.Equal(clock.at) || ai.LastErrorReason != "backend_auth" {
		t.Errorf("the line is %+v", ai)
	}
	openai := line(t, book.Snapshot().Backends, "openai").Window(statistics.Hour)
	if openai.Requests != 2 || openai.Errors != 1 || openai.Reasons["overloaded"] != 1 || openai.Waited.Count() != 0 {
		t.Errorf("the backend's window is %+v", openai)
	}
}

func TestWindowsForgetWhatFellOutOfThem(t *testing.T) {
	clock := newHand()
	book := statistics.NewBook(clock.now)
	counts := func() (n [3]uint64) {
		ai := line(t, book.Snapshot().Gateways, string(messages.LayerAI))
		for i, span := range statistics.Spans() {
			n[i] = ai.Window(span).Requests
		}
		return n
	}
	book.Settled(settled(worker.SettledPassed, "", time.Second))
	for _, step := range []struct {
		after time.Duration
		want  [3]uint64
	}{
		{54 * time.Second, [3]uint64{1, 1, 1}},
		{61 * time.Second, [3]uint64{0, 1, 1}},
		{274 * time.Second, [3]uint64{0, 1, 1}},
		{301 * time.Second, [3]uint64{0, 0, 1}},
		{54 * time.Minute, [3]uint64{0, 0, 1}},
		{61 * time.Minute, [3]uint64{0, 0, 0}},
	} {
		clock.at = newHand().at.Add(step.after)
		if got := counts(); got != step.want {
			t.Errorf("after %s the windows have %v, want %v", step.after, got, step.want)
		}
	}
	if total := line(t, book.Snapshot().Gateways, string(messages.LayerAI)).Total; total != 1 {
		t.Errorf("the total is %d", total)
	}
	book.Settled(settled(worker.SettledPassed, "", time.Second)) // the slot of an hour ago begins anew
	if got := counts(); got != [3]uint64{1, 1, 1} {
		t.Errorf("an hour later the windows have %v", got)
	}
}

func TestSnapshotsOfAFleetAreAddedAndSurviveTheWire(t *testing.T) {
	var fleet statistics.Snapshot
	for i := range 3 {
		clock := newHand()
		book := statistics.NewBook(clock.now)
		clock.at = clock.at.Add(time.Duration(i) * time.Second)
		book.Settled(settled("failure", messages.ReasonCrash, time.Duration(i+1)*time.Second))
		data, err := json.Marshal(book.Snapshot())
		if err != nil {
			t.Fatal(err)
		}
		var received statistics.Snapshot
		if err := json.Unmarshal(data, &received); err != nil {
			t.Fatal(err)
		}
		if err := received.Check(); err != nil {
			t.Fatal(err)
		}
		fleet.Merge(&received)
	}
	ai := line(t, fleet.Gateways, string(messages.LayerAI))
	w := ai.Window(statistics.FiveMinutes)
	if w.Requests != 3 || w.Errors != 3 || w.Reasons["crash"] != 3 || w.Took.Max() != 3*time.Second || ai.TotalErrors != 3 {
		t.Errorf("the fleet's line is %+v", ai)
	}
	if want := newHand().at.Add(2 * time.Second); !ai.LastError.Equal(want) {
		t.Errorf("the last error was %s, want %s", ai.LastError, want)
	}
}

func TestBookIsBounded(t *testing.T) {
	book := statistics.NewBook(newHand().now)
	for i := range 1000 {
		book.Attempted(worker.Attempted{Attempt: messages.Attempt{Backend: fmt.Sprint("backend-", i)}})
		book.Attempted(worker.Attempted{Attempt: messages.Attempt{Backend: "one", Class: fmt.Sprint("class-", i)}})
	}
	s := book.Snapshot()
	if len(s.Backends) > 40 {
		t.Errorf("%d backends are kept", len(s.Backends))
	}
	reasons := line(t, s.Backends, "one").Window(statistics.Hour).Reasons
	if len(reasons) > 70 || reasons[statistics.Other] == 0 {
		t.Errorf("%d reasons are kept, %d under %s", len(reasons), reasons[statistics.Other], statistics.Other)
	}
	if err := s.Check(); err != nil {
		t.Errorf("what a book can count is refused: %v", err)
	}
}

func TestSnapshotOfAStrangerIsChecked(t *testing.T) {
	for _, data := range []string{
		`{"gateways":[{"name":""}]}`, `{"gateways":[{"name":"a","windows":[{"window":"2m"}]}]}`,
		`{"backends":[{"name":"a","windows":[{"window":"1m","requests":99999999999999}]}]}`,
		`{"backends":[{"name":"a","windows":[{"window":"1m","seconds":-1}]}]}`, `{"backends":[{"name":"a","total":99999999999999}]}`,
	} {
		var s statistics.Snapshot
		if err := json.Unmarshal([]byte(data), &s); err != nil {
			t.Fatalf("%s: %v", data, err)
		}
		if s.Check() == nil {
			t.Errorf("%s is taken for statistics", data)
		}
	}
}

func TestBookCountsFromManyHands(t *testing.T) {
	book := statistics.NewBook(time.Now)
	var hands sync.WaitGroup
	for range 8 {
		hands.Go(func() {
			for range 500 {
				book.Settled(settled(worker.SettledPassed, "", time.Millisecond))
				book.Snapshot()
			}
		})
	}
	hands.Wait()
	if n := line(t, book.Snapshot().Gateways, string(messages.LayerAI)).Total; n != 4000 {
		t.Errorf("%d of 4000 were counted", n)
	}
}

func BenchmarkBookSettled(b *testing.B) {
	book := statistics.NewBook(time.Now)
	s := settled(worker.SettledPassed, "", time.Millisecond)
	for b.Loop() {
		book.Settled(s)
	}
}

func TestWhatATerminalWouldObeyIsRefused(t *testing.T) {
	for name, l := range map[string]statistics.Line{
		"name":       {Name: "ai\x1b[2J"},
		"last error": {Name: "ai", LastErrorReason: "a\nb"},
		"reason":     {Name: "ai", Windows: []statistics.Window{{Span: statistics.Minute, Reasons: map[string]uint64{"\x1b]0;x\a": 1}}}},
	} {
		s := statistics.Snapshot{Gateways: []statistics.Line{l}}
		if s.Check() == nil {
			t.Errorf("%s: believed", name)
		}
	}
}
