package main

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"flowgate/worker/fleet"
)

// How a backend stands, where it is used and no check failed.
const (
	backendAvailable = "available"
	// backendHeld: a breaker lets no call pass, of the backend or of every model that was asked of late.
	backendHeld = "held"
	// backendBlocked: the provider wants no call of any model that was asked of late.
	backendBlocked = "blocked"
	// backendPartly: some of its models are held or blocked.
	backendPartly = "partly"
)

// stop is why a backend, or one of its models, is not asked now.
type stop struct {
	// Model is empty where all are meant.
	Model string `json:"model,omitempty"`
	// State is held or blocked, By the fault that did it.
	State string `json:"state"`
	By    string `json:"by,omitempty"`
	// Until is when it may be asked again, Seconds how far that is; absent: not before a restart, or nobody knows.
	Until   time.Time `json:"until,omitzero"`
	Seconds float64   `json:"seconds_left,omitempty"`
}

// stopsOf are the stops of a backend now: its own, then those of its models by name.
func stopsOf(b fleet.Backend, now time.Time) (all []stop) {
	if b.HeldUntil.After(now) || b.Breaker == "unhealthy" {
		all = append(all, newStop("", backendHeld, b.HeldBy, b.HeldUntil, now))
	}
	for _, m := range b.ModelBreakers {
		if m.State != "half_open" && (m.Until.IsZero() || m.Until.After(now)) {
			all = append(all, newStop(m.Model, backendHeld, cmp.Or(m.Class, m.State)+prefixed(" ", m.Code), m.Until, now))
		}
	}
	for _, p := range b.Paces {
		if p.BlockedUntil.After(now) {
			all = append(all, newStop(p.Model, backendBlocked, "rate_limited", p.BlockedUntil, now))
		}
	}
	slices.SortStableFunc(all, func(x, y stop) int { return cmp.Compare(x.Model, y.Model) })
	return all
}

func newStop(model, state, by string, until, now time.Time) stop {
	s := stop{Model: model, State: state, By: by, Until: until}
	if until.After(now) {
		s.Seconds = until.Sub(now).Seconds()
	}
	return s
}

// stateBy is one word for all of a backend's stops.
func stateBy(stops []stop, b fleet.Backend) string {
	if len(stops) == 0 {
		return backendAvailable
	}
	if stops[0].Model == "" {
		return stops[0].State
	}
	stopped := func(model string) int { return slices.IndexFunc(stops, func(s stop) bool { return s.Model == model }) }
	word := stops[0].State
	for _, p := range b.Paces { // those that were asked of late
		switch i := stopped(p.Model); {
		case i < 0:
			return backendPartly
		case stops[i].State == backendHeld:
			word = backendHeld
		}
	}
	return word
}

// String says it in one line.
func (s stop) String() string {
	said := s.State
	if s.Model != "" {
		said = s.Model + " is " + said
	}
	switch {
	case s.Until.IsZero():
		return said + " after " + s.By + ", until a restart"
	case s.Seconds > 0:
		return fmt.Sprintf("%s after %s until %s, %s left", said, s.By, clock(s.Until), secondsText(s.Seconds))
	}
	return said + " after " + s.By
}

// secondsText is a time to wait, in whole seconds and never less than one.
func secondsText(seconds float64) string {
	if seconds < 90 {
		return fmt.Sprintf("%.0f s", max(seconds, 1))
	}
	return time.Duration(seconds * float64(time.Second)).Round(time.Second).String()
}
