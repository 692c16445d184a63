package handlers_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"flowgate/messages"
	"flowgate/pipelines/corporate"
	"flowgate/worker"
	"flowgate/worker/handlers"
	"flowgate/worker/workertest"
)

// judged has n requests of two tenants judged in one micro-batch.
func judged(t *testing.T, leader *worker.Leader, n int, ask func(ctx context.Context, tenant string) (*corporate.Directory, error)) []worker.Verdict {
	t.Helper()
	layer := &handlers.Corporate{
		Leader: leader,
		Policy: func() corporate.Policy { return corporate.Policy{Location: time.UTC} }, Now: time.Now, Partitions: 1, Directory: ask,
	}
	tasks := make([]*worker.Task, n)
	for i := range tasks {
		key := messages.Key{Tenant: fmt.Sprint("tenant-", i%2), ID: fmt.Sprint("r", i)}
		tasks[i] = &worker.Task{Delivery: &worker.Delivery{Data: request(`{}`)}, Started: time.Now()}
		tasks[i].Address = messages.Address{Key: key, Class: messages.ClassStd}
		tasks[i].Stored = time.Now()
	}
	return layer.Handle(t.Context(), tasks)
}

func TestABatchWaitsOnceForADirectoryThatCannotBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked, began := 0, time.Now()
		verdicts := judged(t, nil, 200, func(ctx context.Context, _ string) (*corporate.Directory, error) {
			asked++
			<-ctx.Done() // it is slow
			return nil, ctx.Err()
		})
		if asked != 1 || time.Since(began) > 3*time.Second {
			t.Errorf("asked %d times in %s, want once in 3s", asked, time.Since(began))
		}
		for i, v := range verdicts {
			if v.Action != worker.ActionPark || v.Err == nil || !v.Until.Equal(time.Now().Add(time.Second)) {
				t.Fatalf("request %d: %+v", i, v)
			}
		}
	})
}

// A decision that waited for a neighbour's would be admitted by what was known long ago.
func TestWhoComesAfterTheFirstOfABatchTakesWhatIsFreshAndDoesNotWait(t *testing.T) {
	stale := errors.New("stale")
	conn, js := workertest.Conn(t, workertest.Server(t))
	conn.Close() // who is decided on cannot be admitted
	asked, mayWait := 0, 0
	verdicts := judged(t, &worker.Leader{JS: js}, 4, func(ctx context.Context, _ string) (*corporate.Directory, error) {
		asked++
		if ctx.Err() == nil {
			mayWait++
		}
		if asked > 2 {
			return nil, stale
		}
		return nil, nil //nolint:nilnil // the tenant has none
	})
	if asked != 3 || mayWait != 1 {
		t.Errorf("asked %d times, %d of them with leave to wait", asked, mayWait)
	}
	for i, v := range verdicts {
		if errors.Is(v.Err, stale) != (i >= 2) {
			t.Errorf("request %d: %+v", i, v)
		}
	}
}
