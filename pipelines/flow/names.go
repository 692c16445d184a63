package flow

import (
	"errors"
	"fmt"
	"strings"
	"unicode"

	"flowgate/messages"
)

// CheckNames tells which agreements have a trigger, an owner or an approver that nobody could tell from another one, or that no request
// could name. It is for what is written anew: what is on record may be older than the rule, and is read as it is.
func CheckNames(agreements []Agreement) error {
	var faults []error
	for i, a := range agreements {
		var before []Entry
		for _, b := range agreements[:i] {
			before = append(before, Entry{Agreement: b, State: StateDraft})
		}
		if err := errors.Join(a.namesFault(), a.likeAnother(before)); err != nil {
			faults = append(faults, fmt.Errorf("agreement %d (%q): %w", i+1, a.Trigger, err))
		}
	}
	return errors.Join(faults...)
}

// namesFault reports every fault of the agreement's names.
func (a Agreement) namesFault() error {
	var faults []error
	for _, n := range []struct{ field, name string }{{"trigger", a.Trigger}, {"owner", a.Owner}, {"approver", a.Approver}} {
		err := messages.CheckWord(n.field, n.name, messages.MaxTextBytes)
		switch {
		case err != nil:
			faults = append(faults, err)
		case messages.Visible(n.name) != n.name:
			faults = append(faults, fmt.Errorf("%s: has invisible characters: nobody could tell it from another one", n.field))
		}
	}
	if blank(a.Trigger) {
		faults = append(faults, errors.New("trigger: must have more than brackets"))
	}
	return errors.Join(faults...)
}

// blank tells that a trigger has brackets and spaces alone.
func blank(trigger string) bool {
	return !strings.ContainsFunc(trigger, func(r rune) bool { return r != ' ' && !unicode.In(r, unicode.Ps, unicode.Pe) })
}

// likeAnother refuses a new trigger that differs from another one only in case or white space. Of what was withdrawn or retired for good
// nobody asks, so that a slip can be written anew.
func (a Agreement) likeAnother(all []Entry) error {
	like := ""
	for _, e := range all {
		switch {
		case e.State == StateRetired:
		case e.Trigger == a.Trigger:
			return nil
		case folded(e.Trigger) == folded(a.Trigger):
			like = e.Trigger
		}
	}
	if like != "" {
		return fmt.Errorf("trigger: differs from %q only in case or white space: nobody could tell one from the other", like)
	}
	return nil
}

// folded is a trigger without its case and its white space.
func folded(trigger string) string {
	return strings.ToLower(strings.Join(strings.Fields(trigger), ""))
}
