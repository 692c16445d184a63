package handlers

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"

	"flowgate/messages"
	"flowgate/pipelines/corporate"
	"flowgate/worker"
)

// storedDecision is a decision as the ledger keeps it: who decided it tells in which version, so that nobody concludes what
// it cannot read.
type storedDecision struct {
	V int `json:"v"`
	corporate.Decision
}

// admit asks the ledger about every candidate at once and writes the verdicts.
func (c *Corporate) admit(ctx context.Context, candidates []*candidate, verdicts []worker.Verdict) {
	if len(candidates) == 0 {
		return
	}
	members := make([]worker.Member, len(candidates))
	bases, err := c.bases(ctx, candidates)
	for i, x := range candidates {
		if err == nil {
			x.member.Decision, err = json.Marshal(storedDecision{messages.Version, x.decision})
		}
		members[i] = x.member
	}
	var grants []worker.Grant
	if err == nil {
		grants, err = c.Ledger.Admit(ctx, members)
	}
	for i, x := range candidates {
		if err != nil {
			verdicts[x.index] = worker.Park(x.task.Started.Add(time.Second), fmt.Errorf("admitting: %w", err))
			continue
		}
		c.Probe.At(worker.StepAdmitted, "corporate", x.task.Key)
		verdicts[x.index] = c.act(ctx, x, grants[i], bases[x.envelope.P])
	}
}

// bases reads the last sequence of each WORK stream before the admission rows are read.
func (c *Corporate) bases(ctx context.Context, candidates []*candidate) (map[int]uint64, error) {
	bases := make(map[int]uint64, 1)
	for _, x := range candidates {
		p := x.envelope.P
		if _, known := bases[p]; known {
			continue
		}
		b, err := c.Leader.Bounds(ctx, worker.WorkStream(p))
		if err != nil {
			return nil, err
		}
		bases[p] = b.Last
	}
	return bases, nil
}

// waitAgain is when a request that waits for money is looked at again although nobody told that money is free.
const waitAgain = 30 * time.Second

// act concludes what the ledger granted.
func (c *Corporate) act(ctx context.Context, x *candidate, g worker.Grant, base uint64) worker.Verdict {
	t, e := x.task, x.envelope
	event := func(kind messages.EventKind) worker.Verdict {
		return worker.Verdict{Action: worker.ActionAck, Events: []messages.Event{
			{Kind: kind, Key: t.Key, Epoch: e.Epoch, IngressSeq: e.IngressSeq},
		}}
	}
	switch g.Outcome {
	case worker.GrantPassed, worker.GrantGone:
		return worker.Verdict{Action: worker.ActionAck}
	case worker.GrantDuplicate:
		return event(messages.EventDuplicateID)
	case worker.GrantReplayRefused:
		return c.refuseReplay(ctx, t, "it does not follow the newest failure")
	case worker.GrantAgain:
		if messages.Newer(g.Decision) {
			return worker.ParkForNewer(t)
		}
		var stored corporate.Decision // nothing of the one made now: what a decision leaves out is a part of it
		if err := json.Unmarshal(g.Decision, &stored); err != nil {
			return c.handBack(fmt.Errorf("decoding a stored decision: %w", err))
		}
		if x.ends {
			stored.EndedBy(x.decision.Refusal)
		}
		x.decision = stored
	case worker.GrantNew:
	}
	if g.Err != nil {
		return c.handBack(g.Err)
	}
	d := x.decision
	e.P = g.P
	if t.Envelope == nil { // from the ingress stream: find what to expect
		expect, v, judged := c.expect(ctx, t, e)
		if judged {
			return v
		}
		t.Expect = expect
		t.P = e.P
		if expect == 0 {
			e.Base = base
		}
	}
	again := c.lookAgain(g)
	if c.waitsOn(t, e, g) {
		if end := e.NotAfter.Add(time.Millisecond); !e.NotAfter.IsZero() && again.After(end) {
			again = end // it ends then, as timeout
		}
		return worker.Park(again, nil)
	}
	if o := e.Replay; o != nil {
		o.ResumeAt = d.ResumeAt
		if d.ResumeAt != messages.StateOptimizer {
			e.AI = nil
		}
	}
	state := corporate.Conclude(e, d, corporate.Grant{
		Approved: g.State == worker.AdmissionApproved, Waiting: g.State == worker.AdmissionWaiting, Reason: g.Reason,
		Blocked: g.Blocked, RetryAt: g.RetryAt, Now: c.Now(), Least: g.Reason == worker.GrantedLeast,
	})
	if state == messages.StateHold && e.NotBefore.IsZero() {
		e.NotBefore = again
	}
	return c.advance(ctx, t, e, state)
}

// lookAgain is when a request that waits is looked at again although nobody woke it: where it waits for a limit, when that has room,
// a little later by chance so that not all come at once.
func (c *Corporate) lookAgain(g worker.Grant) time.Time {
	now := c.Now()
	if g.Reason != messages.ReasonWaitingRate {
		return now.Add(jittered(waitAgain))
	}
	wait := max(g.RetryAt.Sub(now), 0)
	return now.Add(wait + rand.N(min(wait/20, 5*time.Second)+10*time.Millisecond)) //nolint:gosec // jitter is no secret
}

// handBack parks a task for a moment, for trouble of our own infrastructure.
func (c *Corporate) handBack(err error) worker.Verdict {
	return worker.Park(c.Now().Add(time.Second), err)
}

// jittered is half to one and a half of d.
func jittered(d time.Duration) time.Duration {
	return d/2 + rand.N(d) //nolint:gosec // jitter is no secret
}

// expect finds S for a message of the ingress stream. A request expects an empty family; a replay the end of a lower epoch.
func (c *Corporate) expect(ctx context.Context, t *worker.Task, e *messages.Envelope) (seq uint64, v worker.Verdict, judged bool) {
	if !t.Replay {
		return 0, v, false
	}
	newest, found, err := c.Leader.Newest(ctx, e.P, t.Key)
	if err != nil {
		return 0, c.handBack(err), true
	}
	if !found {
		return 0, v, false
	}
	epoch, err := messages.EpochOf(newest.Data)
	switch {
	case err != nil:
		return 0, c.handBack(err), true
	case epoch >= e.Epoch:
		return 0, worker.Verdict{Action: worker.ActionAck}, true
	case newest.State != messages.StateDone:
		return 0, c.handBack(nil), true
	}
	return newest.Seq, v, false
}

func (c *Corporate) advance(ctx context.Context, t *worker.Task, e *messages.Envelope, state messages.State) worker.Verdict {
	return advance(ctx, c.Bodies, t, e, state)
}
