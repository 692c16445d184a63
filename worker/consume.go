package worker

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
)

// taker takes the deliveries of one queue. While the queue is empty one pull for one message stands at the broker, and
// holds no slot. A message that it brings asks for slots; then pulls that do not wait take what is there for as many slots
// as were granted, until the queue is empty again. So nothing is fetched that no free hand takes, but for that one message,
// which is heartbeated while it waits.
//
// No pull is ever given up before the broker has ended it: a message that it hands over at that moment would wait for
// AckWait.
type taker struct {
	*Runtime

	queue    Queue
	consumer jetstream.Consumer
	pool     *pool
	// work outlives the drain by its grace; hands are those at work.
	work  context.Context //nolint:containedctx // a taker lives for one Run, whose parameter it is
	hands *sync.WaitGroup
}

// run takes until fetch ends.
func (t *taker) run(fetch context.Context) {
	for round := 1; t.heard(fetch) && t.room(fetch); {
		first, err := t.stand()
		if err == nil && first != nil {
			err = t.serve(fetch, first)
		}
		if err == nil {
			round = 1
			continue
		}
		if fetch.Err() != nil {
			return
		}
		t.log.Warn("fetching", zap.String("queue", t.queue.Name), zap.Error(err))
		if !t.hop.Backoff.Pause(fetch, round) {
			return
		}
		round++
	}
}

// stand waits for a message, for as long as a pull stands; nil: none came.
func (t *taker) stand() (*Delivery, error) {
	t.opts.Pulse.Expect(t.queue.Name, 3*t.opts.PullWait)
	defer t.opts.Pulse.Rest(t.queue.Name)
	pull, err := t.consumer.Fetch(1, jetstream.FetchMaxWait(t.opts.PullWait))
	if err != nil {
		return nil, err
	}
	taken, err := t.read(pull)
	if len(taken) == 0 {
		return nil, err
	}
	return taken[0], nil
}

// serve works on what the queue has, beginning with a message in hand, until it is empty or fetch ends. Then what nobody has
// begun goes back at once.
func (t *taker) serve(fetch context.Context, first *Delivery) (err error) {
	most := 1 // micro-batches are one slot each
	if t.queue.Single {
		most = t.queue.Batch
	}
	taken, more := []*Delivery{first}, first.more()
	for more || len(taken) > 0 {
		if t.deaf() { // what is paused is not known: nobody takes more
			t.handBack(taken)
			return nil
		}
		more = more && !t.full()
		slots := t.await(fetch, taken, most)
		if slots == 0 {
			t.handBack(taken)
			return nil
		}
		room := slots
		if !t.queue.Single {
			room = t.queue.Batch
		}
		if room -= len(taken); more && room > 0 && fetch.Err() == nil {
			var pulled []*Delivery
			pulled, err = t.pull(room)
			taken = append(taken, pulled...)
			more = len(pulled) > 0 && (len(pulled) == room || pulled[len(pulled)-1].more())
		}
		if fetch.Err() != nil {
			t.pool.pulled(t.queue.Class, slots, 0, false)
			t.handBack(taken)
			return nil //nolint:nilerr // the pull ended with the fetching
		}
		t.begin(taken, slots, more)
		taken = nil
	}
	return err
}

// await asks for slots. Meanwhile what is in hand is heartbeated.
func (t *taker) await(fetch context.Context, taken []*Delivery, most int) int {
	defer t.held.hold(taken)()
	return t.pool.ask(fetch, t.queue.Class, most)
}

// begin starts a hand for each delivery, or for the micro-batch, and gives back what slots are left. Hands give theirs back
// when they are done.
func (t *taker) begin(taken []*Delivery, slots int, more bool) {
	start := func(batch []*Delivery) {
		t.hands.Go(func() {
			defer t.pool.release(t.queue.Class)
			t.process(t.work, t.queue, batch)
		})
	}
	switch {
	case t.queue.Single:
		for _, d := range taken {
			start([]*Delivery{d})
		}
		t.pool.pulled(t.queue.Class, slots-len(taken), 0, more)
	case len(taken) > 0:
		start(taken)
		t.pool.pulled(t.queue.Class, slots-1, 1-float64(len(taken))/float64(t.queue.Batch), more)
	default:
		t.pool.pulled(t.queue.Class, slots, 0, more)
	}
}

// pull takes what is there, at most n.
func (t *taker) pull(n int) ([]*Delivery, error) {
	t.opts.Pulse.Expect(t.queue.Name, 3*t.opts.PullWait)
	defer t.opts.Pulse.Rest(t.queue.Name)
	pull, err := t.consumer.FetchNoWait(n)
	if err != nil {
		return nil, err
	}
	return t.read(pull)
}

// read reads a pull to its end.
func (t *taker) read(pull jetstream.MessageBatch) (taken []*Delivery, err error) {
	for msg := range pull.Messages() {
		d, err := newDelivery(msg)
		if err != nil {
			t.log.Error("reading a delivery", zap.Error(err))
			continue
		}
		taken = append(taken, d)
	}
	if err = pull.Error(); errors.Is(err, nats.ErrTimeout) || errors.Is(err, jetstream.ErrNoMessages) {
		err = nil
	}
	return taken, err
}

// handBack returns at once what was fetched and nobody has begun.
func (t *taker) handBack(taken []*Delivery) {
	for _, d := range taken {
		t.settle(d, answerPark, 0)
		t.tellBack(t.queue, d)
	}
}

// roomEvery is how often a queue that stands because of what waits behind its layer looks again.
const roomEvery = 100 * time.Millisecond

func (t *taker) full() bool { return t.queue.Full != nil && t.queue.Full() }

// room waits until more may be taken. False: fetch ended.
func (t *taker) room(fetch context.Context) bool {
	if !t.full() {
		return fetch.Err() == nil
	}
	t.log.Debug("nothing is taken: too much waits behind the layer", zap.String("queue", t.queue.Name))
	tick := time.NewTicker(roomEvery)
	defer tick.Stop()
	for t.full() && !t.deaf() {
		select {
		case <-tick.C:
		case <-fetch.Done():
			return false
		}
	}
	return fetch.Err() == nil
}

// listenEvery is how often a layer that stopped for silence looks whether the control plane speaks again.
const listenEvery = 200 * time.Millisecond

// heard waits until the control plane speaks: what is paused must be known. False: fetch ended.
func (t *taker) heard(fetch context.Context) bool {
	if !t.deaf() {
		return fetch.Err() == nil
	}
	t.log.Error("the control plane is silent; nothing is taken until it speaks", zap.String("queue", t.queue.Name))
	tick := time.NewTicker(listenEvery)
	defer tick.Stop()
	for t.deaf() {
		select {
		case <-tick.C:
		case <-fetch.Done():
			return false
		}
	}
	t.log.Warn("the control plane speaks again", zap.String("queue", t.queue.Name))
	return true
}
