package worker

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// Pulse knows by when each loop of a process has to be heard of again, so that one that hangs is found. A nil Pulse knows
// nothing. Its methods may be called from any goroutine.
type Pulse struct {
	mu  sync.Mutex
	due map[string]time.Time
}

// Expect says that a loop is well and will be heard of again within d.
func (p *Pulse) Expect(loop string, d time.Duration) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.due == nil {
		p.due = make(map[string]time.Time)
	}
	p.due[loop] = time.Now().Add(d)
}

// Rest says that a loop works on something that takes its time, waits for somebody, or has ended.
func (p *Pulse) Rest(loop string) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.due, loop)
}

// Overdue names the loops that were not heard of in time.
func (p *Pulse) Overdue() []string {
	if p == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var late []string
	for loop, due := range p.due {
		if behind := time.Since(due); behind > 0 {
			late = append(late, fmt.Sprintf("%s is overdue by %s", loop, behind.Round(time.Second)))
		}
	}
	slices.Sort(late)
	return late
}
