package handlers

import (
	"context"
	"time"

	"flowgate/messages"
	"flowgate/pipelines/ai"
	"flowgate/worker/breaker"
	"flowgate/worker/pace"
)

const (
	// turnPatience is how long a call waits for its turn in its slot; for longer it is handed back.
	turnPatience = time.Second
	// quickPatience is that of a quick retry.
	quickPatience = 2 * time.Second
	// mostAway is how many calls may wait for one backend and model before others go on to the next backend.
	mostAway = 1000
	// routeOn is how long a wait may be before another backend is asked instead.
	routeOn = 10 * time.Second
)

// pass lets one call go. One of its methods left and came MUST be called; the first one counts.
type pass struct {
	used   bool
	pace   *pace.Pace
	permit *breaker.Permit
	key    pace.Key
	tokens int64
	sent   time.Time
}

// left says that nothing was sent.
func (p *pass) left() {
	if p.used {
		return
	}
	p.used = true
	if p.pace != nil {
		p.pace.Leave(p.key, p.tokens)
	}
	if p.permit != nil {
		p.permit.Done(&ai.Fault{Class: ai.ClassDrained})
	}
}

// came says what came of the call; nil: an answer.
func (p *pass) came(fault *ai.Fault, quota ai.Quota) {
	if p.used {
		return
	}
	p.used = true
	if p.pace != nil {
		sign := pace.Sign{Quota: quota, Sent: p.sent}
		if fault != nil {
			sign.Class, sign.RetryAfter = fault.Class, fault.RetryAfter
		}
		p.pace.Heard(p.key, sign)
	}
	if p.permit != nil {
		p.permit.Done(fault)
	}
}

// enter asks for the turn of the planned call, and for the word of its backend's breaker. Without a pass it tells when to come back.
func (a *AI) enter(ctx context.Context, x *turn, patience time.Duration) (*pass, time.Time) {
	p := &pass{key: pace.Key{Backend: x.plan.Backend.Name, Model: x.plan.Call.Model}, sent: a.Now()}
	if x.promised != p.key {
		a.forgo(x)
	}
	if !x.plan.Backend.Billable {
		return p, time.Time{}
	}
	if a.Pace != nil {
		p.tokens = x.plan.Call.InputBound/bytesPerToken + int64(x.plan.Call.MaxTokens)
		at, ok := a.Pace.Enter(ctx, p.key, pace.Ask{Tokens: p.tokens, Since: x.since(), Patience: patience})
		if !ok {
			x.promised = p.key
			return nil, at
		}
		x.promised, p.pace = pace.Key{}, a.Pace
	}
	if a.Breakers != nil {
		permit, refusal := a.Breakers.Allow(p.key.Backend, p.key.Model)
		if refusal != nil {
			p.left()
			return nil, again(refusal, a.Now())
		}
		p.permit = permit
	}
	return p, time.Time{}
}

// forgo gives back the turn that was promised to a request which goes elsewhere, or needs none any more.
func (a *AI) forgo(x *turn) {
	if a.Pace != nil && x.promised != (pace.Key{}) {
		a.Pace.Forgo(x.promised, x.since())
	}
	x.promised = pace.Key{}
}

// since orders the calls of a backend: older requests go first.
func (x *turn) since() time.Time { return x.Envelope.SubmittedAt.Add(-lead(x.Class)) }

// crowded tells whether too many wait for the planned backend already.
func (a *AI) crowded(x *turn) bool {
	return a.Pace != nil && a.Pace.Away(pace.Key{Backend: x.plan.Backend.Name, Model: x.plan.Call.Model}) > mostAway
}

// lead is by how much a request counts as older than it is: a batch never keeps people waiting, and is not left behind for ever.
func lead(class messages.Class) time.Duration {
	switch class {
	case messages.ClassRT:
		return time.Hour
	case messages.ClassStd:
		return 10 * time.Minute
	case messages.ClassBatch:
	}
	return 0
}

// bytesPerToken is how many bytes of a prompt are a token, about: providers count their limits in tokens as they are.
const bytesPerToken = 4

// again is when a call may be tried that a breaker refused.
func again(r *breaker.Refusal, now time.Time) time.Time {
	if r.Next.After(now) {
		return r.Next
	}
	return now.Add(time.Second)
}

// standing completes what is known of a backend by its breakers.
func (a *AI) standing(b *ai.BackendFact, model string) {
	if a.Breakers == nil || !b.Billable {
		return
	}
	id, serves := b.Menu.Find(model)
	if !serves {
		return
	}
	r := a.Breakers.Check(b.Name, id)
	switch {
	case r == nil:
	case r.State == breaker.HalfOpen: // one call tries, and may be answered
		b.Held, b.HeldBy = again(r, a.Now()), r.Error()
	case r.Class == ai.ClassAuth:
		b.Down, b.DownBy, b.DownUntil = messages.ReasonBackendAuth, r.Error(), r.Next
	case r.Class == ai.ClassQuota:
		b.Down, b.DownBy, b.DownUntil = messages.ReasonBackendQuota, r.Error(), r.Next
	default:
		b.Held, b.HeldBy = again(r, a.Now()), r.Error()
	}
}
