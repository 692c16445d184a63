package handlers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"flowgate/messages"
	"flowgate/pipelines"
	"flowgate/pipelines/ai"
	"flowgate/worker"
)

// attempts calls until an answer, a delay or an end.
func (a *AI) attempts(ctx context.Context, x *turn) worker.Verdict {
	for {
		if refused := a.cancelled(x.Task); refused != nil {
			return a.end(ctx, x.Task, refused)
		}
		if v, hit := a.elsewherePaid(ctx, x); hit {
			return v
		}
		x.plan.Call.Attempt = ai.NextAttempt(x.Envelope.History)
		attempt := messages.Attempt{
			K: x.plan.Call.Attempt, Layer: a.Name(), Backend: x.plan.Backend.Name, Model: x.plan.Call.Model,
			StartedAt: a.Now(), Billing: messages.BillingNone, BoundMicroUSD: x.plan.Bound(x.Envelope.Corporate),
			PriceVersion: x.plan.Row.Version, Worker: a.Worker,
		}
		answer, fault, v := a.try(ctx, x, &attempt)
		if v != nil {
			return *v
		}
		if fault == nil && x.plan.Backend.Name != attempt.Backend { // another is asked instead
			continue
		}
		if fault == nil {
			return a.answered(ctx, x, ai.Answered(attempt, answer, x.plan.Row, a.Now()), answer)
		}
		drained := ctx.Err() != nil && fault.Class != ai.ClassInDoubt || fault.Class == ai.ClassDrained
		if drained && !x.plan.Backend.Billable {
			return worker.Park(a.Now(), nil)
		}
		if drained && fault.Class != ai.ClassDrained { // announced, and not billed: it says so, and counts for nothing
			fault = &ai.Fault{Class: ai.ClassDrained, Detail: "cut off by a drain before anything was billed"}
		}
		attempt = ai.Failed(attempt, fault, a.Now())
		x.spent = append(x.spent, attempt)
		worker.TellAttempt(a.Observer, x.Task, attempt)
		e := x.Envelope
		e.History = ai.Append(e.History, attempt)
		x.Open = nil
		retry := x.policy.Retry.For(x.plan.Call.Model)
		if drained {
			return a.later(ctx, x, fault, retry)
		}
		step, refusal := ai.Next(e.History, fault, attempt.Tries, ai.QuickWindow, e.Corporate.BillableAttempts, retry)
		going := ctx.Err() == nil && pipelines.Expired(e, a.Now()) == nil
		if going && !x.policy.NoFailover && ai.Elsewhere(step, fault) {
			switch other, until := a.elsewhere(x); {
			case other:
				continue
			case step == ai.StepEnd && !until.IsZero():
				return a.again(ctx, x, until)
			}
		}
		switch {
		case step == ai.StepEnd:
			return a.unanswered(ctx, x, refusal)
		case step == ai.StepAgain && going:
			continue
		}
		return a.later(ctx, x, fault, retry)
	}
}

// try makes the planned call, in its turn. A verdict ends the turn without it; where another backend is asked instead, the plan is that
// one's, and there is neither answer nor fault.
func (a *AI) try(ctx context.Context, x *turn, attempt *messages.Attempt) (answer ai.Answer, fault *ai.Fault, v *worker.Verdict) {
	if fault = a.backend(attempt.Backend).Check(&x.plan.Call); fault != nil {
		return answer, fault, nil
	}
	p, until := a.enter(ctx, x, turnPatience)
	if p == nil {
		if !x.policy.NoFailover && (until.Sub(a.Now()) > routeOn || a.crowded(x)) {
			if other, _ := a.elsewhere(x); other {
				return answer, nil, nil
			}
		}
		waits := a.wait(ctx, x, until)
		waits.Spent = x.spent
		return answer, nil, &waits
	}
	defer p.left() // where nothing came of it, also by a panic
	attempt.StartedAt = a.Now()
	if x.plan.Backend.Billable {
		if lost, is := a.announce(ctx, x, *attempt); is {
			return answer, nil, &lost
		}
	}
	answer, fault = a.call(ctx, x, attempt, p)
	a.Probe.At(worker.StepCalled, "ai", x.Key)
	return answer, fault, nil
}

// announce publishes the state calling: to call is to win the comparison.
func (a *AI) announce(ctx context.Context, x *turn, attempt messages.Attempt) (worker.Verdict, bool) {
	data, err := messages.EncodeCalling(&messages.Calling{
		V: messages.Version, Epoch: x.Envelope.Epoch, InputSeq: x.Seq, Worker: a.Worker, Attempt: attempt,
		History: x.Envelope.History,
	})
	if err != nil {
		return worker.Park(a.Now().Add(time.Second), err), true
	}
	receipt := a.Hop.Publish(ctx, []*worker.Publication{x.Publication(messages.StateCalling, x.Envelope, data)})[0]
	a.Probe.At(worker.StepAnnounced, "ai", x.Key)
	switch receipt.Fate {
	case worker.FateStored:
		x.Expect, x.Open = receipt.Seq, &attempt
		return worker.Verdict{}, false
	case worker.FateMoved:
		if n := receipt.Newest; n == nil || n.State == messages.StateCalling { // who calls may die; what is gone may come back
			return worker.Verdict{Action: worker.ActionLeave, Spent: x.spent}, true
		}
		return worker.Verdict{Action: worker.ActionAck, Spent: x.spent}, true
	case worker.FateUnknown:
		if worker.TooLarge(receipt.Err) {
			return a.end(ctx, x.Task, pipelines.Fail(messages.ReasonTooLarge, "the state calling is larger than a message may be")), true
		}
	}
	return worker.Park(a.Now().Add(time.Second), fmt.Errorf("announcing a call: %w", receipt.Err)), true
}

