package handlers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"flowgate/messages"
	"flowgate/pipelines"
	"flowgate/pipelines/ai"
	"flowgate/pipelines/corporate"
	"flowgate/pipelines/flow"
	"flowgate/pipelines/optimizer"
	"flowgate/worker"
)

// Optimizer is layer 3.
type Optimizer struct {
	Bodies Bodies
	Policy func() optimizer.Policy
	Now    func() time.Time
	// Actions carries out the actions of agreements; nil: nobody does here.
	Actions Actions
}

// Actions carries out the actions of agreements apart from the layer.
type Actions interface {
	// Execute begins an epoch's action or finds it again; a nil execution has not ended, and done closes when it may have.
	Execute(key messages.Key, epoch int, by flow.Asker, a flow.Agreement) (x *messages.Execution, done <-chan struct{})
}

var _ worker.Layer = (*Optimizer)(nil)

// Name is the layer's name.
func (o *Optimizer) Name() messages.LayerName { return messages.LayerOptimizer }

// Handle closes every request of a micro-batch.
func (o *Optimizer) Handle(ctx context.Context, tasks []*worker.Task) []worker.Verdict {
	policy := o.Policy()
	verdicts := make([]worker.Verdict, len(tasks))
	for i, t := range tasks {
		if ai.Behind(t.Envelope, policy.Agreements) {
			verdicts[i] = worker.Park(o.Now().Add(ai.BehindLook), nil)
			continue
		}
		facts := optimizer.Facts{Address: t.Address, Now: o.Now()}
		if v, before := o.execute(ctx, t, &facts, policy); before {
			verdicts[i] = v
			continue
		}
		optimizer.Decide(t.Envelope, facts, policy)
		t.Envelope.Optimizer.StartedAt = t.Started
		verdicts[i] = advance(ctx, o.Bodies, t, t.Envelope, messages.StateDone)
	}
	return verdicts
}

// followAction is when a request is looked at again whose action is being carried out, if nobody told.
const followAction = 10 * time.Minute

// execute lets the action of a request's agreement be carried out, with the parameters that the request gives beside the agreement's
// own; before tells that the verdict stands: it has not ended, or cannot begin.
func (o *Optimizer) execute(ctx context.Context, t *worker.Task, f *optimizer.Facts, p optimizer.Policy) (v worker.Verdict, before bool) {
	a, executes := optimizer.Executes(t.Envelope, *f, p)
	if !executes || o.Actions == nil {
		return v, false
	}
	r, err := o.Bodies.request(ctx, t.Envelope)
	var field *messages.FieldError
	switch {
	case err == nil:
	case errors.As(err, &field):
		return o.End(ctx, t, pipelines.Invalid(err)), true
	case gone(err, t):
		return o.End(ctx, t, pipelines.Fail(messages.ReasonClaimMissing, "")), true
	default:
		return worker.Park(o.Now().Add(time.Second), err), true
	}
	a, fixed := a.With(r.Parameters)
	if fixed != "" {
		f.Execution = &messages.Execution{
			Action: a.Action, Version: a.Version, Mode: messages.ExecutionFailed, Because: fmt.Sprintf("parameter %s is the agreement's own: leave it out", fixed),
		}
		return v, false
	}
	x, done := o.Actions.Execute(t.Key, t.Envelope.Epoch, askerOf(t.Envelope.Corporate), a)
	if f.Execution = x; x != nil {
		return v, false
	}
	if expired := pipelines.Expired(t.Envelope, f.Now); expired != nil { // its deadline goes before the action's own
		f.Execution = &messages.Execution{Action: a.Action, Version: a.Version, Mode: messages.ExecutionFailed, Because: "the request's deadline passed before it ended"}
		return v, false
	}
	return worker.Verdict{Action: worker.ActionFollow, Told: done, Until: o.Now().Add(followAction)}, true
}

// askerOf is in whose name the action of a request is carried out.
func askerOf(s *messages.CorporateSection) flow.Asker {
	by := flow.Asker{UserID: s.UserID, Department: s.Department, Purpose: s.Purpose, CorrelationID: s.CorrelationID}
	for _, name := range []*string{&by.UserID, &by.Department} {
		if *name == corporate.UnknownName {
			*name = ""
		}
	}
	return by
}

// End ends a task that the runtime cannot let go on.
func (o *Optimizer) End(ctx context.Context, t *worker.Task, r *pipelines.Refusal) worker.Verdict {
	return refused(ctx, o.Bodies, t, o.Name(), r, o.Now())
}
