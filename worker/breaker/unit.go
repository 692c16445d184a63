package breaker

import (
	"errors"
	"slices"
	"time"

	"github.com/sony/gobreaker/v2"

	"flowgate/pipelines/ai"
)

// Position is how a breaker stands.
type Position string

// The positions.
const (
	Closed Position = "closed"
	// HalfOpen: one call at a time tries.
	HalfOpen Position = "half_open"
	Open     Position = "open"
	// Unhealthy: the credentials were refused; nothing is tried for a while, or before they change.
	Unhealthy Position = "unhealthy"
	// Held: the quota is used up; nothing is tried for a while.
	Held Position = "held"
)

// Positions lists them, the better ones first.
func Positions() []Position { return []Position{Closed, HalfOpen, Open, Held, Unhealthy} }

// maxModels bounds how many models are told apart that fail.
const maxModels = 16

// unit is one breaker. It is guarded by the mutex of its Breakers.
type unit struct {
	name  name
	opts  *Options
	cb    *gobreaker.TwoStepCircuitBreaker[struct{}]
	hold  *hold
	class ai.Class // of the newest fault that counted
	code  string
	until time.Time // it stays open
	opens int       // in a row
	// failing are the models that failed since the last answer, where it is a whole backend's.
	failing []string

	told  Position // what was told last
	since time.Time
	used  time.Time
}

// hold is what auth and quota do.
type hold struct {
	position Position
	until    time.Time // zero: until Renewed
	trying   bool      // a call tries whether it is over
}

func (b *Breakers) newUnit(n name, now time.Time) *unit {
	u := &unit{name: n, opts: &b.opts, told: Closed, since: now, used: now}
	u.cb = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		MaxRequests: 1, Interval: b.opts.Window, BucketPeriod: b.opts.Window / 10, Timeout: b.opts.Open,
		ReadyToTrip: u.trips, OnStateChange: u.moves,
		IsExcluded: func(err error) bool { return errors.Is(err, errUncounted) },
	})
	return u
}

// trips decides whether a closed breaker opens. A backend as a whole opens where several models fail: one alone may be the fault's
// own place, and has a breaker itself.
func (u *unit) trips(c gobreaker.Counts) bool {
	if u.name.model == "" && len(u.failing) < 2 {
		return false
	}
	counted := c.TotalSuccesses + c.TotalFailures
	return c.ConsecutiveFailures >= u.opts.Failures || counted >= u.opts.Calls && float64(c.TotalFailures) >= u.opts.Share*float64(counted)
}

// moves hears of the library's changes: each opening in a row lasts longer.
func (u *unit) moves(_ string, _, to gobreaker.State) {
	switch to {
	case gobreaker.StateOpen:
		open := u.opts.Open
		for range u.opens {
			open = min(2*open, u.opts.MaxOpen)
		}
		u.opens = min(u.opens+1, 32)
		u.until = time.Now().Add(open)
	case gobreaker.StateClosed:
		u.opens, u.until, u.failing = 0, time.Time{}, nil
	case gobreaker.StateHalfOpen:
	}
}

// position is how it stands now.
func (u *unit) position(now time.Time) Position {
	if u.hold != nil && (u.hold.until.IsZero() || now.Before(u.hold.until)) {
		return u.hold.position
	}
	state := u.cb.State()
	switch {
	case state == gobreaker.StateOpen || state == gobreaker.StateHalfOpen && now.Before(u.until):
		return Open
	case state == gobreaker.StateHalfOpen || u.hold != nil:
		return HalfOpen
	}
	return Closed
}

// next is when a call may try that may not now; zero: not before Renewed.
func (u *unit) next(now time.Time) time.Time {
	if u.hold != nil && (u.hold.until.IsZero() || now.Before(u.hold.until)) {
		return u.hold.until
	}
	if now.Before(u.until) {
		return u.until
	}
	return now.Add(time.Second) // somebody else tries
}

// refuses tells why no call may be made; nil: one may.
func (u *unit) refuses(now time.Time) *Refusal {
	switch p := u.position(now); {
	case p == Closed, p == HalfOpen && (u.hold == nil || !u.hold.trying) && !u.busy():
		return nil
	default:
		return u.refusal(p, now)
	}
}

// busy: a half-open breaker has its one call already.
func (u *unit) busy() bool {
	c := u.cb.Counts()
	return u.cb.State() == gobreaker.StateHalfOpen && c.Requests > c.TotalExclusions
}

func (u *unit) refusal(p Position, now time.Time) *Refusal {
	return &Refusal{State: p, Backend: u.name.backend, Model: u.name.model, Class: u.class, Code: u.code, Next: u.next(now)}
}

// allow takes a permission from the library.
func (u *unit) allow(now time.Time) (func(error), *Refusal) {
	if r := u.refuses(now); r != nil {
		return nil, r
	}
	done, err := u.cb.Allow()
	if err != nil {
		return nil, u.refusal(u.position(now), now)
	}
	return done, nil
}

// meaning is what an outcome means to breakers.
type meaning int

const (
	meansNothing meaning = iota
	meansAnswer
	meansFailure
	meansNoAccess
	meansUsedUp
)

func meaningOf(f *ai.Fault) meaning {
	if f == nil {
		return meansAnswer
	}
	switch f.Class {
	case ai.ClassInvalid, ai.ClassRefused:
		return meansAnswer
	case ai.ClassTransient, ai.ClassOverloaded, ai.ClassInDoubt:
		if f.Code == "cancelled" { // by our own side
			return meansNothing
		}
		return meansFailure
	case ai.ClassAuth:
		return meansNoAccess
	case ai.ClassQuota:
		return meansUsedUp
	case ai.ClassRateLimited, ai.ClassDrained:
	}
	return meansNothing
}

// ofModel tells whether a refusal of access is about one model: providers grant access model by model.
func ofModel(code string) bool {
	return slices.Contains([]string{"403", "AccessDeniedException", "permission_error"}, code)
}

// note takes what a call's outcome means to this breaker, before the library counts it.
func (u *unit) note(model string, f *ai.Fault, m meaning, now time.Time) {
	whole := u.name.model == ""
	switch m {
	case meansAnswer:
		u.failing = nil
		return
	case meansFailure:
		if whole && len(u.failing) < maxModels && !slices.Contains(u.failing, model) {
			u.failing = append(u.failing, model)
		}
	case meansNoAccess:
		if whole == ofModel(f.Code) {
			return
		}
		u.hold = &hold{position: Unhealthy}
		if u.opts.AuthHold > 0 {
			u.hold.until = now.Add(u.opts.AuthHold)
		}
	case meansUsedUp:
		if !whole {
			return
		}
		u.hold = &hold{position: Held, until: now.Add(u.opts.QuotaHold)}
	case meansNothing:
		return
	}
	u.class, u.code = f.Class, f.Code
}

// change is what to tell, if something changed since it was told last.
func (u *unit) change(now time.Time) (Change, bool) {
	p := u.position(now)
	if p == u.told {
		return Change{}, false
	}
	c := Change{Backend: u.name.backend, Model: u.name.model, From: u.told, To: p, At: now}
	if p != Closed {
		c.Class, c.Code = u.class, u.code
		if p != HalfOpen {
			c.Next = u.next(now)
		}
	}
	u.told, u.since = p, now
	return c, true
}
