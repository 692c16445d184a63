package flow

import (
	"errors"
	"fmt"
)

// Import adds an agreement of a file as a draft, unless a version has its content that is in force, in review or a draft: written is
// false then, and the entry is that version. An error that is ErrExists says that a version has its name and another content, or that
// its content was retired.
func Import(all []Entry, a Agreement, c Change) (e Entry, written bool, err error) {
	var retired bool
	for _, there := range all {
		if there.Trigger != a.Trigger || len(Compare(there.Agreement, a)) > 0 {
			continue
		}
		if there.State == StateRetired {
			retired = true
			continue
		}
		if e.State == "" || there.InForce() || !e.InForce() && there.Revision > e.Revision {
			e = there
		}
	}
	if e.State != "" {
		return e, false, nil
	}
	drafts, err := Write(all, a, c)
	switch {
	case errors.Is(err, ErrExists) && retired:
		return e, false, fmt.Errorf("%w: to bring its content back, give it a version of its own", err)
	case errors.Is(err, ErrExists):
		return e, false, fmt.Errorf("%w, and has another content: give it another version, or leave version out", err)
	case err != nil:
		return e, false, err
	}
	return drafts[0], true, nil
}
