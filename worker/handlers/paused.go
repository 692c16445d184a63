package handlers

import (
	"flowgate/messages"
	"flowgate/pipelines/corporate"
	"flowgate/worker"
)

// paused says what keeps a request from being let through, and why; empty: nothing. Layer and class are the runtime's.
func (c *Corporate) paused(t *worker.Task, r *messages.Request, p corporate.Policy) string {
	if c.Control == nil {
		return ""
	}
	if pause, paused := c.Control.Paused(worker.PauseTenant, t.Tenant); paused {
		return pause.Why()
	}
	if r.Trigger == "" {
		return ""
	}
	trigger := r.Trigger
	if a, found := p.Agreements.Find(trigger); found {
		trigger = a.Trigger
	}
	if pause, paused := c.Control.Paused(worker.PauseAgreement, trigger); paused {
		return pause.Why()
	}
	return ""
}

// backendPaused tells whether an operator paused a backend.
func (a *AI) backendPaused(name string) bool {
	if a.Control == nil {
		return false
	}
	_, paused := a.Control.Paused(worker.PauseBackend, name)
	return paused
}
