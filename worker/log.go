package worker

import (
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"flowgate/messages"
)

// subject are the fields of a log line about a request: the same names everywhere, and never text of it.
type subject struct {
	messages.Key

	class  messages.Class
	layer  messages.LayerName
	reason messages.Reason
	epoch  int
}

// MarshalLogObject writes what is known.
func (s subject) MarshalLogObject(out zapcore.ObjectEncoder) error {
	out.AddString("tenant", s.Tenant)
	out.AddString("request_id", s.ID)
	out.AddInt("epoch", s.epoch)
	for name, value := range map[string]string{"class": string(s.class), "layer": string(s.layer), "reason": string(s.reason)} {
		if value != "" {
			out.AddString(name, value)
		}
	}
	return nil
}

// LogRequest are the fields of a request in a log line.
func LogRequest(key messages.Key, epoch int) zap.Field {
	return zap.Inline(subject{Key: key, epoch: epoch})
}

// about are the fields of a delivery in a log line.
func (d *Delivery) about() zap.Field {
	s := subject{Key: d.Key, class: d.Class, epoch: d.Epoch, layer: messages.LayerCorporate}
	switch d.State {
	case messages.StateAI, messages.StateCalling:
		s.layer = messages.LayerAI
	case messages.StateOptimizer, messages.StateDone:
		s.layer = messages.LayerOptimizer
	case messages.StateHold:
	}
	return zap.Inline(s)
}

// about are the fields of a task in a log line.
func (t *Task) about() zap.Field {
	field := t.Delivery.about()
	if s, ok := field.Interface.(subject); ok && t.Envelope != nil {
		s.epoch = t.Envelope.Epoch
		return zap.Inline(s)
	}
	return field
}

// Logging is an observer that logs what became of every delivery and attempt, for debugging; nil where the logger would not
// write it.
func Logging(log *zap.Logger) Observer {
	if log == nil || !log.Core().Enabled(zap.DebugLevel) {
		return nil
	}
	return journal{log}
}

type journal struct{ log *zap.Logger }

func (j journal) Settled(s Settled) {
	j.log.Debug("settled", zap.Inline(subject{s.Key, s.Class, s.Layer, s.Reason, s.Epoch}), zap.String("outcome", string(s.Outcome)),
		zap.Stringer("trace_id", s.Trace), zap.Duration("waited", s.Waited), zap.Duration("took", s.Took))
}

func (j journal) Attempted(a Attempted) {
	j.log.Debug("attempted", zap.Inline(subject{a.Key, a.Class, a.Attempt.Layer, "", a.Epoch}), zap.String("backend", a.Attempt.Backend),
		zap.Int("attempt", a.Attempt.K), zap.String("fault", a.Attempt.Class), zap.String("code", a.Attempt.Code),
		zap.Int64("took_ms", a.Attempt.DurationMS), zap.Int64("cost_microusd", a.Attempt.CostMicroUSD), zap.Stringer("trace_id", a.Trace))
}

func (j journal) Died(d Died) {
	j.log.Info("dead letter", zap.Inline(subject{d.Key, d.Class, d.Layer, d.Reason, d.Epoch}))
}
