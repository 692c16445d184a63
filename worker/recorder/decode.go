package recorder

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"flowgate/messages"
	"flowgate/pipelines"
	"flowgate/worker"
)

// batch decodes a run of messages, up to the first that a newer version wrote: recorded by who cannot read it, it would be a
// request that ended as malformed. Then the error is worker.ErrNewer, and what stands before it can be committed.
func (r *Recorder) batch(ctx context.Context, from worker.Position, msgs []jetstream.Msg) (worker.RecordBatch, error) {
	b := worker.RecordBatch{From: from, To: from}
	for _, msg := range msgs {
		meta, err := msg.Metadata()
		if err != nil {
			return b, fmt.Errorf("reading metadata: %w", err)
		}
		if messages.Newer(msg.Data()) {
			return b, fmt.Errorf("message %d: %w", meta.Sequence.Stream, worker.ErrNewer)
		}
		b.To.Seq, b.To.StoredNS = meta.Sequence.Stream, meta.Timestamp.UnixNano()
		if r.opts.Stream == worker.EventsStream {
			_, _ = r.surviving(meta, func() error { r.event(&b, msg.Data(), meta); return nil }) // its error is nil
			continue
		}
		address, err := messages.ParseSubject(msg.Subject())
		address.Key = messages.SafeKey(address.Key)
		at := worker.Stored{Address: address, Seq: meta.Sequence.Stream, At: meta.Timestamp}
		if err != nil {
			r.log.Error("a state of no request", zap.Uint64("seq", at.Seq), zap.Error(err))
			continue
		}
		panicked, err := r.surviving(meta, func() error { return r.state(ctx, &b, at, msg.Data()) })
		if panicked && at.State == messages.StateDone { // it has ended all the same
			panicked, err = r.surviving(meta, func() error { return r.unanswered(ctx, &b, at, msg.Data()) })
		}
		if panicked && at.State == messages.StateDone {
			_, err = r.surviving(meta, func() error { return r.bare(ctx, &b, at, msg.Data()) })
		}
		if err != nil {
			return b, err
		}
	}
	return b, nil
}

// surviving does one message's work; a panic costs no more than that message. Its value may hold data of a request: only its
// type is told.
func (r *Recorder) surviving(meta *jetstream.MsgMetadata, do func() error) (panicked bool, err error) {
	defer func() {
		if p := recover(); p != nil {
			panicked = true
			r.log.Error("panic while reading a message; it is recorded without what cannot be read", zap.Uint64("seq", meta.Sequence.Stream),
				zap.String("type", fmt.Sprintf("%T", p)), zap.Stack("stack"))
		}
	}()
	return false, do()
}

// unanswered records an end without its answer.
func (r *Recorder) unanswered(ctx context.Context, b *worker.RecordBatch, at worker.Stored, data []byte) error {
	e, err := messages.DecodeEnvelope(data)
	if err != nil {
		return r.bare(ctx, b, at, data)
	}
	if e.AI != nil {
		e.AI.Answer, e.AI.AnswerClaim = "", nil
	}
	return r.end(ctx, b, at, e)
}

// bare records an end without its sections, which nobody can read without a panic.
func (r *Recorder) bare(ctx context.Context, b *worker.RecordBatch, at worker.Stored, data []byte) error {
	e := messages.UnreadableEnvelope(at.Address, at.At, data)
	e.Malformed = messages.NewMalformed("", data)
	pipelines.End(e, messages.LayerOptimizer, pipelines.Fail(messages.ReasonCrash, "recording its end panicked"), at.At)
	return r.end(ctx, b, at, e)
}

func (r *Recorder) end(ctx context.Context, b *worker.RecordBatch, at worker.Stored, e *messages.Envelope) error {
	at.Epoch = e.Epoch
	o, err := r.outcome(ctx, at, e)
	if err == nil {
		b.Outcomes = append(b.Outcomes, o)
	}
	return err
}

func (r *Recorder) event(b *worker.RecordBatch, data []byte, meta *jetstream.MsgMetadata) {
	event, err := messages.DecodeEvent(data)
	if err != nil {
		r.log.Error("an event of no form", zap.Uint64("seq", meta.Sequence.Stream), zap.Error(err))
		return
	}
	b.Events = append(b.Events, worker.EventRecord{Seq: meta.Sequence.Stream, At: meta.Timestamp, Event: event})
}

