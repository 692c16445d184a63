package worker

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"flowgate/messages"
)

// Delivery is one message as a consumer handed it over. Its identity comes from the subject alone.
type Delivery struct {
	messages.Address

	Subject string
	// SubjectErr is set where the subject breaks the grammar; Address then holds safe names.
	SubjectErr error
	// Seq is the stream sequence, Times counts deliveries from 1.
	Seq   uint64
	Times uint64
	// Stored is when the stream stored the message.
	Stored time.Time
	Header nats.Header
	Data   []byte

	// pending is how many messages the consumer had not delivered yet.
	pending uint64

	msg   jetstream.Msg // nil for a delivery that nobody has to answer
	woken bool          // its wait is over, whatever its not_before says
	// renewed is set on a woken one whose publication lost to the same wait, published again.
	renewed bool
	// answered is set when the queue was told; no heartbeat follows.
	answered atomic.Bool
	// acked is set when it was acknowledged: it is never delivered again.
	acked atomic.Bool
}

func newDelivery(msg jetstream.Msg) (*Delivery, error) {
	meta, err := msg.Metadata()
	if err != nil {
		return nil, fmt.Errorf("reading metadata of a delivery: %w", err)
	}
	d := &Delivery{
		Subject: msg.Subject(), Seq: meta.Sequence.Stream, Times: meta.NumDelivered, Stored: meta.Timestamp,
		Header: msg.Headers(), Data: msg.Data(), msg: msg, pending: meta.NumPending,
	}
	d.Address, d.SubjectErr = messages.ParseSubject(d.Subject)
	d.Key = messages.SafeKey(d.Key)
	return d, nil
}

// more tells whether the queue may have more: what was never delivered is counted, of what is delivered again there is
// seldom one alone.
func (d *Delivery) more() bool { return d.pending > 0 || d.Times > 1 }

// Task is a delivery that a layer has to judge, with what the runtime found out about it.
type Task struct {
	*Delivery

	// Envelope is nil for requests and replays of the ingress stream.
	Envelope *messages.Envelope
	// Expect is S of the law: the sequence of the state that is acted on.
	Expect uint64
	// Doubt is set on a take-over: the call that another worker had announced for this very input and never ended. Its
	// attempt is in the envelope's history, in doubt.
	Doubt *messages.Calling
	// Open is the call that is announced and has neither answer nor fault in the envelope's history yet.
	Open *messages.Attempt
	// Started is when this worker took the task up.
	Started time.Time
	// Trace is the trace that the request travels in; what is published from this task goes on with it.
	Trace Trace

	due time.Time // its not_before as it came
	// doubt is the attempt of Doubt, as the history has it.
	doubt messages.Attempt
}

// Action is what becomes of a delivery.
type Action int

// The actions. Exactly one is right for every delivery.
const (
	// ActionAdvance publishes Verdict.Next and acknowledges.
	ActionAdvance Action = iota
	// ActionAck acknowledges: the request moved on, or the message asks for nothing.
	ActionAck
	// ActionPark hands the delivery back until Verdict.Until.
	ActionPark
	// ActionWait hands the delivery back while something is paused that it needs; the runtime says until when.
	ActionWait
	// ActionFollow keeps the delivery in hand, without a slot, until Verdict.Told closes or until Verdict.Until; then it is handed back.
	ActionFollow
	// ActionLeave answers nothing: another worker holds the input.
	ActionLeave
)

// Verdict is what a layer wants done with a task.
type Verdict struct {
	Action Action
	Next   *Publication
	Until  time.Time
	// Told is what a delivery that follows waits for.
	Told <-chan struct{}
	// Events are published, and their acks awaited, before the delivery is answered.
	Events []messages.Event
	// Spent are attempts made here; they are reported where the publication loses.
	Spent []messages.Attempt
	// Err says what went wrong in our own infrastructure, for the log.
	Err error
}

// Park hands back until then.
func Park(until time.Time, err error) Verdict {
	return Verdict{Action: ActionPark, Until: until, Err: err}
}
