package handlers

import (
	"context"
	"time"

	"flowgate/messages"
	"flowgate/pipelines"
	"flowgate/worker"
)

// advance seals the envelope and makes the verdict that publishes it. Trouble with the claim store is waited out, for as
// long as work may go on: what was decided, and perhaps paid for, is not to be decided again.
func advance(ctx context.Context, b Bodies, t *worker.Task, e *messages.Envelope, state messages.State) worker.Verdict {
	if state == messages.StateDone && !e.End.Replayable {
		e.Request, e.Malformed = nil, nil // nobody reads it again: the record has its hash
	}
	state = e.PublishedAs(state, t.Expect)
	delays := worker.DefaultDelays()
	for round := 1; ; round++ {
		data, err := b.seal(ctx, t.Key, e)
		if err == nil {
			return worker.Verdict{Action: worker.ActionAdvance, Next: t.Publication(state, e, data)}
		}
		if !delays.Pause(ctx, round) {
			return worker.Park(time.Now().Add(time.Second), err)
		}
	}
}

// refused ends a task at a layer.
func refused(ctx context.Context, b Bodies, t *worker.Task, layer messages.LayerName, r *pipelines.Refusal, now time.Time) worker.Verdict {
	pipelines.End(t.Envelope, layer, r, now)
	return advance(ctx, b, t, t.Envelope, messages.StateDone)
}
