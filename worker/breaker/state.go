package breaker

import (
	"cmp"
	"slices"
	"time"

	"go.uber.org/zap"

	"flowgate/pipelines/ai"
)

// State is how one breaker stands.
type State struct {
	Backend string `json:"backend"`
	// Model is empty for the whole backend.
	Model string    `json:"model,omitempty"`
	State Position  `json:"state"`
	Since time.Time `json:"since"`
	// Class and Code are those of the fault that did it.
	Class ai.Class `json:"class,omitempty"`
	Code  string   `json:"code,omitempty"`
	// Next is when a call may try; absent where it is closed, and where nothing is tried before the credentials are others.
	Next *time.Time `json:"next,omitempty"`
	// Failures are those in a row.
	Failures uint32 `json:"failures,omitempty"`
}

// State tells how every breaker stands that was asked of late: the whole backend, then its models by name.
func (b *Breakers) State() []State {
	defer b.tell()
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	all := make([]State, 0, len(b.units))
	for _, u := range b.units {
		b.look(u, now)
		s := State{Backend: u.name.backend, Model: u.name.model, State: u.told, Since: u.since, Failures: u.cb.Counts().ConsecutiveFailures}
		if u.told != Closed {
			s.Class, s.Code = u.class, u.code
			if next := u.next(now); u.told != HalfOpen && !next.IsZero() {
				s.Next = &next
			}
		}
		all = append(all, s)
	}
	slices.SortFunc(all, func(x, y State) int { return cmp.Or(cmp.Compare(x.Backend, y.Backend), cmp.Compare(x.Model, y.Model)) })
	return all
}

// Renewed ends what refused credentials hold of a backend, because they are others now, or are taken again. What is open or held for
// another reason stays so.
func (b *Breakers) Renewed(backend string) {
	defer b.tell()
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	for n, u := range b.units {
		if n.backend != backend || u.hold == nil || u.hold.position != Unhealthy {
			continue
		}
		b.look(u, now)
		fresh := b.newUnit(n, now)
		fresh.told, fresh.since = u.told, u.since
		b.units[n] = fresh
		b.look(fresh, now)
	}
}

// look notes a change of a breaker, to be told when the lock is free.
func (b *Breakers) look(u *unit, now time.Time) {
	if c, changed := u.change(now); changed {
		b.changes = append(b.changes, c)
	}
}

// tell tells the changes. It is called without the lock.
func (b *Breakers) tell() {
	b.mu.Lock()
	changes := b.changes
	b.changes = nil
	b.mu.Unlock()
	for _, c := range changes {
		if b.opts.OnChange != nil {
			b.opts.OnChange(c)
		}
	}
}

// Log is an OnChange that logs: an operator has to see to unhealthy and held ones.
func Log(log *zap.Logger) func(Change) {
	return func(c Change) {
		fields := []zap.Field{
			zap.String("backend", c.Backend), zap.String("model", c.Model), zap.String("was", string(c.From)),
			zap.String("class", string(c.Class)), zap.String("code", c.Code), zap.Time("next", c.Next),
		}
		switch c.To {
		case Unhealthy:
			if c.Next.IsZero() {
				log.Error("a backend refuses its credentials: nothing is asked of it before a restart, or before they are others", fields...)
				return
			}
			log.Error("a backend refuses its credentials: nothing is asked of it before the time of next, when one call tries", fields...)
		case Held:
			log.Error("a backend's quota or credit is used up", fields...)
		case Open:
			log.Warn("the breaker of a backend opened", fields...)
		case HalfOpen:
			log.Info("the breaker of a backend lets one call try", fields...)
		case Closed:
			log.Info("the breaker of a backend closed", fields...)
		}
	}
}
