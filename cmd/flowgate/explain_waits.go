package main

import (
	"context"
	"fmt"
	"time"

	"flowgate/messages"
	"flowgate/worker"
	"flowgate/worker/fleet"
)

// whereabouts are the state in which a request stands.
type whereabouts struct {
	State messages.State
	// Envelope is that of the state; of a call that of its input. Call is set where one is under way.
	Envelope *messages.Envelope
	Call     *messages.Attempt
}

// standsAt reads the state in which a request stands; nil: there is none.
func standsAt(ctx context.Context, c *client, key messages.Key) (*whereabouts, error) {
	leader := &worker.Leader{JS: c.js}
	newest, found, err := leader.Newest(ctx, messages.Partition(key, 1), key)
	if err != nil || !found {
		return nil, err
	}
	s, data := &whereabouts{State: newest.State}, newest.Data
	if newest.State == messages.StateCalling {
		call, err := messages.DecodeCalling(data)
		if err != nil {
			return nil, err
		}
		input, found, err := leader.Get(ctx, worker.WorkStream(newest.P), call.InputSeq)
		if err != nil || !found {
			return nil, err
		}
		s.Call, data = &call.Attempt, input.Data
	}
	s.Envelope, err = messages.DecodeEnvelope(data)
	return s, err
}

// waits asks the processes what keeps a request in layer 2.
func (e *explanation) waits(ctx context.Context, c *client, s *whereabouts) error {
	if e.State != messages.ResultPending || s.Envelope == nil || s.State != messages.StateAI && s.State != messages.StateCalling {
		return nil
	}
	var v backendsView
	if s.Call == nil {
		found, err := fleet.Ask(ctx, c.conn)
		if err != nil {
			return environmentError{err}
		}
		v.gather(found)
	}
	e.WaitsFor = waitsFor(s, v.Backends, time.Now())
	return nil
}

// waitsFor says in lines what a request waits for that stands in layer 2, by what the processes tell of the backends that serve its model.
func waitsFor(s *whereabouts, backends []backendView, now time.Time) (lines []string) {
	if a := s.Call; a != nil {
		return []string{fmt.Sprintf("call %d, of %s for %s, under way for %s", a.K, a.Backend, a.Model, secondsText(now.Sub(a.StartedAt).Seconds()))}
	}
	model := ""
	if s.Envelope.Corporate != nil {
		model = s.Envelope.Corporate.Model
	}
	for _, b := range backends {
		if id, serves := menuOf(b).Find(model); b.Used && serves {
			lines = append(lines, waitsAt(b.Backend, id, now)...)
		}
	}
	if at := s.Envelope.NotBefore; at.After(now) {
		lines = append(lines, fmt.Sprintf("its next turn at %s, in %s", clock(at), secondsText(at.Sub(now).Seconds())))
	}
	return lines
}

// waitsAt says what keeps calls of one model at one backend.
func waitsAt(b fleet.Backend, model string, now time.Time) (lines []string) {
	for _, s := range stopsOf(b, now) {
		if s.Model == "" || s.Model == model {
			lines = append(lines, fmt.Sprintf("%s: %s", b.Name, s))
		}
	}
	for _, p := range b.Paces {
		if p.Model == model && p.Waiting+p.Away > 0 && p.From != "none" {
			lines = append(lines, fmt.Sprintf("%s: its rate limit, %.1f calls/s by %s; %d wait", b.Name, p.PerSecond, p.From, p.Waiting+p.Away))
		}
	}
	return lines
}
