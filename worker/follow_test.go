package worker_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"flowgate/messages"
	"flowgate/worker"
)

// following makes every task follow told the first time, and hands it on the second.
func following(told <-chan struct{}, until time.Duration, seen chan<- struct{}) func(context.Context, []*worker.Task) []worker.Verdict {
	return func(_ context.Context, tasks []*worker.Task) []worker.Verdict {
		verdicts := make([]worker.Verdict, len(tasks))
		for i, t := range tasks {
			if verdicts[i] = advance(t, messages.StateOptimizer); t.Times == 1 {
				verdicts[i] = worker.Verdict{Action: worker.ActionFollow, Told: told, Until: time.Now().Add(until)}
				seen <- struct{}{}
			}
		}
		return verdicts
	}
}

func TestWhoFollowsHoldsNoSlotAndGoesOnWhenTold(t *testing.T) {
	b := setup(t)
	told := make(chan struct{})
	seen := make(chan struct{}, 100)
	b.start(&layer{handle: following(told, time.Minute, seen)}, func(o *worker.Options) { // one slot for all
		o.Queues[0].Single, o.Queues[0].Batch = true, 1
	})
	const many = 20
	for i := range many {
		b.put(fmt.Sprint("r", i), messages.StateAI, 0, envelope())
	}
	for taken := 0; taken < many; {
		select {
		case <-seen:
			taken++
		case m := <-b.said:
			if w := word(m); strings.HasPrefix(w, "ack ") && string(m.Data) != "+WPI" {
				t.Fatalf("somebody was answered before being told: %s", w)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("%d of %d were taken up: those who follow hold the slot", taken, many)
		}
	}
	close(told)
	for range many {
		b.hears("state optimizer")
	}
}

func TestWhoFollowsIsHeartbeatedBeyondAckWaitAndGoesOnWhenItsTimeIsUp(t *testing.T) {
	b := setup(t)
	seen := make(chan struct{}, 100)
	b.start(&layer{handle: following(nil, 3*ackWait, seen)})
	seq := b.put("r1", messages.StateAI, 0, envelope())
	began := time.Now()
	b.hears(fmt.Sprintf("ack %d +WPI", seq))
	b.hears("state optimizer")
	if took := time.Since(began); took < 2*ackWait || len(seen) != 1 {
		t.Errorf("it went on after %s, followed %d times", took, len(seen))
	}
}

func TestDrainHandsWhoFollowsBackAtOnce(t *testing.T) {
	b := setup(t)
	seen := make(chan struct{}, 100)
	stop := b.start(&layer{handle: following(nil, time.Hour, seen)})
	seq := b.put("r1", messages.StateAI, 0, envelope())
	<-seen
	stop()
	b.hears(fmt.Sprintf("ack %d -NAK", seq))
}
