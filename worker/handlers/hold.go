package handlers

import (
	"cmp"
	"context"
	"errors"

	"flowgate/messages"
	"flowgate/pipelines/corporate"
	"flowgate/worker"
)

// gatherHold decides a waiting request anew.
func (c *Corporate) gatherHold(ctx context.Context, t *worker.Task, p corporate.Policy) (*candidate, worker.Verdict) {
	r, err := c.Bodies.request(ctx, t.Envelope)
	var field *messages.FieldError
	f := c.facts(t)
	var d corporate.Decision
	switch {
	case err == nil:
		if d, err = c.judge(ctx, t, t.Envelope, r, f, p); err != nil {
			return nil, c.undecided(ctx, t, err)
		}
	case errors.As(err, &field):
		d = corporate.Unreadable(err, f, p)
	case gone(err, t):
		d = corporate.Unreadable(&messages.FieldError{Field: "(body)", Rule: "is missing in the claim store", Reason: messages.ReasonClaimMissing}, f, p)
	default:
		return nil, c.handBack(err)
	}
	if t.Envelope.Corporate != nil {
		d.Since(t.Envelope.Corporate.StartedAt)
	}
	if d.Refusal == nil {
		corporate.ResumeHeld(&d, t.Envelope)
	}
	entrant := c.candidate(t, t.Envelope, d)
	entrant.member.Hold = true
	return entrant, worker.Verdict{}
}

// slept judges a hold whose writer slept through a purge, or may have: it goes on only where the record knows no end, and no
// other intent.
func (c *Corporate) slept(ctx context.Context, t *worker.Task) worker.Verdict {
	e := t.Envelope
	intent, ended, err := c.Admissions.Standing(ctx, t.Key, e.Epoch)
	switch {
	case err != nil && !errors.Is(err, worker.ErrNotFound):
		return c.handBack(err)
	case ended, intent != 0 && intent != e.Slept.Seq:
		return worker.Verdict{Action: worker.ActionAck}
	}
	state := e.Slept.State
	e.Slept, e.Wait, e.Base = nil, "", 0
	return c.advance(ctx, t, e, state)
}

// waitsOn tells whether a request that waits for money, or for a limit, got no room this time either: the state that says so stands
// already, and a new one for each of many waiters whenever a little is freed would flood the stream.
func (c *Corporate) waitsOn(t *worker.Task, e *messages.Envelope, g worker.Grant) bool {
	waits := g.Reason == messages.ReasonWaitingMoney || g.Reason == messages.ReasonWaitingRate
	return t.State == messages.StateHold && g.State == worker.AdmissionWaiting && waits && e.Wait == g.Reason &&
		t.Started.Sub(t.Stored) < cmp.Or(c.LongestPark, worker.LongestPark)
}
