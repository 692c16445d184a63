// Package breaker keeps calls from backends that fail: a circuit breaker for each backend and one for each of its models
// (github.com/sony/gobreaker), fed by the classes of faults. A call needs the permission of both.
//
// What a fault means to it:
//
//   - transient, overloaded and in_doubt are failures. A model's breaker opens after some in a row, or when a share of the calls of a
//     window failed; the backend's opens for all models when those failures are of two models or more, with no answer between.
//   - invalid and refused are answers: whoever says no is alive. rate_limited counts for nothing here (package pace has it), nor does
//     drained, nor what our own side cut off.
//   - auth holds the backend for a while, then one call tries, or until they are others (403 and its like: that model only, for access is often granted by model).
//   - quota holds the backend for a while, then one call tries.
//
// An open breaker lets one call try after a while; each time that fails, it waits twice as long.
//
// Read options.go next, then unit.go.
package breaker

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"flowgate/pipelines/ai"
)

// maxUnits bounds breakers: of more models only their backend's breaker counts.
const maxUnits = 1000

// Breakers are those of all backends of a process. Methods may be called concurrently.
type Breakers struct {
	opts Options

	mu      sync.Mutex
	units   map[name]*unit
	changes []Change // not told yet
	swept   time.Time
}

// name is a backend's, and a model's where it is not the whole backend.
type name struct{ backend, model string }

// New makes breakers that are all closed.
func New(o Options) (*Breakers, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	return &Breakers{opts: o, units: map[name]*unit{}}, nil
}

// Refusal is why a call may not be made now.
type Refusal struct {
	State Position
	// Model is empty where the whole backend is meant.
	Backend, Model string
	// Class and Code are those of the fault that did it.
	Class ai.Class
	Code  string
	// Next is when a call may be tried again; zero: not before Renewed.
	Next time.Time
}

func (r *Refusal) Error() string {
	what := r.Backend
	if r.Model != "" {
		what += " (" + r.Model + ")"
	}
	return fmt.Sprintf("%s is %s after %s", what, r.State, reason(r.Class, r.Code))
}

func reason(class ai.Class, code string) string {
	if code == "" {
		return string(class)
	}
	return fmt.Sprintf("%s (%s)", class, code)
}

// Permit lets one call be made. Its Done MUST be called exactly once, whatever becomes of the call.
type Permit struct {
	b     *Breakers // nil: it is done
	model string
	units []*unit
	done  []func(error)
	tries []*unit // whose only trial this call is
}

// Allow asks for a call to a model. It is the last thing before the call: who gets a permit may be the only one that tries.
func (b *Breakers) Allow(backend, model string) (*Permit, *Refusal) {
	defer b.tell()
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	p := &Permit{b: b, model: model}
	for _, u := range b.of(backend, model, now) {
		done, refusal := u.allow(now)
		b.look(u, now)
		if refusal != nil {
			p.settle(errUncounted)
			return nil, refusal
		}
		p.units, p.done = append(p.units, u), append(p.done, done)
		if u.hold != nil {
			u.hold.trying = true
			p.tries = append(p.tries, u)
		}
	}
	return p, nil
}

// Check tells why a call may not be made now, without asking for one; nil: it may, unless somebody else is quicker.
func (b *Breakers) Check(backend, model string) *Refusal {
	defer b.tell()
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	for _, u := range b.of(backend, model, now) {
		refusal := u.refuses(now)
		b.look(u, now)
		if refusal != nil {
			return refusal
		}
	}
	return nil
}

// of finds the breakers of a backend and a model, or makes them.
func (b *Breakers) of(backend, model string, now time.Time) (all []*unit) {
	for _, n := range []name{{backend, ""}, {backend, model}} {
		u := b.units[n]
		if u == nil {
			if len(b.units) >= maxUnits {
				b.forget(now)
			}
			if len(b.units) >= maxUnits {
				continue
			}
			u = b.newUnit(n, now)
			b.units[n] = u
		}
		u.used = now
		if !slices.Contains(all, u) {
			all = append(all, u)
		}
	}
	return all
}

// forget drops breakers that have been closed and unused for a while.
func (b *Breakers) forget(now time.Time) {
	if now.Sub(b.swept) < time.Second {
		return
	}
	b.swept = now
	for n, u := range b.units {
		if now.Sub(u.used) > 10*time.Minute && u.position(now) == Closed {
			delete(b.units, n)
		}
	}
}

var (
	errFailed    = errors.New("the call failed")
	errUncounted = errors.New("the call counts for nothing")
)

// settle hands an outcome to every breaker that let the call pass.
func (p *Permit) settle(err error) {
	for _, done := range p.done {
		done(err)
	}
	for _, u := range p.tries {
		if u.hold != nil {
			u.hold.trying = false
		}
	}
	p.done, p.tries = nil, nil
}

// Done tells what became of the call; nil: an answer came.
func (p *Permit) Done(f *ai.Fault) {
	b := p.b
	if b == nil {
		return
	}
	defer b.tell()
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	m := meaningOf(f)
	for _, u := range p.units {
		u.note(p.model, f, m, now)
	}
	if m == meansAnswer {
		for _, u := range p.tries {
			u.hold = nil
		}
	}
	switch m {
	case meansAnswer:
		p.settle(nil)
	case meansFailure:
		p.settle(errFailed)
	case meansNothing, meansNoAccess, meansUsedUp:
		p.settle(errUncounted)
	}
	for _, u := range p.units {
		b.look(u, now)
	}
	p.b = nil
}
