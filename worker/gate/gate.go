// Package gate decides whether a deployment takes more work: it looks every few seconds at the record's lag, at disks and
// streams and at what waits to be admitted, and judges by marks. Who submits asks it (package results answers for it); layer 1
// admits nothing while what was accepted would be endangered.
//
// Read judge.go, then gate.go.
package gate

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"

	"flowgate/messages"
)

// Options are what a gate needs.
type Options struct {
	Marks Marks
	// Look gathers the facts. What could not be learned is an error, beside the facts that could.
	Look func(ctx context.Context) (Facts, error)
	// Every is how often it looks (default 2 s).
	Every  time.Duration
	Logger *zap.Logger
}

// Gate knows whether work is taken. Its methods may be called from everywhere, before Run too: it is open then.
type Gate struct {
	opts Options

	mu    sync.RWMutex
	facts Facts
	// looked is when the record's lag was known last; zero before the first look.
	looked time.Time
	// reason is why it is closed to everybody, as it was logged; empty: it is open.
	reason messages.IntakeReason
}

// New wires and validates.
func New(opts Options) (*Gate, error) {
	m := opts.Marks
	if opts.Look == nil {
		return nil, errors.New("a gate needs to look")
	}
	if m.Lag <= 0 || m.Full < 1 || m.Full > 100 || m.Backlog < 1 {
		return nil, errors.New("a gate needs a lag, a backlog, and a mark from 1 to 100 percent")
	}
	if opts.Every <= 0 {
		opts.Every = 2 * time.Second
	}
	if opts.Logger == nil {
		opts.Logger = zap.NewNop()
	}
	return &Gate{opts: opts}, nil
}

// Run looks until ctx ends.
func (g *Gate) Run(ctx context.Context) {
	tick := time.NewTicker(g.opts.Every)
	defer tick.Stop()
	for {
		g.look(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// look takes over what is new. Where the record's lag cannot be learned, it is at least as long as nobody could.
func (g *Gate) look(ctx context.Context) {
	looking, cancel := context.WithTimeout(ctx, max(g.opts.Every, 5*time.Second))
	defer cancel()
	facts, err := g.opts.Look(looking)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		g.opts.Logger.Debug("looking how full everything is", zap.Error(err))
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(facts.Lag) > 0 || g.looked.IsZero() {
		g.looked = time.Now()
	}
	g.facts = facts
	g.tell(g.judge(""))
}

// tell logs when it closes and opens, under the lock.
func (g *Gate) tell(now messages.Intake) {
	if now.Reason == g.reason {
		return
	}
	g.reason = now.Reason
	if now.Open {
		g.opts.Logger.Warn("work is admitted again")
		return
	}
	g.opts.Logger.Error("no work is admitted", zap.String("reason", string(now.Reason)), zap.String("detail", now.Detail))
}

// judge judges under the lock; a class that is none has no backlog.
func (g *Gate) judge(class messages.Class) messages.Intake {
	facts := g.facts
	if len(facts.Lag) == 0 && !g.looked.IsZero() {
		facts.Lag = map[string]time.Duration{"everything": time.Since(g.looked)}
	}
	return Judge(facts, g.opts.Marks, class)
}

// Intake tells whether submissions of a class are taken.
func (g *Gate) Intake(class messages.Class) messages.Intake {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.judge(class)
}

// Closed tells whether nothing more must be admitted, whatever waits.
func (g *Gate) Closed() bool {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.reason != ""
}
