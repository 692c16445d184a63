package worker

import (
	"context"
	"fmt"

	"go.uber.org/zap"

	"flowgate/messages"
	"flowgate/pipelines"
)

// endTooLarge ends a request whose next state is larger than the broker takes, with what of it can be published. What was
// judged is reported all the same.
func (r *Runtime) endTooLarge(ctx context.Context, q Queue, t *Task, v Verdict) (Verdict, Receipt) {
	e := v.Next.envelope
	if e == nil {
		e = messages.UnreadableEnvelope(t.Address, t.Stored, t.Data)
	}
	r.log.Error("a state is larger than the broker takes", zap.String("queue", q.Name), t.about(), zap.Int("bytes", len(v.Next.Data)))
	detail := fmt.Sprintf("the state %s has %d bytes, a message may have %d", v.Next.State, len(v.Next.Data), r.opts.Conn.MaxPayload())
	pipelines.End(e, q.Layer.Name(), pipelines.Fail(messages.ReasonTooLarge, detail), r.now())
	t.Envelope = messages.Shrunk(e)
	ended, err := t.advance(messages.StateDone)
	if err != nil {
		return v, Receipt{Fate: FateUnknown, Err: err}
	}
	v.Next = ended.Next
	return v, r.hop.Publish(ctx, []*Publication{v.Next})[0]
}
