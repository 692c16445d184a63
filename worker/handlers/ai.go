package handlers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
	"unicode/utf8"

	"flowgate/messages"
	"flowgate/pipelines"
	"flowgate/pipelines/ai"
	"flowgate/pipelines/pricing"
	"flowgate/pipelines/privacy"
	"flowgate/worker"
)

// Serving is a backend and the exact models that it serves (all, where none is named).
type Serving struct {
	worker.Backend

	Models map[string]bool
	// Region is where it processes what it is asked; empty: nobody said.
	Region string
}

// AI is layer 2.
type AI struct {
	Backends []Serving // in the order in which they are tried
	Bodies   Bodies
	Hop      *worker.Hop
	Policy   func() ai.Policy
	Worker   string
	Now      func() time.Time
	Probe    worker.Probe
	// Observer is told each attempt; may be nil.
	Observer worker.Observer
	// Control tells what is paused; may be nil.
	Control worker.Control
}

var _ worker.Layer = (*AI)(nil)

// Name is the layer's name.
func (a *AI) Name() messages.LayerName { return messages.LayerAI }

// Handle processes tasks one after the other; the runtime gives each a goroutine of its own.
func (a *AI) Handle(ctx context.Context, tasks []*worker.Task) []worker.Verdict {
	verdicts := make([]worker.Verdict, len(tasks))
	for i, t := range tasks {
		verdicts[i] = a.one(ctx, t)
	}
	return verdicts
}

// End ends a task that the runtime cannot let go on.
func (a *AI) End(ctx context.Context, t *worker.Task, r *pipelines.Refusal) worker.Verdict {
	return a.end(ctx, t, r)
}

// turn is one task in layer 2's hands.
type turn struct {
	*worker.Task

	policy ai.Policy
	plan   ai.Plan
	row    pricing.Row
	// spent are the attempts made in this turn.
	spent []messages.Attempt
}

func (a *AI) one(ctx context.Context, t *worker.Task) worker.Verdict {
	p := a.Policy()
	if v, judged := a.doubt(ctx, t); judged {
		return v
	}
	r, err := a.Bodies.request(ctx, t.Envelope)
	var field *messages.FieldError
	switch {
	case err == nil:
	case errors.As(err, &field):
		return a.end(ctx, t, pipelines.Invalid(err))
	case gone(err, t):
		return a.end(ctx, t, pipelines.Fail(messages.ReasonClaimMissing, ""))
	default:
		return worker.Park(a.Now().Add(time.Second), err)
	}
	x := &turn{Task: t, policy: p}
	x.plan = ai.Decide(t.Envelope, r, ai.Facts{Address: t.Address, Now: t.Started, Backends: a.facts()}, p)
	switch {
	case x.plan.Paused:
		return worker.Verdict{Action: worker.ActionWait}
	case x.plan.Refusal != nil:
		t.Envelope.AI = a.refusing(t, x.plan.Refusal)
		t.Envelope.AI.Findings = x.plan.Screened.Findings
		t.Envelope.AI.Controls, t.Envelope.AI.ControlsVersion = x.plan.Controls, p.Controls.Version()
		return a.end(ctx, t, x.plan.Refusal)
	case x.plan.Pass:
		t.Envelope.AI = a.section(t, messages.VerdictNotApplicable, messages.ReasonOK)
		return a.next(ctx, t, messages.StateOptimizer)
	}
	var found bool
	if x.row, found = p.Prices.ByVersion(x.plan.Call.Model, t.Envelope.Corporate.PriceVersion); !found {
		if x.row, found = p.Prices.Row(x.plan.Call.Model, t.Started); !found {
			return a.end(ctx, t, pipelines.Deny(messages.ReasonModelUnknown, "model", ""))
		}
	}
	v := a.attempts(ctx, x)
	v.Spent = x.spent
	for i := range x.spent {
		if x.spent[i].OverBound() {
			v.Events = append(v.Events, messages.Event{Kind: messages.EventOverBound, Key: t.Key, Epoch: t.Envelope.Epoch, Attempt: &x.spent[i]})
		}
	}
	return v
}

func (a *AI) facts() []ai.BackendFact {
	facts := make([]ai.BackendFact, len(a.Backends))
	for i, b := range a.Backends {
		facts[i] = ai.BackendFact{Name: b.Name(), Billable: b.Billable(), Models: b.Models, Paused: a.backendPaused(b.Name()), Region: b.Region}
	}
	return facts
}

