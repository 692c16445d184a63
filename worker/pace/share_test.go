package pace_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"

	"flowgate/worker/pace"
)

// bus carries what workers tell each other to all of them, after a millisecond.
type bus struct {
	mu    sync.Mutex
	heard []chan *nats.Msg
}

func (b *bus) send(data []byte) error {
	time.AfterFunc(time.Millisecond, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, to := range b.heard {
			to <- &nats.Msg{Data: data}
		}
	})
	return nil
}

// join makes workers that hear each other until ctx ends.
func (b *bus) join(ctx context.Context, running *sync.WaitGroup, n int) (all []*pace.Pace) {
	for i := range n {
		p := pace.New(pace.Options{Worker: fmt.Sprint("worker-", i)})
		heard := make(chan *nats.Msg, 1024)
		b.heard = append(b.heard, heard)
		running.Go(func() { p.Loop(ctx, heard, b.send) })
		all = append(all, p)
	}
	return all
}

func TestThreeWorkersShareOneLimit(t *testing.T) {
	for _, k := range kinds()[:5] {
		k.used = min(k.used, 0.7) // three of them learn it
		if !long() {
			k.spare = 5
		}
		t.Run(k.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				var running sync.WaitGroup
				c := newCrowd(k.provider(), calls(), (&bus{}).join(ctx, &running, 3)...)
				began := time.Now()
				c.run(t.Context(), 64)
				k.judge(t, c, began)
				cancel()
				running.Wait()
			})
		})
	}
}

// TestARefusalIsHeardByEveryWorkerAtOnce: as soon as the message takes, not when they tell each other anyway.
func TestARefusalIsHeardByEveryWorkerAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		workers := (&bus{}).join(ctx, &running, 3)
		goes(t, workers[0], key)
		time.Sleep(5 * time.Millisecond)
		workers[0].Heard(key, limited(time.Minute))
		time.Sleep(1100 * time.Microsecond)
		for i, w := range workers {
			if _, ok := w.Enter(t.Context(), key, pace.Ask{Patience: time.Second}); ok {
				t.Errorf("worker %d calls in the block", i)
			}
		}
		cancel()
		running.Wait()
	})
}