// call asks the backend, with quick retries where nothing was billed, and notes in the attempt what it took.
func (a *AI) call(ctx context.Context, x *turn, attempt *messages.Attempt, p *pass) (ai.Answer, *ai.Fault) {
	since := attempt.StartedAt
	if x.Open != nil && a.Now().Sub(since) > announcedFor && !a.mine(ctx, x) {
		return ai.Answer{}, &ai.Fault{Class: ai.ClassDrained, Code: "overtaken", Detail: "too long after it was announced, so that another may have taken over; nothing was sent"}
	}
	if !x.Envelope.NotAfter.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, x.Envelope.NotAfter)
		defer cancel()
	}
	defer func() { p.left() }() // that of a quick retry
	for tries := 1; ; tries++ {
		p.sent = a.Now()
		answer, err := a.backend(x.plan.Backend.Name).Call(ctx, x.plan.Call)
		attempt.Tries, attempt.CallMS = tries, a.Now().Sub(p.sent).Milliseconds()
		if err == nil {
			p.came(nil, answer.Quota)
			return answer, nil
		}
		var fault *ai.Fault
		if !errors.As(err, &fault) {
			fault = &ai.Fault{Class: ai.ClassInDoubt, Detail: "the backend broke its contract", Err: err}
		}
		p.came(a.blamed(x, fault), fault.Quota)
		step, _ := ai.Next(nil, fault, tries, a.Now().Sub(since), 1, ai.Retry{Attempts: 1})
		if step != ai.StepQuick || !quick().Pause(ctx, tries) || a.cancelled(x.Task) != nil || x.Open != nil && !a.mine(ctx, x) {
			return ai.Answer{}, fault
		}
		next, _ := a.enter(ctx, x, quickPatience)
		if next == nil {
			return ai.Answer{}, fault
		}
		p = next
		if attempt.Retried == nil {
			attempt.Retried = make(map[string]int)
		}
		attempt.Retried[string(fault.Class)]++
	}
}

// blamed is what a fault says of the backend: nothing where the request's own deadline cut the call off.
func (a *AI) blamed(x *turn, fault *ai.Fault) *ai.Fault {
	if end := x.Envelope.NotAfter; !end.IsZero() && !a.Now().Before(end) {
		return &ai.Fault{Class: ai.ClassDrained, Code: fault.Code}
	}
	return fault
}

// announcedFor is for how long after it was announced a call is surely this worker's: nobody takes over earlier than half of the
// least AckWait, one second.
const announcedFor = 500 * time.Millisecond

// mine tells whether the state calling that this worker published is still the newest: a worker that was stopped for a while
// may have been taken for dead, and a call more would be paid for nothing. Who cannot know does not call.
func (a *AI) mine(ctx context.Context, x *turn) bool {
	newest, found, err := a.Hop.Newest(ctx, x.P, x.Key)
	return err == nil && found && newest.Seq == x.Expect
}

// quick are the pauses between quick retries: full jitter.
func quick() worker.Delays {
	return worker.Delays{Base: 100 * time.Millisecond, Max: 2 * time.Second, Factor: 2, Jitter: 1}
}

func (a *AI) backend(name string) worker.Backend {
	for _, b := range a.Backends {
		if b.Name() == name {
			return b
		}
	}
	return nil
}

// longestNak is how long a request is handed back to wait; for longer it is published again, so that the floor moves.
const longestNak = 30 * time.Second

// longestPark is how long a request is handed back all in all before it is published again.
func (a *AI) longestPark() time.Duration { return cmp.Or(a.LongestPark, worker.LongestPark) }

// wait lets a request wait for a backend until a moment. It holds no slot meanwhile.
func (a *AI) wait(ctx context.Context, x *turn, until time.Time) worker.Verdict {
	e := x.Envelope
	if end := e.NotAfter.Add(time.Millisecond); !e.NotAfter.IsZero() && until.After(end) {
		until = end // it ends then, as timeout
	}
	young := x.Started.Sub(x.Stored) < a.longestPark()
	if young && x.Open == nil && x.Doubt == nil && len(x.spent) == 0 && until.Sub(a.Now()) <= longestNak {
		return worker.Park(until, nil)
	}
	return a.again(ctx, x, until)
}

// again publishes the request once more, to be taken up at a moment.
func (a *AI) again(ctx context.Context, x *turn, at time.Time) worker.Verdict {
	e := x.Envelope
	e.N++
	e.NotBefore, e.Base = at, 0
	return a.next(ctx, x.Task, messages.StateAI)
}

// later publishes the request again with a delay: a nak would bring back the old bytes.
func (a *AI) later(ctx context.Context, x *turn, fault *ai.Fault, retry ai.Retry) worker.Verdict {
	e := x.Envelope
	delay := fault.RetryAfter
	if delay <= 0 {
		n := max(ai.CountClass(e.History, fault.Class), 1)
		delay = worker.Delays{Base: retry.BaseDelay, Max: retry.MaxDelay, Factor: retry.Factor, Jitter: 0.5}.After(n)
	} else {
		delay += rand.N(delay/10 + time.Millisecond) //nolint:gosec // jitter is no secret
	}
	e.N++
	e.NotBefore = a.Now().Add(delay)
	if end := e.NotAfter.Add(time.Millisecond); !e.NotAfter.IsZero() && e.NotBefore.After(end) {
		e.NotBefore = end // it ends then, as timeout
	}
	e.Base = 0
	return a.next(ctx, x.Task, messages.StateAI)
}
