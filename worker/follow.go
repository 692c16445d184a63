package worker

import (
	"context"
	"sync"
	"time"
)

// maxFollowers bounds how many deliveries are kept in hand without a slot; more are handed back and look again by themselves.
const maxFollowers = 4096

// followLook is how long those are handed back.
const followLook = 500 * time.Millisecond

// followers are deliveries that wait for something that this process will be told: an identical request's answer. They hold no slot,
// are heartbeated, and go back to the queue the moment they are told, when their time is up, or when the process drains.
type followers struct {
	ended <-chan struct{} // fetching has ended
	going sync.WaitGroup

	mu sync.Mutex
	n  int
}

func (f *followers) enter() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended == nil || f.n >= maxFollowers {
		return false
	}
	f.n++
	return true
}

func (f *followers) leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n--
}

// follow keeps a delivery until told closes or until passes. It returns at once.
func (r *Runtime) follow(d *Delivery, told <-chan struct{}, until time.Time) {
	if !r.followers.enter() {
		r.settle(d, answerPark, followLook)
		return
	}
	release := r.held.hold([]*Delivery{d})
	r.followers.going.Go(func() {
		defer r.followers.leave()
		defer release()
		ctx, cancel := context.WithDeadline(context.Background(), until)
		defer cancel()
		select {
		case <-told:
		case <-ctx.Done():
		case <-r.followers.ended:
		}
		r.settle(d, answerPark, 0)
	})
}
