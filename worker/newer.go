package worker

import (
	"errors"
	"time"

	"flowgate/messages"
)

// ErrNewer says that a newer version of flowgate wrote what was read: who does not know that version leaves it to a worker
// that does.
var ErrNewer = errors.New("a newer version wrote it: a worker of that version takes it")

// ParkForNewer hands a delivery back that a worker of a newer version must take: soon at first, since the upgrade may be
// under way this very moment, then ever more seldom.
func ParkForNewer(t *Task) Verdict {
	patience := Delays{Base: 500 * time.Millisecond, Max: 30 * time.Second, Factor: 1.5, Jitter: 0.5}
	times := int(min(t.Times, 64)) //nolint:gosec // it is small
	return Park(t.Started.Add(patience.After(max(times, 1))), ErrNewer)
}

// newerTries is how often a message meets workers that cannot read it before one of them ends it: ParkForNewer spreads so
// many over some five minutes. Its age alone says nothing: it may have waited in a long queue, and meet its first worker now.
const newerTries = 18

// tooNew tells whether a newer version wrote the message, and another worker may still come that can read it.
func tooNew(t *Task) bool {
	return messages.Newer(t.Data) && (t.Started.Sub(t.Stored) < LongestPark || t.Times < newerTries)
}

// newerCall tells whether a newer version announced a call here. It may be one for any input: whoever cannot read it
// acknowledges nothing on its account.
func (n *Newest) newerCall() bool {
	return n.State == messages.StateCalling && messages.Newer(n.Data)
}
