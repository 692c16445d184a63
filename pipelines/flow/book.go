package flow

import (
	"errors"
	"fmt"
	"slices"

	"flowgate/messages"
)

// Book has the agreements of a deployment, each in one version: the one in force, or the newest one where none is. It is immutable and
// safe for concurrent use; nil has none.
type Book struct {
	byTrigger map[string]Entry
	order     []string
	defaults  map[string]string
}

// NewBook checks agreements, completes them (threshold, version) and binds them into a book, all of them approved. Its error names
// every fault of every agreement.
func NewBook(agreements []Agreement) (*Book, error) {
	entries := make([]Entry, len(agreements))
	for i, a := range agreements {
		entries[i] = Entry{Agreement: a, State: StateApproved}
	}
	return Bind(entries)
}

// Bind makes a book of entries, as NewBook does.
func Bind(entries []Entry) (*Book, error) {
	b := &Book{byTrigger: make(map[string]Entry, len(entries)), defaults: make(map[string]string)}
	var faults []error
	for i, e := range entries {
		if err := e.fault(); err != nil {
			faults = append(faults, fmt.Errorf("agreement %d (%s): %w", i+1, e.Trigger, err))
			continue
		}
		if _, taken := b.byTrigger[e.Trigger]; taken {
			faults = append(faults, fmt.Errorf("agreement %d (%s): trigger: is taken by an agreement before it", i+1, e.Trigger))
			continue
		}
		e.Agreement = e.Complete()
		b.byTrigger[e.Trigger] = e
		b.order = append(b.order, e.Trigger)
		if !e.InForce() { // what nobody has approved is nobody's default
			continue
		}
		for _, tenant := range e.DefaultFor {
			if other, taken := b.defaults[tenant]; taken {
				faults = append(faults, fmt.Errorf("agreement %d (%s): default_for: %s has %s as its default already", i+1, e.Trigger, tenant, other))
				continue
			}
			b.defaults[tenant] = e.Trigger
		}
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return b, nil
}

// Knows tells whether the book is no older than a reference to one of its agreements. No book knows nothing, but of no agreement.
func (b *Book) Knows(ref *messages.AgreementRef) bool {
	if ref == nil {
		return true
	}
	if b == nil || ref.Revision == 0 {
		return b != nil
	}
	e, found := b.Find(ref.Trigger)
	return found && e.Revision >= ref.Revision
}

// Find is the agreement with exactly this trigger. Its Parameters MUST NOT be changed.
func (b *Book) Find(trigger string) (Entry, bool) {
	if b == nil {
		return Entry{}, false
	}
	e, ok := b.byTrigger[trigger]
	return e, ok
}

// Default is the agreement that a tenant's requests run under which name none: the tenant's own, else that of everybody (*).
func (b *Book) Default(tenant string) (Entry, bool) {
	if b == nil {
		return Entry{}, false
	}
	trigger, has := b.defaults[tenant]
	if !has {
		trigger, has = b.defaults[Everybody]
	}
	return b.byTrigger[trigger], has
}

// Triggers lists the triggers in the order in which the agreements were given.
func (b *Book) Triggers() []string {
	if b == nil {
		return nil
	}
	return slices.Clone(b.order)
}

// Entries lists the agreements in the order in which they were given. Their Parameters MUST NOT be changed.
func (b *Book) Entries() []Entry {
	if b == nil {
		return nil
	}
	out := make([]Entry, 0, len(b.order))
	for _, t := range b.order {
		out = append(out, b.byTrigger[t])
	}
	return out
}

// Agreements lists the same without where they stand.
func (b *Book) Agreements() []Agreement {
	if b == nil {
		return nil
	}
	out := make([]Agreement, 0, len(b.order))
	for _, t := range b.order {
		out = append(out, b.byTrigger[t].Agreement)
	}
	return out
}
