package handlers_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"flowgate/messages"
	"flowgate/pipelines/ai"
	"flowgate/worker"
)

// gated is a backend that answers when it is let.
type gated struct {
	worker.Backend

	calling chan<- string
	let     <-chan struct{}
}

func (b gated) Call(ctx context.Context, call ai.Call) (ai.Answer, error) {
	b.calling <- call.ID
	select {
	case <-b.let:
	case <-ctx.Done():
	}
	return b.Backend.Call(ctx, call)
}

// TestAWaitThatIsPublishedAgainWhileItsMoneyComes: the ledger lets a request go, and in that very moment its wait is published
// again, to be parked for an hour. Who wakes it finds it all the same.
func TestAWaitThatIsPublishedAgainWhileItsMoneyComes(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.limitDay = 400_000 // for one call of 10,000 tokens at its bound, twice, and not for two
	calling, let := make(chan string, 4), make(chan struct{})
	s.wrap = func(b worker.Backend) worker.Backend { return gated{b, calling, let} }
	waiter := messages.Key{Tenant: "acme", ID: "waits"}
	again := &worker.Hop{JS: s.js, Leader: s.leader, Backoff: worker.DefaultDelays()}
	var renewed atomic.Bool
	p := s.start(true, func(step worker.Step, queue string, key messages.Key) {
		if step != worker.StepDecided || queue != "hold" || key != waiter {
			return
		}
		select {
		case <-let:
		default:
			return // it has no money yet
		}
		if !renewed.CompareAndSwap(false, true) {
			return
		}
		n, found, err := s.leader.Newest(context.Background(), 0, waiter)
		if err != nil || !found || n.State != messages.StateHold {
			t.Errorf("it waits as %+v, %v", n, err)
			return
		}
		e, err := messages.DecodeEnvelope(n.Data)
		if err != nil {
			t.Error(err)
			return
		}
		e.N++
		e.NotBefore = time.Now().Add(time.Hour)
		data, err := messages.EncodeEnvelope(e)
		if err != nil {
			t.Error(err)
			return
		}
		if r := again.Publish(context.Background(), []*worker.Publication{{Address: n.Address, Data: data, Expect: n.Seq}})[0]; r.Fate != worker.FateStored {
			t.Errorf("its wait was not published again: %+v", r)
		}
	})
	defer p.end()
	request := func(key messages.Key) {
		s.publish(messages.RequestSubject(messages.ClassStd, key),
			[]byte(`{"prompt":"Say OK","audit_reason":"a drill of waiting","model":"`+model+`","max_tokens":10000}`))
	}
	request(requestKey)
	if id := <-calling; id != requestKey.ID {
		t.Fatalf("%s was called for", id)
	}
	request(waiter)
	s.sees("it waits for money", func(ctx context.Context) (bool, error) {
		n, found, err := s.leader.Newest(ctx, 0, waiter)
		return found && n.State == messages.StateHold, err
	})
	close(let)
	s.sees("it is done", func(ctx context.Context) (bool, error) {
		n, found, err := s.leader.Newest(ctx, 0, waiter)
		return found && n.State == messages.StateDone, err
	})
	if !renewed.Load() {
		t.Error("its wait was never published again")
	}
}
