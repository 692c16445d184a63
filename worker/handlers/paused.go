package handlers

import (
	"time"

	"flowgate/pipelines"
	"flowgate/pipelines/corporate"
	"flowgate/worker"
)

// paused says what keeps a request from being let through, and why; empty: nothing. Layer and class are the runtime's.
func (c *Corporate) paused(t *worker.Task, s *corporate.Seen, a *corporate.Agreed) string {
	if c.Control == nil {
		return ""
	}
	if pause, paused := c.Control.Paused(worker.PauseTenant, t.Tenant); paused {
		return pause.Why()
	}
	trigger := s.Trigger
	if a != nil {
		trigger = a.Trigger
	}
	if trigger == "" {
		return ""
	}
	if pause, paused := c.Control.Paused(worker.PauseAgreement, trigger); paused {
		return pause.Why()
	}
	return ""
}

// cancelled is the end of an epoch that an operator cancelled; nil: nobody did.
func (c *Corporate) cancelled(t *worker.Task, submitted time.Time) *pipelines.Refusal {
	if c.Control == nil {
		return nil
	}
	epoch := t.Epoch
	if t.Envelope != nil {
		epoch = t.Envelope.Epoch
	}
	if word, said := c.Control.Cancelled(t.Key, epoch, submitted); said {
		return word.Refusal()
	}
	return nil
}

// cancelled is the same for a request on its way through layer 2.
func (a *AI) cancelled(t *worker.Task) *pipelines.Refusal {
	if a.Control == nil {
		return nil
	}
	if word, said := a.Control.Cancelled(t.Key, t.Envelope.Epoch, t.Envelope.SubmittedAt); said {
		return word.Refusal()
	}
	return nil
}

// backendPaused tells whether an operator paused a backend.
func (a *AI) backendPaused(name string) bool {
	if a.Control == nil {
		return false
	}
	_, paused := a.Control.Paused(worker.PauseBackend, name)
	return paused
}
