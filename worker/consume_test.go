package worker_test

import (
	"context"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"flowgate/messages"
	"flowgate/worker"
)

// fill publishes n requests of a class in the state ai, without waiting for each.
func (b *bundle) fill(class messages.Class, n int) {
	b.t.Helper()
	for from := 0; from < n; from += 200 {
		var pubs []*worker.Publication
		for i := from; i < min(from+200, n); i++ {
			a := messages.Address{Key: key(fmt.Sprintf("%s-%d", class, i)), Class: class, State: messages.StateAI}
			pubs = append(pubs, &worker.Publication{Address: a, Data: []byte(`{"v":1,"kind":"prompt"}`)})
		}
		for _, r := range b.hop.Publish(b.t.Context(), pubs) {
			if r.Fate != worker.FateStored {
				b.t.Fatalf("publishing: %+v", r)
			}
		}
	}
}

// classes binds the three queues of layer 2 to a layer.
func classes(l worker.Layer, single bool, batch, lanes int) func(*worker.Options) {
	return func(o *worker.Options) {
		o.Queues = nil
		for _, c := range messages.Classes() {
			o.Queues = append(o.Queues, worker.Queue{
				Name: "ai-" + string(c) + "-0", Stream: worker.WorkStream(0), Layer: l, Class: c, Batch: batch, Lanes: lanes, Single: single,
			})
		}
	}
}

// counting counts what it begins, by class, until most are begun; then it lets no more end.
type counting struct {
	layer

	mu    sync.Mutex
	begun map[messages.Class]int
	sum   int
	full  chan struct{}
}

func newCounting(most int, take time.Duration) *counting {
	c := &counting{begun: map[messages.Class]int{}, full: make(chan struct{})}
	c.handle = func(ctx context.Context, tasks []*worker.Task) []worker.Verdict {
		c.mu.Lock()
		for _, task := range tasks {
			if c.sum < most {
				c.begun[task.Class]++
			}
			if c.sum++; c.sum == most {
				close(c.full)
			}
		}
		c.mu.Unlock()
		timer := time.NewTimer(take)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		return advancing(messages.StateDone)(ctx, tasks)
	}
	return c
}

// TestClassesShareEightToThreeToOne: each class has more waiting than it can get; what is begun is counted.
func TestClassesShareEightToThreeToOne(t *testing.T) {
	for name, c := range map[string]struct {
		single       bool
		batch, lanes int
		most         int
		take         time.Duration
	}{
		"calls that take their time, in step": {true, 24, 1, 720, 25 * time.Millisecond},
		"calls that take no time":             {true, 24, 1, 720, time.Millisecond},
		"micro-batches":                       {false, 10, 2, 1200, 2 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t)
			for class, n := range map[messages.Class]int{"rt": c.most, "std": c.most / 2, "batch": c.most / 5} {
				b.fill(class, n)
			}
			l := newCounting(c.most, c.take)
			stop := b.start(&l.layer, classes(&l.layer, c.single, c.batch, c.lanes))
			select {
			case <-l.full:
			case <-time.After(30 * time.Second):
				t.Error("it stalls")
			}
			stop()
			l.mu.Lock()
			defer l.mu.Unlock()
			t.Logf("begun: %v", l.begun)
			for class, want := range map[messages.Class]float64{"rt": 8. / 12, "std": 3. / 12, "batch": 1. / 12} {
				// Equal shares, and one class before the others, are far outside of this; a machine that is busy with other
				// things is not: pulls of one class come late there, and the others begin more meanwhile.
				const tolerance = 0.1
				if share := float64(l.begun[class]) / float64(c.most); math.Abs(share-want) > tolerance || share < want/2 {
					t.Errorf("%s has %.3f of what was begun, its share is %.3f", class, share, want)
				}
			}
		})
	}
}

