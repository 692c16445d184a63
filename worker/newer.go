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

// tooNew tells whether a newer version wrote the message a short while ago: during an upgrade another worker can read it.
func tooNew(t *Task) bool {
	return messages.Newer(t.Data) && t.Started.Sub(t.Stored) < LongestPark
}

// newerCall tells whether a newer version announced a call here. It may be one for any input: whoever cannot read it
// acknowledges nothing on its account.
func (n *Newest) newerCall() bool {
	return n.State == messages.StateCalling && messages.Newer(n.Data)
}
