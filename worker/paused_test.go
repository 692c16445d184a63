package worker_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"flowgate/messages"
	"flowgate/worker"
)

// board is a control plane of a test.
type board struct {
	mu     sync.Mutex
	pauses map[worker.PauseKind]string
	cancel map[messages.Key]worker.Cancellation
	silent time.Duration
	asked  atomic.Int64 // how often it was asked for its silence
}

func (b *board) Paused(kind worker.PauseKind, name string) (worker.Pause, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return worker.Pause{Kind: kind, Name: name}, b.pauses[kind] == name
}

func (b *board) Cancelled(key messages.Key, _ int, _ time.Time) (worker.Cancellation, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c, said := b.cancel[key]
	return c, said
}

func (b *board) cancelled(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cancel = map[messages.Key]worker.Cancellation{key(id): {Key: key(id), Reason: "sent by mistake", By: "ops"}}
}

func (b *board) Silent() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked.Add(1)
	return b.silent
}

func (b *board) set(kind worker.PauseKind, name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pauses = map[worker.PauseKind]string{kind: name}
}

func (b *board) silence(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.silent = d
}

func governed(o *worker.Options, c worker.Control) { o.Control = c }

func TestWhatIsPausedWaitsAndGoesOnWhenItIsNot(t *testing.T) {
	for kind, name := range map[worker.PauseKind]string{
		worker.PauseLayer: string(messages.LayerAI), worker.PauseClass: "std", worker.PauseTenant: "acme", worker.PauseAgreement: "[Cost Analysis]",
	} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			var c board
			c.set(kind, name)
			b.start(&layer{handle: advancing(messages.StateOptimizer)}, func(o *worker.Options) { governed(o, &c) })
			e := envelope()
			e.Corporate = &messages.CorporateSection{Agreement: &messages.AgreementRef{Trigger: "[Cost Analysis]"}}
			seq := b.put("r1", messages.StateAI, 0, e)
			for range 2 {
				b.hears(fmt.Sprintf("ack %d -NAK", seq))
			}
			if n := b.newest("r1"); n.Seq != seq {
				t.Fatalf("moved to %s", n.State)
			}
			c.set(kind, "another")
			state, _ := b.hears("state optimizer")
			if e, err := messages.DecodeEnvelope(state.Data); err != nil || len(e.History) > 0 || e.N != 0 {
				t.Errorf("%s: an attempt was burnt, or published again: %v", state.Data, err)
			}
		})
	}
}

func TestAPausedRequestEndsAtItsDeadline(t *testing.T) {
	b := setup(t)
	var c board
	c.set(worker.PauseTenant, "acme")
	b.start(&layer{handle: advancing(messages.StateOptimizer)}, func(o *worker.Options) { governed(o, &c) })
	e := envelope()
	e.NotAfter = time.Now().Add(400 * time.Millisecond)
	b.put("r1", messages.StateAI, 0, e)
	done, _ := b.hears("state done")
	if late := time.Since(e.NotAfter); done.Header.Get(messages.HeaderStatus) != "timeout" || late > 3*time.Second {
		t.Errorf("header %v, %s late", done.Header, late)
	}
}

func TestWhatIsPausedForLongIsPublishedAgain(t *testing.T) {
	b := setup(t)
	var c board
	c.set(worker.PauseTenant, "acme")
	later := func() time.Time { return time.Now().Add(worker.LongestPark + time.Second) }
	b.start(&layer{handle: advancing(messages.StateOptimizer)}, func(o *worker.Options) { governed(o, &c); o.Now = later })
	seq := b.put("r1", messages.StateAI, 0, envelope())
	b.hears(fmt.Sprintf("state ai expects %d", seq))
	b.hears(fmt.Sprintf("ack %d +ACK", seq))
	if e, err := messages.DecodeEnvelope(b.newest("r1").Data); err != nil || e.N < 1 || len(e.History) > 0 {
		t.Errorf("%+v, %v", e, err)
	}
}

func TestALayerMayLetATaskWait(t *testing.T) {
	b := setup(t)
	var c board
	l := &layer{handle: func(ctx context.Context, tasks []*worker.Task) []worker.Verdict {
		if _, paused := c.Paused(worker.PauseBackend, "openai"); paused {
			return []worker.Verdict{{Action: worker.ActionWait}}
		}
		return advancing(messages.StateOptimizer)(ctx, tasks)
	}}
	c.set(worker.PauseBackend, "openai")
	b.start(l, func(o *worker.Options) { governed(o, &c) })
	seq := b.put("r1", messages.StateAI, 0, envelope())
	b.hears(fmt.Sprintf("ack %d -NAK", seq))
	c.set(worker.PauseBackend, "")
	b.hears("state optimizer")
}

func TestNothingIsTakenWhileTheControlPlaneIsSilent(t *testing.T) {
	b := setup(t)
	var c board
	c.silence(worker.LongestSilence)
	b.start(&layer{handle: advancing(messages.StateOptimizer)}, func(o *worker.Options) { governed(o, &c) })
	b.put("r1", messages.StateAI, 0, envelope())
	waitFor(t, func() bool { return c.asked.Load() > 4 }) // it looks again and again
	info, err := b.js.Consumer(t.Context(), worker.WorkStream(0), "ai-std-0")
	if err != nil {
		t.Fatal(err)
	}
	if state, err := info.Info(t.Context()); err != nil || state.NumPending != 1 || state.NumAckPending != 0 {
		t.Errorf("%+v, %v", state, err)
	}
	c.silence(0)
	_, before := b.hears("state optimizer")
	if strings.Contains(strings.Join(before, " "), "NAK") {
		t.Errorf("said %q", before)
	}
}

// TestABacklogIsNotTakenWhileTheControlPlaneIsSilent: the queue is never empty in between.
func TestABacklogIsNotTakenWhileTheControlPlaneIsSilent(t *testing.T) {
	b := setup(t)
	const n = 100
	b.fill("std", n)
	var c board
	var begun atomic.Int64
	l := &layer{handle: func(ctx context.Context, tasks []*worker.Task) []worker.Verdict {
		if begun.Add(1) == 3 {
			c.silence(worker.LongestSilence)
		}
		return advancing(messages.StateDone)(ctx, tasks)
	}}
	b.start(l, func(o *worker.Options) { governed(o, &c); o.Queues[0].Batch = 1 })
	waitFor(t, func() bool { return begun.Load() >= 3 })
	asked := c.asked.Load()
	waitFor(t, func() bool { return c.asked.Load() > asked+5 }) // it looks again and again
	consumer, err := b.js.Consumer(t.Context(), worker.WorkStream(0), "ai-std-0")
	if err != nil {
		t.Fatal(err)
	}
	if state, err := consumer.Info(t.Context()); err != nil || state.NumPending < n-10 {
		t.Errorf("%+v, %v", state, err)
	}
	c.silence(0)
	waitFor(t, func() bool { return begun.Load() >= n })
}
