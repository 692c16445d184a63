package flow

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"flowgate/messages"
)

// State is where a version of an agreement stands. A version that has expired is an approved one whose time is over: the clock says it,
// nobody writes it.
type State string

// The states. Of an agreement's versions at most one is approved or suspended: the version in force.
const (
	// StateDraft is being written, StateReview waits for its approval.
	StateDraft  State = "draft"
	StateReview State = "review"
	// StateApproved lets requests run, StateSuspended denies them until it is resumed.
	StateApproved  State = "approved"
	StateSuspended State = "suspended"
	// StateRetired was in force once, or was withdrawn.
	StateRetired State = "retired"
	// StateExpired is how an approved version is shown whose valid_until has passed.
	StateExpired State = "expired"
)

// Act is what somebody does with a version.
type Act string

// The acts. ActSeed puts an agreement of the deployment's own file in force, ActSupersede retires a version for a newer one.
const (
	ActWrite     Act = "write"
	ActSubmit    Act = "submit"
	ActReturn    Act = "return"
	ActApprove   Act = "approve"
	ActSuspend   Act = "suspend"
	ActResume    Act = "resume"
	ActRetire    Act = "retire"
	ActSeed      Act = "seed"
	ActSupersede Act = "supersede"
)

// Errors of acts.
var (
	// ErrState says that a version is not where the act begins.
	ErrState = errors.New("the version is not in a state for that")
	// ErrOwnApproval says that whoever wrote or submitted a version may not approve it.
	ErrOwnApproval = errors.New("an agreement is approved by another person than its author")
)

// Change is one act: who did it, when and why.
type Change struct {
	Act    Act       `json:"act"`
	By     string    `json:"by"`
	Reason string    `json:"reason"`
	At     time.Time `json:"at"`
}

// Entry is a version of an agreement and where it stands.
type Entry struct {
	Agreement

	State State `json:"state"`
	// Author wrote the version, Submitter asked for its approval.
	Author    string `json:"author,omitempty"`
	Submitter string `json:"submitter,omitempty"`
	// Last is what was done with it last; Revision goes up with every act on any agreement.
	Last     Change `json:"last"`
	Revision int64  `json:"revision,omitempty"`
}

// moves has what each act does.
var moves = map[Act]struct { //nolint:gochecknoglobals // a table, never written
	from []State
	to   State
	// word says what whoever may not act can do.
	word string
}{
	ActWrite:     {nil, StateDraft, ""},
	ActSeed:      {nil, StateApproved, ""},
	ActSubmit:    {[]State{StateDraft}, StateReview, "only a draft is submitted"},
	ActReturn:    {[]State{StateReview}, StateDraft, "only what is in review is returned to its author"},
	ActApprove:   {[]State{StateReview}, StateApproved, "only what is in review is approved: submit it first"},
	ActSuspend:   {[]State{StateApproved}, StateSuspended, "only an approved version is suspended"},
	ActResume:    {[]State{StateSuspended}, StateApproved, "only a suspended version is resumed"},
	ActRetire:    {[]State{StateDraft, StateReview, StateApproved, StateSuspended}, StateRetired, "it is retired already"},
	ActSupersede: {[]State{StateApproved, StateSuspended}, StateRetired, "only the version in force is superseded"},
}

// Move does an act with a version, by the rules of its life. The entry stays as it was where the error is not nil.
func (e Entry) Move(c Change) (Entry, error) {
	m, known := moves[c.Act]
	switch {
	case !known:
		return e, fmt.Errorf("%.40q is no act on an agreement", string(c.Act))
	case strings.TrimSpace(c.By) == "":
		return e, errors.New("by: is required: say who does it")
	case strings.TrimSpace(c.Reason) == "":
		return e, errors.New("reason: is required: say why")
	case m.from == nil && e.State != "", m.from != nil && !slices.Contains(m.from, e.State):
		return e, fmt.Errorf("%w: %s %s is %s; %s", ErrState, e.Trigger, e.Version, e.standing(), m.word)
	case c.Act == ActApprove && (same(c.By, e.Author) || same(c.By, e.Submitter)):
		return e, fmt.Errorf("%w: %s wrote or submitted %s %s", ErrOwnApproval, c.By, e.Trigger, e.Version)
	case c.Act == ActApprove && !e.ValidUntil.IsZero() && !c.At.Before(e.ValidUntil):
		return e, fmt.Errorf("%w: %s %s was valid until %s; write a version with a later valid_until", ErrState, e.Trigger, e.Version, e.ValidUntil.UTC().Format(time.RFC3339))
	}
	switch c.Act {
	case ActWrite, ActSeed:
		e.Author = c.By
	case ActSubmit:
		e.Submitter = c.By
	case ActApprove:
		e.Approver = c.By
	case ActReturn:
		e.Submitter = ""
	case ActSuspend, ActResume, ActRetire, ActSupersede:
	}
	e.State, e.Last = m.to, c
	return e, nil
}

// Unverified follows the name of somebody whom nobody looked up in the directory of people.
const Unverified = " (unverified)"

// same tells whether two names are one person's, whatever their letters' case, and whether they were looked up.
func same(a, b string) bool {
	bare := func(name string) string {
		for {
			shorter := strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(name), strings.TrimSpace(Unverified)))
			if shorter == name {
				return name
			}
			name = shorter
		}
	}
	return strings.EqualFold(bare(a), bare(b))
}

func (e Entry) standing() string {
	if e.State == "" {
		return "not written yet"
	}
	return string(e.State)
}

// InForce tells whether the version is the one that decides about requests.
func (e Entry) InForce() bool { return e.State == StateApproved || e.State == StateSuspended }

// StateAt is the state at a moment: an approved version whose time is over has expired.
func (e Entry) StateAt(now time.Time) State {
	if e.State == StateApproved && e.Check(now) == messages.ReasonAgreementExpired {
		return StateExpired
	}
	return e.State
}

// Ref names the version in records, as of its last change.
func (e Entry) Ref() messages.AgreementRef {
	ref := e.Agreement.Ref()
	ref.Revision = e.Revision
	return ref
}

// isFor tells whether requests of a tenant may run under it.
func (e Entry) isFor(tenant string) bool {
	return len(e.Tenants) == 0 || slices.Contains(e.Tenants, tenant)
}

// Refuses tells why a request of a tenant may not run under the version at a moment; empty where it may.
func (e Entry) Refuses(tenant string, now time.Time) messages.Reason {
	switch {
	case e.State == StateSuspended:
		return messages.ReasonAgreementSuspended
	case e.State != StateApproved:
		return messages.ReasonAgreementNotApproved
	case !e.isFor(tenant):
		return messages.ReasonAgreementNotAllowed
	}
	return e.Check(now)
}
