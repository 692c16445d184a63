package worker_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"flowgate/messages"
	"flowgate/worker"
)

// TestWhatADrainHandsBackIsTakenUpByOthersAtOnce: one worker has its hands full of calls that do not end; it is drained, and
// another takes up everything long before AckWait tells it, without an attempt in anybody's history.
func TestWhatADrainHandsBackIsTakenUpByOthersAtOnce(t *testing.T) {
	b := setupFor(t, time.Minute)
	const n = 20
	began := make(chan struct{}, n)
	stuck := &layer{handle: func(ctx context.Context, _ []*worker.Task) []worker.Verdict {
		began <- struct{}{}
		<-ctx.Done() // a call that was not sent yet, or costs nothing: it goes back
		return []worker.Verdict{worker.Park(time.Now(), nil)}
	}}
	patient := func(o *worker.Options) { o.AckWait, o.Grace = time.Hour, time.Millisecond }
	stop := b.start(stuck, classes(stuck, true, 8, 1), patient)
	b.fill("std", n)
	for range 8 {
		<-began
	}
	var mu sync.Mutex
	taken, all := map[string]bool{}, make(chan struct{})
	other := &layer{handle: func(ctx context.Context, tasks []*worker.Task) []worker.Verdict {
		mu.Lock()
		defer mu.Unlock()
		if e := tasks[0].Envelope; len(e.History) > 0 || e.N > 0 {
			t.Errorf("%s comes with history %+v, published %d times", tasks[0].ID, e.History, e.N)
		}
		taken[tasks[0].ID] = true
		if len(taken) == n {
			close(all)
		}
		return advancing(messages.StateDone)(ctx, tasks)
	}}
	b.start(other, classes(other, true, 8, 1), patient, func(o *worker.Options) { o.Worker = "w2" })
	drained := time.Now()
	stop()
	select {
	case <-all:
	case <-time.After(20 * time.Second):
		t.Fatalf("%d of %d were taken up", len(taken), n)
	}
	if took := time.Since(drained); took > 5*time.Second { // a second where the machine is not busy with other tests
		t.Errorf("taken up after %s", took)
	}
}

// TestNothingIsLostInTheMomentInWhichAPullEnds: messages come one by one while workers come and go. What a pull hands over
// in the moment of its end goes back at once: otherwise it would wait for AckWait, which is longer than this test.
func TestNothingIsLostInTheMomentInWhichAPullEnds(t *testing.T) {
	b := setupFor(t, time.Minute)
	const n = 300
	var mu sync.Mutex
	ended, all, progress := map[string]bool{}, make(chan struct{}), make(chan struct{}, 1)
	l := &layer{handle: func(ctx context.Context, tasks []*worker.Task) []worker.Verdict {
		mu.Lock()
		defer mu.Unlock()
		for _, task := range tasks {
			if ended[task.ID] = true; len(ended) == n {
				close(all)
			}
		}
		select {
		case progress <- struct{}{}:
		default:
		}
		return advancing(messages.StateDone)(ctx, tasks)
	}}
	var producer sync.WaitGroup
	producer.Go(func() {
		for i := range n {
			b.put(fmt.Sprintf("r%d", i), messages.StateAI, 0, envelope())
		}
	})
	patient := func(o *worker.Options) { o.AckWait, o.PullWait = time.Minute, 10*time.Millisecond }
	for i := range 12 {
		stop := b.start(l, patient, func(o *worker.Options) { o.Queues[0].Single = i%2 == 0 })
		select {
		case <-progress:
		case <-all:
		}
		stop()
	}
	b.start(l, patient)
	producer.Wait()
	select {
	case <-all:
	case <-time.After(30 * time.Second):
		t.Fatalf("%d of %d ended", len(ended), n)
	}
}

func TestADrainEndsWithinItsGrace(t *testing.T) {
	b := setup(t)
	began := make(chan struct{}, 1)
	l := &layer{handle: func(ctx context.Context, _ []*worker.Task) []worker.Verdict {
		began <- struct{}{}
		<-ctx.Done()
		return []worker.Verdict{worker.Park(time.Now(), nil)}
	}}
	stop := b.start(l, func(o *worker.Options) { o.Grace, o.PullWait = 300*time.Millisecond, 20*time.Millisecond })
	b.put("r1", messages.StateAI, 0, envelope())
	<-began
	from := time.Now()
	stop()
	if took := time.Since(from); took < 300*time.Millisecond || took > 5*time.Second {
		t.Errorf("drained in %s", took)
	}
	b.hears("ack 1 -NAK")
}