// TestNoMixOfSlowAndFastStalls: some messages take their time, and hold their slots; the others go on.
func TestNoMixOfSlowAndFastStalls(t *testing.T) {
	for _, slots := range []int{2, 3, 13, 100} {
		t.Run(fmt.Sprint(slots), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			const n = 200
			b.fill("rt", n)
			b.fill("std", n)
			b.fill("batch", n)
			var ended atomic.Int64
			done := make(chan struct{})
			l := &layer{handle: func(ctx context.Context, tasks []*worker.Task) []worker.Verdict {
				if tasks[0].Seq%17 == 0 {
					<-time.After(50 * time.Millisecond)
				}
				return advancing(messages.StateDone)(ctx, tasks)
			}}
			wake := make(chan *nats.Msg, 4*n)
			sub, err := b.conn.ChanSubscribe("flowgate.result.acme.*", wake)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = sub.Unsubscribe() }()
			go func() {
				for range wake {
					if ended.Add(1) == 3*n {
						close(done)
						return
					}
				}
			}()
			b.start(l, classes(l, slots%2 == 1, slots, 2))
			select {
			case <-done:
			case <-time.After(20 * time.Second):
				t.Errorf("%d of %d ended", ended.Load(), 3*n)
				close(wake)
			}
		})
	}
}

// TestANewcomerIsBegunWhileOthersHoldTheirSlots: calls of a lower class take for ever; one of rt begins all the same.
func TestANewcomerIsBegunWhileOthersHoldTheirSlots(t *testing.T) {
	b := setup(t)
	b.fill("batch", 40)
	held, rt := make(chan struct{}, 64), make(chan struct{}, 64)
	l := &layer{handle: func(ctx context.Context, tasks []*worker.Task) []worker.Verdict {
		if tasks[0].Class == messages.ClassRT {
			rt <- struct{}{}
		} else {
			held <- struct{}{}
		}
		<-ctx.Done()
		return []worker.Verdict{worker.Park(time.Now(), nil)}
	}}
	b.start(l, classes(l, true, 24, 1), func(o *worker.Options) { o.Grace = time.Millisecond })
	for range 24 - 2 { // two are kept for rt
		<-held
	}
	b.fill("rt", 2)
	<-rt
	<-rt
}

// TestNothingIsTakenWhileTooMuchWaitsBehindTheLayer: not from the beginning, and no more once it is so; what is in hand goes on.
func TestNothingIsTakenWhileTooMuchWaitsBehindTheLayer(t *testing.T) {
	b := setup(t)
	const n = 100
	b.fill("std", n)
	var full atomic.Bool
	var asked, begun atomic.Int64
	full.Store(true)
	l := &layer{handle: func(ctx context.Context, tasks []*worker.Task) []worker.Verdict {
		if begun.Add(1) == 3 {
			full.Store(true)
		}
		return advancing(messages.StateDone)(ctx, tasks)
	}}
	b.start(l, func(o *worker.Options) {
		o.Queues[0].Batch = 1
		o.Queues[0].Full = func() bool { asked.Add(1); return full.Load() }
	})
	looks := func() { // it looks again and again
		t.Helper()
		seen := asked.Load()
		waitFor(t, func() bool { return asked.Load() > seen+3 })
	}
	left := func() uint64 {
		t.Helper()
		consumer, err := b.js.Consumer(t.Context(), worker.WorkStream(0), "ai-std-0")
		if err != nil {
			t.Fatal(err)
		}
		info := consumer.CachedInfo()
		return info.NumPending + uint64(info.NumAckPending) //nolint:gosec // not negative
	}
	looks()
	if left() != n || begun.Load() != 0 {
		t.Fatalf("%d left, %d begun", left(), begun.Load())
	}
	full.Store(false)
	waitFor(t, func() bool { return begun.Load() >= 3 && full.Load() })
	looks()
	if rest := left(); rest < n-10 {
		t.Errorf("%d left", rest)
	}
	full.Store(false)
	waitFor(t, func() bool { return begun.Load() >= n })
}
