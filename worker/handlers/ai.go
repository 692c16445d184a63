package handlers

import (
	"context"
	"errors"
	"time"

	"flowgate/messages"
	"flowgate/pipelines"
	"flowgate/pipelines/ai"
	"flowgate/worker"
	"flowgate/worker/breaker"
	"flowgate/worker/cache"
	"flowgate/worker/flights"
	"flowgate/worker/pace"
)

// Serving is a backend and the models that it serves.
type Serving struct {
	worker.Backend

	Menu ai.Menu
	// Region is where it processes what it is asked; empty: nobody said.
	Region string
	// Means is what of its settings changes answers, as a short digest; empty: nothing.
	Means string
}

// Hop announces calls under the law.
type Hop interface {
	Publish(ctx context.Context, pubs []*worker.Publication) []worker.Receipt
	// Newest reads the newest state of a request from the leader.
	Newest(ctx context.Context, p int, key messages.Key) (*worker.Newest, bool, error)
}

// AI is layer 2.
type AI struct {
	Backends []Serving // in the order in which they are tried
	Bodies   Bodies
	Hop      Hop
	Policy   func() ai.Policy
	Worker   string
	Now      func() time.Time
	Probe    worker.Probe
	// Observer is told each attempt; may be nil.
	Observer worker.Observer
	// Control tells what is paused; may be nil.
	Control worker.Control
	// Cache has answers that were paid for, Flights the questions on their way; without them every request calls.
	Cache   *cache.Cache
	Flights *flights.Flights
	// LongestPark is how long a request is handed back before it is published again; 0: worker.LongestPark.
	LongestPark time.Duration
	// Pace lets calls wait their turn, Breakers leave alone what fails; without them every call goes.
	Pace     *pace.Pace
	Breakers *breaker.Breakers
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

	policy  ai.Policy
	request *messages.Request
	plan    ai.Plan
	// use is what the request may do with the cache, leads tells that identical ones follow it.
	use   ai.CacheUse
	leads bool
	// moved tells that another backend is asked than the one that the cache was asked for, other that use is not of the call.
	moved, other bool
	// promised is whose turn the request was told to come back for; zero: nobody's.
	promised pace.Key
	// kept tells that the answer is in the cache, over that the layer is through with the request.
	kept, over bool
	// avoid has the backends that failed in this turn.
	avoid map[string]bool
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
	x := &turn{Task: t, policy: p, request: r, avoid: make(map[string]bool)}
	x.plan = a.decide(x, t.Started)
	if v, hit := a.unasked(ctx, x); hit {
		return v
	}
	switch {
	case x.plan.Paused:
		return worker.Verdict{Action: worker.ActionWait}
	case !x.plan.Until.IsZero():
		return a.wait(ctx, x, x.plan.Until)
	case x.plan.Refusal != nil:
		t.Envelope.AI = a.refusing(t, x.plan.Refusal)
		t.Envelope.AI.Findings = x.plan.Screened.Findings
		t.Envelope.AI.Controls, t.Envelope.AI.ControlsVersion = x.plan.Controls, p.Controls.Version()
		return a.end(ctx, t, x.plan.Refusal)
	case x.plan.Pass:
		t.Envelope.AI = a.section(t, messages.VerdictNotApplicable, messages.ReasonOK)
		return a.next(ctx, t, messages.StateOptimizer)
	}
	defer a.land(ctx, x)
	v, reused := a.reuse(ctx, x)
	if reused {
		return v
	}
	v = a.attempts(ctx, x)
	v.Spent = x.spent
	x.over = v.Action == worker.ActionAdvance && v.Next != nil && v.Next.State != messages.StateAI
	if x.over {
		a.forgo(x)
	}
	for i := range x.spent {
		if x.spent[i].OverBound() {
			v.Events = append(v.Events, messages.Event{Kind: messages.EventOverBound, Key: t.Key, Epoch: t.Envelope.Epoch, Attempt: &x.spent[i]})
		}
	}
	return v
}

// decide plans the next attempt of a turn.
func (a *AI) decide(x *turn, now time.Time) ai.Plan {
	facts := ai.Facts{Address: x.Address, Now: now, Backends: make([]ai.BackendFact, len(a.Backends)), Avoid: x.avoid}
	for i, b := range a.Backends {
		facts.Backends[i] = ai.BackendFact{Name: b.Name(), Billable: b.Billable(), Menu: b.Menu, Paused: a.backendPaused(b.Name()), Region: b.Region}
		facts.Backends[i].Means = b.Means
		if c := x.Envelope.Corporate; c != nil {
			a.standing(&facts.Backends[i], c.Model)
		}
	}
	return ai.Decide(x.Envelope, x.request, facts, x.policy)
}

// pauseLook is when a request looks again whose other backends are paused.
const pauseLook = 30 * time.Second

// elsewhere plans the next attempt at a backend that did not fail in this turn. Where none can be asked now, until is when one may.
func (a *AI) elsewhere(x *turn) (other bool, until time.Time) {
	x.avoid[x.plan.Backend.Name] = true
	plan := a.decide(x, a.Now())
	switch {
	case plan.Paused:
		return false, a.Now().Add(pauseLook)
	case !plan.Until.IsZero():
		return false, plan.Until
	case plan.Refusal != nil || plan.Pass || x.avoid[plan.Backend.Name]:
		return false, time.Time{}
	}
	x.plan, x.moved, x.other = plan, true, true
	return true, time.Time{}
}

// doubt ends a request whose calls were cut off as often as may be paid for. The runtime has put the call that it took over
// into the history.
func (a *AI) doubt(ctx context.Context, t *worker.Task) (worker.Verdict, bool) {
	e := t.Envelope
	if e.Corporate == nil || !e.Kind.AsksModel() || ai.InDoubt(e.History) < max(e.Corporate.BillableAttempts, 1) {
		return worker.Verdict{}, false
	}
	return a.unanswered(ctx, &turn{Task: t, policy: a.Policy()}, ai.DoubtRefusal(e.History)), true
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
