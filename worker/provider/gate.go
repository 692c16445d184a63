package provider

import (
	"context"
	"sync"
)

// Gate holds calls back, after they were read and counted and before they are answered.
type Gate struct {
	arrived  chan struct{}
	released chan struct{}
	once     sync.Once
}

// Arrived yields once for every call that came to the gate.
func (g *Gate) Arrived() <-chan struct{} { return g.arrived }

// Release lets the calls through, those to come as well. It may be called again.
func (g *Gate) Release() { g.once.Do(func() { close(g.released) }) }

// wait is over when the gate opens or the caller has gone.
func (g *Gate) wait(ctx context.Context) {
	select {
	case g.arrived <- struct{}{}:
	default: // nobody counts so far
	}
	select {
	case <-g.released:
	case <-ctx.Done():
	}
}

// mostArrived is how many arrivals a gate tells.
const mostArrived = 1 << 16

// Hold holds back the calls of a request id, whose first parts stand for everything below, until the gate is released. The
// longest request id that fits decides.
func (s *Server) Hold(requestID string) *Gate {
	gate := &Gate{arrived: make(chan struct{}, mostArrived), released: make(chan struct{})}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gates[requestID] = gate
	return gate
}

// HangUp resets the connections of the calls of a request id once their headers are read, so of protocols only that have it in a
// header: counted, and never billed.
func (s *Server) HangUp(requestID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reset[requestID] = true
}

func (s *Server) gate(requestID string) *Gate {
	s.mu.Lock()
	defer s.mu.Unlock()
	return longest(s.gates, requestID)
}

func (s *Server) hangsUp(requestID string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return longest(s.reset, requestID)
}

// longest is the entry under the longest request id that the call's lies below.
func longest[T any](entries map[string]T, requestID string) T {
	var found T
	length := -1
	for id, entry := range entries {
		if len(id) > length && below(id, requestID) {
			found, length = entry, len(id)
		}
	}
	return found
}
