package worker

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"

	"flowgate/messages"
)

const (
	// wakeEvery is the fallback where no event told that money is free.
	wakeEvery = 30 * time.Second
	// wakeBatch is how many waiting requests are taken up at once.
	wakeBatch = 200
	// wakeTries is how often a request is taken up whose wait is published again meanwhile.
	wakeTries = 3
)

// wake takes up requests that wait for money when money was freed: the scope's oldest first, each with the sequence of its
// newest state as S. Their parked deliveries find out later that the request moved on.
func (r *Runtime) wake(ctx, work context.Context) {
	var hold *Queue
	for i := range r.opts.Queues {
		if r.opts.Queues[i].Holds {
			hold = &r.opts.Queues[i]
		}
	}
	if hold == nil {
		return
	}
	freed := make(chan []string, 64)
	sub, err := r.opts.Conn.QueueSubscribe(messages.EventSubject("*", messages.EventFreed), "flowgate-wake", freedScopes(freed))
	if err != nil {
		r.log.Error("listening for freed money", zap.Error(err))
		return
	}
	defer func() {
		if err := sub.Unsubscribe(); err != nil {
			r.log.Debug("ending the listening for freed money", zap.Error(err))
		}
	}()
	for {
		pause := time.NewTimer(wakeEvery/2 + rand.N(wakeEvery)) //nolint:gosec // jitter is no secret
		var scopes []string
		select {
		case <-ctx.Done():
			pause.Stop()
			return
		case scopes = <-freed:
			scopes = append(scopes, waitingIn(freed)...)
		case <-pause.C:
		}
		pause.Stop()
		r.takeUp(work, *hold, scopes)
	}
}

// waitingIn takes what has come meanwhile: many settlements wake the same requests once.
func waitingIn(freed <-chan []string) (scopes []string) {
	for {
		select {
		case more := <-freed:
			scopes = append(scopes, more...)
		default:
			return scopes
		}
	}
}

// freedScopes reads the scopes out of events; when nobody keeps up, the fallback finds them.
func freedScopes(freed chan<- []string) nats.MsgHandler {
	return func(msg *nats.Msg) {
		event, err := messages.DecodeEvent(msg.Data)
		if err != nil {
			return
		}
		select {
		case freed <- event.Scopes:
		default:
		}
	}
}

// takeUp processes the oldest waiting requests of scopes (all scopes where none is named). A request whose wait was published
// again in that very moment is taken up once more: the ledger has let it go, so nobody else would find it before its park ends.
func (r *Runtime) takeUp(ctx context.Context, hold Queue, scopes []string) {
	waiters, err := r.opts.Waiting(ctx, scopes, wakeBatch)
	if err != nil {
		r.log.Warn("listing waiting requests", zap.Error(err))
		return
	}
	for try := 0; try < wakeTries && len(waiters) > 0; try++ {
		batch, err := r.waiting(ctx, waiters)
		if err != nil {
			r.log.Warn("reading a waiting request", zap.Error(err))
			return
		}
		if len(batch) > 0 {
			r.process(ctx, hold, batch)
		}
		waiters = waiters[:0]
		for _, d := range batch {
			if d.renewed {
				waiters = append(waiters, Waiter{Address: d.Address})
			}
		}
	}
}

// waiting reads what the waiters' newest states are, where those still wait.
func (r *Runtime) waiting(ctx context.Context, waiters []Waiter) (batch []*Delivery, err error) {
	for _, w := range waiters {
		newest, found, err := r.opts.Leader.Newest(ctx, w.P, w.Key)
		if err != nil {
			return nil, err
		}
		if !found || newest.State != messages.StateHold {
			continue
		}
		batch = append(batch, &Delivery{
			Address: newest.Address, Seq: newest.Seq, Times: 1, Stored: newest.Time,
			Header: newest.Header, Data: newest.Data, woken: true,
		})
	}
	return batch, nil
}
