package worker

import (
	"strconv"
	"strings"
	"time"

	"flowgate/messages"
	"flowgate/pipelines"
)

// Cancellation is an operator's word that an epoch of a request must end, or every request of a batch, those that are
// submitted later too. Whoever hears of it lets the request go no further.
type Cancellation struct {
	// Key names the request; with Batch its ID is the batch's.
	messages.Key

	Epoch int  `json:"epoch"`
	Batch bool `json:"batch,omitempty"`
	// Reason and By stand in the record of every request that it ends.
	Reason string `json:"reason,omitempty"`
	By     string `json:"by,omitempty"`
	// At is when it was said. Of a batch, replays that were asked for later go on.
	At time.Time `json:"at"`
	// Expires is when it is forgotten: the deadline of everything that it is about has passed by then.
	Expires time.Time `json:"expires"`
	// Version is the bucket's revision of the entry.
	Version uint64 `json:"version"`
}

// Refusal ends a request.
func (c Cancellation) Refusal() *pipelines.Refusal {
	var said []string
	if c.Batch {
		said = append(said, "with the batch "+c.ID)
	}
	if c.By != "" {
		said = append(said, "by "+c.By)
	}
	detail := strings.Join(said, " ")
	switch {
	case detail == "":
		detail = c.Reason
	case c.Reason != "":
		detail += ": " + c.Reason
	}
	return pipelines.Cancelled(detail)
}

// Covers tells whether a word about a batch is about an epoch of one of its requests: about every first epoch, and about the
// replays that were asked for before.
func (c Cancellation) Covers(epoch int, submitted time.Time) bool {
	return epoch == 0 || !submitted.After(c.At)
}

// BatchOf is the batch that a request's id says it is of; false: its id is not of that form.
func BatchOf(id string) (batch string, ok bool) {
	at := strings.LastIndexByte(id, '-')
	if at < 1 {
		return "", false
	}
	n, err := strconv.Atoi(id[at+1:])
	return id[:at], err == nil && n >= 1
}

// CancelGrace is for how long after a deadline a cancellation is kept: clocks differ, and what waited may be looked at late.
const CancelGrace = time.Hour

// cancelled is the refusal of a task whose request an operator cancelled; nil: nobody did. Layer 1 asks for itself: it has an
// admission to write.
func (r *Runtime) cancelled(t *Task) *pipelines.Refusal {
	if r.opts.Control == nil {
		return nil
	}
	epoch, submitted := t.Epoch, t.Stored
	if t.Envelope != nil {
		epoch, submitted = t.Envelope.Epoch, t.Envelope.SubmittedAt
	}
	if c, said := r.opts.Control.Cancelled(t.Key, epoch, submitted); said {
		return c.Refusal()
	}
	return nil
}

// ending is why a task must not wait any longer: it is past its time, or cancelled; nil: nothing.
func (r *Runtime) ending(t *Task) *pipelines.Refusal {
	if refused := r.cancelled(t); refused != nil {
		return refused
	}
	return pipelines.Expired(t.Envelope, t.Started)
}