// doubt ends a request whose calls were cut off as often as may be paid for. The runtime has put the call that it took over
// into the history.
func (a *AI) doubt(ctx context.Context, t *worker.Task) (worker.Verdict, bool) {
	e := t.Envelope
	if e.Corporate == nil || e.Kind != messages.KindPrompt || ai.InDoubt(e.History) < max(e.Corporate.BillableAttempts, 1) {
		return worker.Verdict{}, false
	}
	return a.unanswered(ctx, &turn{Task: t, policy: a.Policy()}, ai.DoubtRefusal(e.History)), true
}

// attempts calls until an answer, a delay or an end.
func (a *AI) attempts(ctx context.Context, x *turn) worker.Verdict {
	for {
		if refused := a.cancelled(x.Task); refused != nil {
			return a.end(ctx, x.Task, refused)
		}
		x.plan.Call.Attempt = ai.NextAttempt(x.Envelope.History)
		attempt := messages.Attempt{
			K: x.plan.Call.Attempt, Layer: a.Name(), Backend: x.plan.Backend.Name, Model: x.plan.Call.Model,
			StartedAt: a.Now(), Billing: messages.BillingNone, BoundMicroUSD: x.Envelope.Corporate.BoundMicroUSD, Worker: a.Worker,
		}
		if x.plan.Backend.Billable {
			if v, lost := a.announce(ctx, x, attempt); lost {
				return v
			}
		}
		answer, fault, tries := a.call(ctx, x, attempt.StartedAt)
		attempt.Tries = tries
		a.Probe.At(worker.StepCalled, "ai", x.Key)
		if fault == nil {
			return a.answered(ctx, x, ai.Answered(attempt, answer, x.row, a.Now()), answer)
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
		step, refusal := ai.Next(e.History, fault, tries, ai.QuickWindow, e.Corporate.BillableAttempts, retry)
		switch {
		case step == ai.StepEnd:
			return a.unanswered(ctx, x, refusal)
		case step == ai.StepAgain && ctx.Err() == nil && pipelines.Expired(e, a.Now()) == nil:
			continue
		}
		return a.later(ctx, x, fault, retry)
	}
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

// call asks the backend, with quick retries where nothing was billed.
func (a *AI) call(ctx context.Context, x *turn, since time.Time) (ai.Answer, *ai.Fault, int) {
	if x.Open != nil && a.Now().Sub(since) > announcedFor && !a.mine(ctx, x) {
		return ai.Answer{}, &ai.Fault{Class: ai.ClassDrained, Code: "overtaken", Detail: "too long after it was announced, so that another may have taken over; nothing was sent"}, 0
	}
	if !x.Envelope.NotAfter.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, x.Envelope.NotAfter)
		defer cancel()
	}
	for tries := 1; ; tries++ {
		answer, err := a.backend(x.plan.Backend.Name).Call(ctx, x.plan.Call)
		if err == nil {
			return answer, nil, tries
		}
		var fault *ai.Fault
		if !errors.As(err, &fault) {
			fault = &ai.Fault{Class: ai.ClassInDoubt, Detail: "the backend broke its contract", Err: err}
		}
		step, _ := ai.Next(nil, fault, tries, a.Now().Sub(since), 1, ai.Retry{Attempts: 1})
		if step != ai.StepQuick || !quick().Pause(ctx, tries) || a.cancelled(x.Task) != nil || x.Open != nil && !a.mine(ctx, x) {
			return ai.Answer{}, fault, tries
		}
	}
}

// announcedFor is for how long after it was announced a call is surely this worker's: nobody takes over earlier than half of the
// least AckWait, one second.
const announcedFor = 500 * time.Millisecond

