package main

import (
	"strings"
	"time"

	"flowgate/worker/breaker"
	"flowgate/worker/fleet"
	"flowgate/worker/pace"
)

// standingOf tells how a backend stands by its breakers and its pace; either may be nil.
func standingOf(breakers *breaker.Breakers, paces *pace.Pace) func(backend string) fleet.Standing {
	return func(backend string) fleet.Standing {
		var s fleet.Standing
		if breakers != nil {
			byBreakers(&s, breakers.State(), backend)
		}
		if paces != nil {
			byPaces(&s, paces.State(), backend)
		}
		return s
	}
}

// byBreakers takes the breaker of the whole backend; one of a model that is not closed is told where that is.
func byBreakers(s *fleet.Standing, all []breaker.State, backend string) {
	for _, b := range all {
		if b.Backend != backend {
			continue
		}
		if b.Model != "" {
			if b.State != breaker.Closed {
				m := fleet.ModelBreaker{Model: b.Model, State: string(b.State), Class: string(b.Class), Code: b.Code}
				if b.Next != nil {
					m.Until = b.Next.UTC().Truncate(time.Millisecond)
				}
				s.ModelBreakers = append(s.ModelBreakers, m)
			}
			continue
		}
		if s.Breaker = string(b.State); b.State == breaker.Closed {
			continue
		}
		s.HeldBy = strings.TrimSpace(string(b.Class) + " " + b.Code)
		if b.Next != nil {
			s.HeldUntil = b.Next.UTC().Truncate(time.Millisecond)
		}
	}
}

// byPaces takes the paces of the backend's models; none of them holds the others.
func byPaces(s *fleet.Standing, all []pace.State, backend string) {
	for _, p := range all {
		if p.Backend != backend {
			continue
		}
		one := fleet.Pace{Model: p.Model, PerSecond: p.Rate, From: p.Source, Waiting: p.Waiting, Away: p.Away}
		if p.BlockedUntil != nil {
			one.BlockedUntil = p.BlockedUntil.UTC().Truncate(time.Millisecond)
		}
		s.Paces = append(s.Paces, one)
	}
}
