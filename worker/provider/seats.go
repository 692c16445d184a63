package provider

import (
	"context"
	"sync/atomic"
)

// seats bound how many calls are worked on at once, of all models together; those beyond wait for their turn, in the order of arrival.
// Without a bound none waits.
type seats struct {
	taken atomic.Pointer[chan struct{}]
}

// set changes how many there are; 0: no bound. Who sits or waits does so among the seats before.
func (s *seats) set(n int) {
	if n <= 0 {
		s.taken.Store(nil)
		return
	}
	taken := make(chan struct{}, n)
	s.taken.Store(&taken)
}

// take waits for a seat; leave gives it back, and MUST be called. false: the caller has gone before.
func (s *seats) take(ctx context.Context) (leave func(), ok bool) {
	taken := s.taken.Load()
	if taken == nil {
		return func() {}, true
	}
	select {
	case *taken <- struct{}{}:
		return func() { <-*taken }, true
	case <-ctx.Done():
		return func() {}, false
	}
}
