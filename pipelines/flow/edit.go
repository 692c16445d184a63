package flow

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Errors of edits.
var (
	// ErrUnknown says that there is no such agreement or version.
	ErrUnknown = errors.New("there is no such agreement")
	// ErrExists says that the version exists already.
	ErrExists = errors.New("the version exists already")
	// ErrWhich says that an act may be about several versions, and none is named.
	ErrWhich = errors.New("several versions come into question")
)

// Edit does an act with a version of an agreement, among all versions of all agreements, and returns what is another from then on.
// Where no version is named it is the one that the act is about: the newest draft to submit, what is in review to approve or return,
// the one in force to suspend, resume or retire.
func Edit(all []Entry, trigger, version string, c Change) (changed []Entry, err error) {
	e, err := pick(all, trigger, version, c.Act)
	if err != nil {
		return nil, err
	}
	now, err := e.Move(c)
	if err != nil {
		return nil, err
	}
	if now.State != StateApproved {
		return []Entry{now}, nil
	}
	if err := now.sharesDefault(all); err != nil {
		return nil, err
	}
	for _, old := range all {
		if old.Trigger != trigger || old.Version == now.Version || !old.InForce() {
			continue
		}
		if c.At.Before(now.ValidFrom) {
			return nil, fmt.Errorf("%w: %s %s is valid from %s and would take %s out of force now; approve it then",
				ErrState, trigger, now.Version, now.ValidFrom.UTC().Format(time.RFC3339), old.Version)
		}
		old, err = old.Move(Change{Act: ActSupersede, By: c.By, Reason: "version " + now.Version + ": " + c.Reason, At: c.At})
		if err != nil {
			return nil, err
		}
		changed = append(changed, old) // before its successor: one at most is in force
	}
	return append(changed, now), nil
}

// Write adds a version as a draft. One with the content of a version that is there is refused, and so are names that nobody could tell
// from others.
func Write(all []Entry, a Agreement, c Change) ([]Entry, error) {
	a.Approver = "" // who approves it says so himself
	a = a.Complete()
	if err := errors.Join(a.fault(), a.namesFault(), a.likeAnother(all)); err != nil {
		return nil, fmt.Errorf("agreement %q: %w", a.Trigger, err)
	}
	for _, e := range all {
		if e.Trigger == a.Trigger && e.Version == a.Version {
			return nil, fmt.Errorf("%w: %s %s is %s", ErrExists, a.Trigger, a.Version, e.State)
		}
	}
	e, err := Entry{Agreement: a}.Move(c)
	if err != nil {
		return nil, err
	}
	return []Entry{e}, nil
}

// Seed puts an agreement of the deployment's own file in force where nobody has written any version of it: from then on the file says
// nothing of it.
func Seed(all []Entry, a Agreement, c Change) ([]Entry, error) {
	if slices.ContainsFunc(all, func(e Entry) bool { return e.Trigger == a.Trigger }) {
		return nil, nil
	}
	if err := errors.Join(a.namesFault(), a.likeAnother(all)); err != nil {
		return nil, err
	}
	e, err := Entry{Agreement: a.Complete()}.Move(c)
	if err != nil {
		return nil, err
	}
	if err := e.sharesDefault(all); err != nil {
		return nil, err
	}
	return []Entry{e}, nil
}

// sharesDefault refuses a second default of a tenant.
func (e Entry) sharesDefault(all []Entry) error {
	for _, o := range all {
		if o.Trigger == e.Trigger || !o.InForce() {
			continue
		}
		for _, tenant := range e.DefaultFor {
			if slices.Contains(o.DefaultFor, tenant) {
				return fmt.Errorf("default_for: %s has %s as its default already", tenant, o.Trigger)
			}
		}
	}
	return nil
}

// pick finds the version that an act is about.
func pick(all []Entry, trigger, version string, act Act) (Entry, error) {
	var versions []Entry
	for _, e := range all {
		if e.Trigger == trigger {
			versions = append(versions, e)
		}
	}
	switch {
	case len(versions) == 0:
		return Entry{}, fmt.Errorf("%w: %s", ErrUnknown, trigger)
	case version != "":
		at := slices.IndexFunc(versions, func(e Entry) bool { return e.Version == version })
		if at < 0 {
			return Entry{}, fmt.Errorf("%w: %s has no version %s", ErrUnknown, trigger, version)
		}
		return versions[at], nil
	}
	var fit []Entry
	for _, e := range versions {
		if slices.Contains(moves[act].from, e.State) && (act != ActRetire || e.InForce()) {
			fit = append(fit, e)
		}
	}
	switch {
	case len(fit) == 1 || len(fit) > 1 && act == ActSubmit:
		return Newest(fit), nil
	case len(fit) > 1:
		return Entry{}, fmt.Errorf("%w: of %s say which, one of %s", ErrWhich, trigger, versionsOf(fit))
	}
	return Newest(versions), nil // Move says why not
}

func versionsOf(entries []Entry) string {
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Version
	}
	return strings.Join(names, ", ")
}

// Newest is the entry that was changed last, of one or more.
func Newest(entries []Entry) Entry {
	return slices.MaxFunc(entries, func(a, b Entry) int { return int(a.Revision - b.Revision) })
}

// Governing are the entries that decide about requests, one an agreement, by trigger: the version in force, or the newest where none is.
func Governing(all []Entry) []Entry {
	var governing []Entry
	for _, e := range all {
		at := slices.IndexFunc(governing, func(g Entry) bool { return g.Trigger == e.Trigger })
		switch {
		case at < 0:
			governing = append(governing, e)
		case e.InForce(), !governing[at].InForce() && e.Revision > governing[at].Revision:
			governing[at] = e
		}
	}
	slices.SortFunc(governing, func(a, b Entry) int { return strings.Compare(a.Trigger, b.Trigger) })
	return governing
}
