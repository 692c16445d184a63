package results

import (
	"fmt"
	"strings"
	"time"

	"flowgate/messages"
	"flowgate/pipelines"
	"flowgate/worker"
)

// Control tells what is paused.
type Control interface {
	// Paused tells whether one thing is paused, Pauses lists what of a kind is.
	Paused(kind worker.PauseKind, name string) (worker.Pause, bool)
	Pauses(kind worker.PauseKind) []worker.Pause
}

// explain tells why a request waits, where anything but its turn keeps it: a pause, or what its hold says. e is nil before
// layer 1 has seen it.
func (s *server) explain(r *messages.Result, at messages.Address, e *messages.Envelope) {
	if p := s.paused(at, e); p != nil {
		r.Reason, r.Retry, r.Message = messages.ReasonPaused, true, p.Why()
		return
	}
	if at.State == messages.StateHold && e != nil && e.Wait != "" && e.Wait != messages.ReasonPaused {
		info := messages.Explain(e.Wait)
		r.Reason, r.Retry, r.Message = e.Wait, info.Retry, info.Text
		if e.Wait == messages.ReasonNotBefore && !e.NotBefore.IsZero() {
			r.Message = fmt.Sprintf("%s: %s.", strings.TrimSuffix(info.Text, "."), e.NotBefore.UTC().Format(time.RFC3339))
		}
		if e.Wait == messages.ReasonWaitingRate {
			r.RetryAt = e.NotBefore
		}
		return
	}
	if s.opts.Control == nil || at.State != messages.StateAI {
		return
	}
	for _, p := range s.opts.Control.Pauses(worker.PauseBackend) { // whether it needs that one, layer 2 knows
		r.Message = p.Why() + "; what no other backend serves waits for it"
	}
}

func (s *server) paused(at messages.Address, e *messages.Envelope) *worker.Pause {
	c := s.opts.Control
	if c == nil || at.State == messages.StateCalling {
		return nil
	}
	for _, link := range pipelines.Chain() {
		for _, q := range link.Queues {
			if q.State != at.State {
				continue
			}
			if p, paused := c.Paused(worker.PauseLayer, string(link.Name)); paused {
				return &p
			}
		}
	}
	if p, paused := c.Paused(worker.PauseClass, string(at.Class)); paused {
		return &p
	}
	if p, paused := c.Paused(worker.PauseTenant, at.Tenant); paused {
		return &p
	}
	if e != nil && e.Corporate != nil && e.Corporate.Agreement != nil {
		if p, paused := c.Paused(worker.PauseAgreement, e.Corporate.Agreement.Trigger); paused {
			return &p
		}
	}
	return nil
}