// mine tells whether the state calling that this worker published is still the newest: a worker that was stopped for a while
// may have been taken for dead, and a call more would be paid for nothing. Who cannot know does not call.
func (a *AI) mine(ctx context.Context, x *turn) bool {
	newest, found, err := a.Hop.Leader.Newest(ctx, x.P, x.Key)
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

// answered closes the layer's section.
func (a *AI) answered(ctx context.Context, x *turn, attempt messages.Attempt, answer ai.Answer) worker.Verdict {
	x.spent = append(x.spent, attempt)
	worker.TellAttempt(a.Observer, x.Task, attempt)
	e := x.Envelope
	e.History = ai.Append(e.History, attempt)
	x.Open = nil
	s := a.section(x.Task, messages.VerdictProcessed, messages.ReasonOK)
	s.Backend, s.Model, s.FinishReason, s.ProviderRequestID = x.plan.Backend.Name, x.plan.Call.Model, answer.FinishReason, answer.ProviderRequestID
	s.Region = x.plan.Backend.Region
	out := x.policy.Privacy.Answer(x.plan.Screened, answer.Text, e.Corporate.Purpose)
	s.Answer, s.AnswerLength, s.Usage = out.Text, utf8.RuneCountInString(out.Text), answer.Usage
	s.Findings, s.AnswerFindings, s.PrivacyVersion = x.plan.Screened.Findings, out.Findings, x.policy.Privacy.Version()
	sum := sha256.Sum256([]byte(out.Text))
	s.AnswerSHA256 = hex.EncodeToString(sum[:])
	s.CostMicroUSD, s.PriceVersion = attempt.CostMicroUSD, x.row.Version
	s.ProcessingSeconds = float64(attempt.DurationMS) / 1000
	s.Attempts = attempts(e.History)
	e.AI = s
	judged := ai.AfterAnswer(e, s, ai.Facts{Address: x.Address, Now: a.Now()}, x.policy)
	s.Controls, s.ControlsVersion = slices.Concat(x.plan.Controls, judged.Results), x.policy.Controls.Version()
	if len(out.Denied) > 0 {
		ai.Withhold(s)
		s.Verdict, s.Reason = messages.VerdictDenied, messages.ReasonPersonalDataAnswer
		return a.end(ctx, x.Task, pipelines.Deny(messages.ReasonPersonalDataAnswer, "", privacy.Describe(out.Findings, out.Denied)))
	}
	if refused := pipelines.Gate(judged); refused != nil {
		ai.Withhold(s)
		s.Verdict, s.Reason = messages.VerdictDenied, refused.Reason
		return a.end(ctx, x.Task, refused)
	}
	if answer.Refused {
		s.Verdict, s.Reason = messages.VerdictDenied, messages.ReasonBackendRefused
		return a.end(ctx, x.Task, pipelines.Deny(messages.ReasonBackendRefused, "", ""))
	}
	return a.next(ctx, x.Task, messages.StateOptimizer)
}

func attempts(history []messages.Attempt) int {
	n := 0
	for i := range history {
		n += 1 + history[i].Repeats
	}
	return n
}

func (a *AI) section(t *worker.Task, v messages.Verdict, reason messages.Reason) *messages.AISection {
	s := &messages.AISection{Stay: messages.Stay{Verdict: v, Reason: reason, StartedAt: t.Started, FinishedAt: a.Now()}}
	if t.Envelope.Corporate != nil {
		s.Agreement = t.Envelope.Corporate.Agreement
	}
	return s
}

// next hands the request on; it counts and waits anew there.
func (a *AI) next(ctx context.Context, t *worker.Task, state messages.State) worker.Verdict {
	if state != messages.StateAI {
		t.Envelope.N, t.Envelope.NotBefore, t.Envelope.Base = 0, time.Time{}, 0
	}
	return advance(ctx, a.Bodies, t, t.Envelope, state)
}

// end closes the request here.
func (a *AI) end(ctx context.Context, t *worker.Task, r *pipelines.Refusal) worker.Verdict {
	if t.Envelope.AI == nil {
		t.Envelope.AI = a.refusing(t, r)
	}
	return refused(ctx, a.Bodies, t, a.Name(), r, a.Now())
}

// unanswered closes a request whose calls brought no answer.
func (a *AI) unanswered(ctx context.Context, x *turn, r *pipelines.Refusal) worker.Verdict {
	s := a.refusing(x.Task, r)
	ai.Unanswered(x.Envelope, s, x.plan, ai.Facts{Address: x.Address, Now: a.Now()}, x.policy)
	x.Envelope.AI = s
	return a.end(ctx, x.Task, r)
}

// refusing is the section of a request that gets no answer.
func (a *AI) refusing(t *worker.Task, r *pipelines.Refusal) *messages.AISection {
	v := messages.VerdictFailed
	if r.Status == messages.StatusDenied {
		v = messages.VerdictDenied
	}
	s := a.section(t, v, r.Reason)
	s.Attempts = attempts(t.Envelope.History)
	return s
}
