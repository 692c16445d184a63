package handlers

import (
	"context"
	"time"

	"flowgate/messages"
	"flowgate/pipelines"
	"flowgate/pipelines/ai"
	"flowgate/pipelines/optimizer"
	"flowgate/worker"
)

// Optimizer is layer 3.
type Optimizer struct {
	Bodies Bodies
	Policy func() optimizer.Policy
	Now    func() time.Time
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
		optimizer.Decide(t.Envelope, optimizer.Facts{Address: t.Address, Now: o.Now()}, policy)
		t.Envelope.Optimizer.StartedAt = t.Started
		verdicts[i] = advance(ctx, o.Bodies, t, t.Envelope, messages.StateDone)
	}
	return verdicts
}

// End ends a task that the runtime cannot let go on.
func (o *Optimizer) End(ctx context.Context, t *worker.Task, r *pipelines.Refusal) worker.Verdict {
	return refused(ctx, o.Bodies, t, o.Name(), r, o.Now())
}
