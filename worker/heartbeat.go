package worker

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"
)

// held are the deliveries in hand, whose heartbeats one goroutine sends.
type held struct {
	mu   sync.Mutex
	next uint64
	in   map[uint64]holding
}

type holding struct {
	batch []*Delivery
	since time.Time
}

func newHeld() *held { return &held{in: make(map[uint64]holding)} }

func (h *held) hold(batch []*Delivery) (release func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.next++
	id := h.next
	h.in[id] = holding{batch: batch, since: time.Now()}
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.in, id)
	}
}

// has tells whether another delivery of the same message is in hand.
func (h *held) has(d *Delivery) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, holding := range h.in {
		for _, other := range holding.batch {
			if other != d && other.Seq == d.Seq && other.State == d.State && other.msg != nil {
				return true
			}
		}
	}
	return false
}

// due lists the deliveries that have been in hand for longer than age.
func (h *held) due(age time.Duration) []*Delivery {
	h.mu.Lock()
	defer h.mu.Unlock()
	var due []*Delivery
	for _, holding := range h.in {
		if time.Since(holding.since) >= age {
			for _, d := range holding.batch {
				if d.msg != nil && !d.answered.Load() {
					due = append(due, d)
				}
			}
		}
	}
	return due
}

// heartbeats tells the broker every third of AckWait what is still worked on.
func (r *Runtime) heartbeats(ctx context.Context) {
	ticker := time.NewTicker(r.opts.AckWait / 3)
	defer ticker.Stop()
	defer r.opts.Pulse.Rest("heartbeats")
	for {
		r.opts.Pulse.Expect("heartbeats", 2*r.opts.AckWait)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		r.beatAll(ctx, r.held.due(r.opts.AckWait/6))
	}
}

// beatsAtOnce bounds the heartbeats that wait for their answer.
const beatsAtOnce = 64

// beatAll sends the heartbeats side by side: one that nobody answers must not silence the others.
func (r *Runtime) beatAll(ctx context.Context, due []*Delivery) {
	var beats sync.WaitGroup
	slots := make(chan struct{}, beatsAtOnce)
	for _, d := range due {
		slots <- struct{}{}
		beats.Go(func() {
			defer func() { <-slots }()
			r.opts.Probe.At(StepBeat, d.queue(), d.Key)
			if err := r.beat(ctx, d); err != nil && ctx.Err() == nil {
				r.log.Debug("heartbeat unheard", d.about(), zap.Error(err))
			}
		})
	}
	beats.Wait()
}
