package gate_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"flowgate/messages"
	"flowgate/worker/gate"
)

func marks() gate.Marks {
	return gate.Marks{Lag: 5 * time.Minute, Free: 512 << 20, Full: 90, Backlog: 1000}
}

// well is a deployment on which nothing is near its mark, but for what change says.
func well(change func(*gate.Facts)) gate.Facts {
	f := gate.Facts{
		Lag:     map[string]time.Duration{"WORK": 5 * time.Minute, "EVENTS": 0},
		Disks:   []gate.Space{{What: "the disk", Used: 100 << 30, Total: 101 << 30}},
		Streams: []gate.Space{{What: "stream A", Used: 89, Total: 100}, {What: "stream without a bound"}},
		Backlog: map[messages.Class]uint64{messages.ClassBatch: 1000, messages.ClassStd: 1000},
	}
	if change != nil {
		change(&f)
	}
	return f
}

func TestJudge(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*gate.Facts)
		want   messages.IntakeReason
		says   string
	}{
		"at its marks, and not over them": {},
		"nothing is known":                {change: func(f *gate.Facts) { *f = gate.Facts{} }},
		"the record lags":                 {func(f *gate.Facts) { f.Lag["WORK"] += time.Second }, messages.IntakeRecorder, "WORK is 5m1s behind"},
		"a disk is full":                  {func(f *gate.Facts) { f.Disks[0].Used = 101<<30 - 511<<20 }, messages.IntakeDisk, "511 MB left"},
		"a disk is fuller than full":      {func(f *gate.Facts) { f.Disks[0].Used = 102 << 30 }, messages.IntakeDisk, "0 MB left"},
		"a stream is full":                {func(f *gate.Facts) { f.Streams[0].Used = 90 }, messages.IntakeStream, "stream A is 90 % full"},
		"too many wait":                   {func(f *gate.Facts) { f.Backlog[messages.ClassStd]++ }, messages.IntakeBacklog, "1001 requests of class std"},
		"too many of another class wait":  {change: func(f *gate.Facts) { f.Backlog[messages.ClassBatch]++ }},
		"what endangers most comes first": {func(f *gate.Facts) {
			f.Disks[0].Used, f.Lag["WORK"], f.Backlog[messages.ClassStd] = 101<<30, time.Hour, 2000
		}, messages.IntakeDisk, "the disk has"},
	} {
		t.Run(name, func(t *testing.T) {
			got := gate.Judge(well(c.change), marks(), messages.ClassStd)
			if got.V != messages.Version || got.Open != (c.want == "") || got.Reason != c.want || !strings.Contains(got.Detail, c.says) {
				t.Errorf("%+v", got)
			}
			if (got.RetryAfter > 0) != (c.want != "") {
				t.Errorf("come back in %d s", got.RetryAfter)
			}
		})
	}
}

// look is what a gate sees.
type look struct {
	mu    sync.Mutex
	facts gate.Facts
	err   error
}

func (l *look) at(context.Context) (gate.Facts, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.facts, l.err
}

func (l *look) set(f gate.Facts, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.facts, l.err = f, err
}

// TestAGateClosesAndOpens: over a backlog nobody is kept from admitting, and a record that nobody can ask about lags.
func TestAGateClosesAndOpens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l look
		l.set(well(nil), nil)
		g, err := gate.New(gate.Options{Marks: marks(), Look: l.at, Every: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		wants := func(why string, reason messages.IntakeReason, closed bool) {
			t.Helper()
			if in := g.Intake(messages.ClassStd); in.Reason != reason || g.Closed() != closed {
				t.Errorf("%s: %+v, closed %t", why, in, g.Closed())
			}
		}
		wants("before it looked", "", false)
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { g.Run(ctx) })
		defer func() { cancel(); running.Wait() }()
		pass := func(d time.Duration) { time.Sleep(d); synctest.Wait() } // of the bubble's clock
		pass(time.Minute)
		wants("all is well", "", false)
		l.set(well(func(f *gate.Facts) { f.Backlog[messages.ClassStd] = 2000 }), nil)
		pass(2 * time.Second)
		wants("a backlog", messages.IntakeBacklog, false)
		unknown := well(func(f *gate.Facts) { f.Lag = nil })
		l.set(unknown, errors.New("the database is away"))
		pass(4 * time.Minute)
		wants("the database is away for a while", "", false)
		pass(2 * time.Minute)
		wants("the database is away for long", messages.IntakeRecorder, true)
		l.set(well(nil), nil)
		pass(2 * time.Second)
		wants("it is back", "", false)
	})
}

func TestNewRefuses(t *testing.T) {
	ok := gate.Options{Marks: marks(), Look: (&look{}).at}
	for name, change := range map[string]func(*gate.Options){
		"who cannot look":  func(o *gate.Options) { o.Look = nil },
		"no lag":           func(o *gate.Options) { o.Marks.Lag = 0 },
		"no backlog":       func(o *gate.Options) { o.Marks.Backlog = 0 },
		"more than all":    func(o *gate.Options) { o.Marks.Full = 101 },
		"no share at all":  func(o *gate.Options) { o.Marks.Full = 0 },
		"nothing is wrong": func(*gate.Options) {},
	} {
		o := ok
		change(&o)
		if _, err := gate.New(o); (err == nil) != (name == "nothing is wrong") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
