package flow

import (
	"errors"
	"fmt"
	"slices"
)

// Book has every agreement of a deployment. It is immutable and safe for concurrent use.
type Book struct {
	byTrigger map[string]Agreement
	order     []string
}

// NewBook checks agreements, completes them (threshold, version) and binds them into a book. Its error names every fault
// of every agreement.
func NewBook(agreements []Agreement) (*Book, error) {
	b := &Book{byTrigger: make(map[string]Agreement, len(agreements))}
	var faults []error
	for i, a := range agreements {
		if err := a.fault(); err != nil {
			faults = append(faults, fmt.Errorf("agreement %d (%s): %w", i+1, a.Trigger, err))
			continue
		}
		if _, taken := b.byTrigger[a.Trigger]; taken {
			faults = append(faults, fmt.Errorf("agreement %d (%s): trigger: is taken by an agreement before it", i+1, a.Trigger))
			continue
		}
		a.ConfidenceThreshold = a.confidence()
		if a.Version == "" {
			a.Version = a.contentVersion()
		}
		b.byTrigger[a.Trigger] = a
		b.order = append(b.order, a.Trigger)
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return b, nil
}

// Find is the agreement with exactly this trigger. Its Parameters MUST NOT be changed.
func (b *Book) Find(trigger string) (Agreement, bool) {
	a, ok := b.byTrigger[trigger]
	return a, ok
}

// Triggers lists the triggers in the order in which the agreements were given.
func (b *Book) Triggers() []string { return slices.Clone(b.order) }

// Agreements lists the agreements in the order in which they were given. Their Parameters MUST NOT be changed.
func (b *Book) Agreements() []Agreement {
	out := make([]Agreement, 0, len(b.order))
	for _, t := range b.order {
		out = append(out, b.byTrigger[t])
	}
	return out
}