func (r *Recorder) state(ctx context.Context, b *worker.RecordBatch, at worker.Stored, data []byte) error {
	if at.State == messages.StateCalling {
		call, err := messages.DecodeCalling(data)
		if err != nil {
			r.log.Error("a call of no form", zap.Uint64("seq", at.Seq), zap.Error(err))
			return nil
		}
		at.Epoch = call.Epoch
		record := worker.CallingRecord{Stored: at, Attempt: call.Attempt}
		if n := len(call.History); n > 0 {
			record.Before = &call.History[n-1]
		}
		b.Callings = append(b.Callings, record)
		return nil
	}
	e, err := messages.DecodeEnvelope(data)
	switch {
	case err != nil && at.State == messages.StateDone:
		e = unreadable(at, data, err)
	case err != nil:
		// Layer 2 ends it as malformed; that outcome is recorded.
		r.log.Error("a state of no form", zap.Uint64("seq", at.Seq), zap.Error(err))
		return nil
	}
	if at.State == messages.StateDone {
		return r.end(ctx, b, at, e)
	}
	at.Epoch = e.Epoch
	if e.Corporate == nil {
		return nil
	}
	b.Intents = append(b.Intents, worker.Intent{
		Stored: at, Kind: e.Kind, RequestSHA256: e.RequestSHA256, IngressSeq: e.IngressSeq, SubmittedAt: e.SubmittedAt,
		Corporate: *e.Corporate, Again: e.N > 0,
	})
	return nil
}

// unreadable is the envelope of a done that nobody can read: the request has ended all the same.
func unreadable(at worker.Stored, data []byte, cause error) *messages.Envelope {
	e := &messages.Envelope{
		V: messages.Version, Kind: messages.KindUnknown, P: at.P, SubmittedAt: at.At, Malformed: messages.NewMalformed("", data),
	}
	pipelines.End(e, messages.LayerOptimizer, pipelines.Invalid(cause), at.At)
	return e
}

// outcome makes the record of a done. Its bodies are parted from its sections: they have retentions of their own.
func (r *Recorder) outcome(ctx context.Context, at worker.Stored, e *messages.Envelope) (worker.Outcome, error) {
	if e.End == nil {
		pipelines.End(e, messages.LayerOptimizer, pipelines.Fail(messages.ReasonMalformed, "the state done has no end"), at.At)
	}
	o := worker.Outcome{
		Stored: at, Kind: e.Kind, RequestSHA256: e.RequestSHA256, IngressSeq: e.IngressSeq, SubmittedAt: e.SubmittedAt, End: *e.End,
		Corporate: e.Corporate, AI: e.AI, Optimizer: e.Optimizer, Replay: e.Replay, History: e.History, RequestClaim: e.RequestClaim,
	}
	var err error
	if e.End.Replayable {
		if o.DeadLetter, err = messages.EncodeEnvelope(e); err != nil {
			return o, err
		}
	}
	if o.Answer, err = r.answer(ctx, e.AI, at.At); err != nil {
		return o, err
	}
	bare := *e
	bare.Request, bare.RequestClaim, bare.Malformed = nil, nil, nil
	if e.AI != nil {
		section := *e.AI
		section.Answer = ""
		bare.AI = &section
	}
	if e.Optimizer != nil && e.Optimizer.Execution != nil {
		section := *e.Optimizer
		if section.Execution = section.Execution.Bare(); section.Execution.Apart() && o.Answer == "" { // an action has no answer of its own
			o.Answer = string(e.Optimizer.Execution.Result)
		}
		bare.Optimizer = &section
	}
	o.Sections, err = messages.EncodeEnvelope(&bare)
	return o, err
}

// answer reads the answer's text, from the claim store where it is there. A body that is missing for too long is recorded
// as missing: the record of a request is worth more than its text.
func (r *Recorder) answer(ctx context.Context, s *messages.AISection, stored time.Time) (string, error) {
	if s == nil || s.AnswerClaim == nil {
		if s == nil {
			return "", nil
		}
		return s.Answer, nil
	}
	body, err := r.opts.Claims.Get(ctx, *s.AnswerClaim)
	switch {
	case err == nil:
		return string(body), nil
	case errors.Is(err, worker.ErrClaimAltered), errors.Is(err, worker.ErrClaimMissing) && time.Since(stored) > patience:
		r.log.Error("an answer's body is lost", zap.String("claim", s.AnswerClaim.Key), zap.Error(err))
		return "", nil
	}
	return "", fmt.Errorf("reading an answer's body: %w", err)
}

const patience = 60 * time.Second
