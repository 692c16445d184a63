package worker

import (
	"context"
	"errors"
	"sync"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
)

// heartbeatsAPull is how often the broker says within one pull that it is still there; a silent pull is renewed.
const heartbeatsAPull = 4

// lane takes deliveries of one queue, for as many as there are free hands, until fetch ends; work outlives fetch by the
// grace of the drain.
func (r *Runtime) lane(fetch, work context.Context, q Queue, consumer jetstream.Consumer) {
	var hands sync.WaitGroup
	defer hands.Wait()
	slots := make(chan struct{}, q.Batch)
	for round := 1; fetch.Err() == nil; {
		free := q.Batch
		if q.Single {
			if free = acquire(fetch, slots); free == 0 {
				return
			}
		}
		ctx, cancel := context.WithTimeout(fetch, r.opts.PullWait)
		pull, err := consumer.Fetch(free, jetstream.FetchContext(ctx), jetstream.FetchHeartbeat(r.opts.PullWait/heartbeatsAPull))
		if err == nil {
			var taken int
			if q.Single {
				taken = r.singles(fetch, work, q, pull, &hands, slots)
			} else {
				taken = r.batches(fetch, work, q, pull)
			}
			release(slots, free-taken, q.Single)
			err = pull.Error()
		} else {
			release(slots, free, q.Single)
		}
		cancel()
		if fetch.Err() != nil {
			return
		}
		if err == nil || errors.Is(err, jetstream.ErrNoHeartbeat) || errors.Is(err, context.DeadlineExceeded) {
			round = 1
			continue
		}
		r.log.Warn("fetching", zap.String("queue", q.Name), zap.Error(err))
		if !r.hop.Backoff.Pause(fetch, round) {
			return
		}
		round++
	}
}

// acquire waits for a free slot and takes every other free one with it.
func acquire(ctx context.Context, slots chan struct{}) int {
	select {
	case slots <- struct{}{}:
	case <-ctx.Done():
		return 0
	}
	n := 1
	for n < cap(slots) {
		select {
		case slots <- struct{}{}:
			n++
		default:
			return n
		}
	}
	return n
}

func release(slots chan struct{}, n int, used bool) {
	for range n {
		if used {
			<-slots
		}
	}
}

// singles starts one hand a delivery and returns how many it started; each gives its slot back.
func (r *Runtime) singles(fetch, work context.Context, q Queue, pull jetstream.MessageBatch, hands *sync.WaitGroup, slots chan struct{}) (taken int) {
	for {
		d, open := r.next(fetch, q, pull, true)
		if d == nil {
			if !open {
				return taken
			}
			continue
		}
		taken++
		hands.Go(func() {
			defer func() { <-slots }()
			r.process(work, q, []*Delivery{d})
		})
	}
}

// batches makes micro-batches of what is there: it waits for the first delivery only.
func (r *Runtime) batches(fetch, work context.Context, q Queue, pull jetstream.MessageBatch) (taken int) {
	for {
		d, open := r.next(fetch, q, pull, true)
		if !open {
			return taken
		}
		var batch []*Delivery
		for d != nil {
			batch = append(batch, d)
			if len(batch) == q.Batch {
				break
			}
			d, open = r.next(fetch, q, pull, false)
		}
		taken += len(batch)
		if len(batch) > 0 {
			r.process(work, q, batch)
		}
		if !open {
			return taken
		}
	}
}

// next reads one delivery; nil and open means that none is there right now (or an unreadable one was passed over). When
// fetch ends, what the pull still hands over goes back at once.
func (r *Runtime) next(fetch context.Context, q Queue, pull jetstream.MessageBatch, wait bool) (d *Delivery, open bool) {
	var msg jetstream.Msg
	if wait {
		select {
		case msg, open = <-pull.Messages():
		case <-fetch.Done():
			r.handBack(q, pull)
			return nil, false
		}
	} else {
		select {
		case msg, open = <-pull.Messages():
		default:
			return nil, true
		}
	}
	if !open {
		return nil, false
	}
	d, err := newDelivery(msg)
	if err != nil {
		r.log.Error("reading a delivery", zap.Error(err))
		return nil, true
	}
	return d, true
}

// handBack returns at once what a pull had fetched and nobody has begun; the pull ends with fetch.
func (r *Runtime) handBack(q Queue, pull jetstream.MessageBatch) {
	for msg := range pull.Messages() {
		if d, err := newDelivery(msg); err == nil {
			r.settle(d, answerPark, 0)
			r.tellBack(q, d)
		}
	}
}
