package fleet

import (
	"errors"
	"time"
)

// maxPaces bounds the models of a backend whose pace, and whose breaker, is told.
const maxPaces = 16

// Backend is how one backend stands for one process.
type Backend struct {
	Name string `json:"name"`
	// Skipped says why the process does not use it; empty where it does.
	Skipped string `json:"skipped,omitempty"`
	// Source names where its credentials come from, never what they are; Address is where it is, Region where it processes what it is
	// asked.
	Source  string `json:"credentials,omitempty"`
	Address string `json:"address,omitempty"`
	Region  string `json:"region,omitempty"`
	// Models are the only ids that it serves, Prefixes what ids begin with; both empty: any. Names is what others are called there.
	Models   []string          `json:"models,omitempty"`
	Prefixes []string          `json:"prefixes,omitempty"`
	Names    map[string]string `json:"names,omitempty"`
	// Limited says to which models it is limited, and why; empty: to none.
	Limited string `json:"limited,omitempty"`
	// Priced is how many exact ids that it serves have a price.
	Priced int `json:"priced_models"`

	Standing
}

// Standing is how ready a backend is to be asked, by what a process learnt of it. Empty: nobody knows.
type Standing struct {
	// Breaker is closed, half_open, held, open or unhealthy.
	Breaker string `json:"breaker,omitempty"`
	// HeldUntil is until when it is not asked, zero where nobody knows; HeldBy says of one that is not asked which fault did it.
	HeldUntil time.Time `json:"held_until,omitzero"`
	HeldBy    string    `json:"held_by,omitempty"`
	// ModelBreakers are those of its models that are not closed.
	ModelBreakers []ModelBreaker `json:"model_breakers,omitempty"`
	// Paces are those of its models that were used of late.
	Paces []Pace `json:"pace,omitempty"`
}

// ModelBreaker is the breaker of one model, and the fault that moved it.
type ModelBreaker struct {
	Model string `json:"model"`
	State string `json:"state"`
	Class string `json:"class,omitempty"`
	Code  string `json:"code,omitempty"`
	// Until is when it lets a call try; absent where nobody knows.
	Until time.Time `json:"until,omitzero"`
}

// Pace is how fast one model may be asked.
type Pace struct {
	Model string `json:"model"`
	// PerSecond is how many calls a second all processes may send, From what that is known: headers, refusals, or none.
	PerSecond float64 `json:"calls_per_second"`
	From      string  `json:"from,omitempty"`
	// Waiting calls wait in this process, Away were told to come back.
	Waiting int `json:"waiting"`
	Away    int `json:"away"`
	// BlockedUntil is until when the provider wants no call.
	BlockedUntil time.Time `json:"blocked_until,omitzero"`
}

// bounded leaves out what a report has no room for.
func bounded(all []Backend) []Backend {
	for i := range all {
		if b := &all[i]; len(b.Models) > maxList {
			b.Models = b.Models[:maxList]
		}
		if b := &all[i]; len(b.Paces) > maxPaces {
			b.Paces = b.Paces[:maxPaces]
		}
		if b := &all[i]; len(b.ModelBreakers) > maxPaces {
			b.ModelBreakers = b.ModelBreakers[:maxPaces]
		}
	}
	return all
}

// check refuses what no process of ours can have said.
func (b *Backend) check() error {
	if len(b.Models) > maxList || len(b.Prefixes) > maxList || len(b.Names) > maxList || len(b.Paces) > maxPaces || len(b.ModelBreakers) > maxPaces {
		return errors.New("backend_states: a list is too long")
	}
	words := []string{b.Skipped, b.Source, b.Address, b.Region, b.Breaker, b.HeldBy, b.Limited}
	words = append(append(words, b.Models...), b.Prefixes...)
	for id, name := range b.Names {
		words = append(words, id, name)
	}
	for i := range b.Paces {
		words = append(words, b.Paces[i].Model, b.Paces[i].From)
	}
	for _, m := range b.ModelBreakers {
		words = append(words, m.Model, m.State, m.Class, m.Code)
	}
	for _, w := range append(words, b.Name) {
		if w != "" && !word(w) {
			return errors.New("backend_states: a text is not one short line")
		}
	}
	if b.Name == "" {
		return errors.New("backend_states: a backend has no name")
	}
	return nil
}
