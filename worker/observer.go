package worker

import (
	"time"

	"flowgate/messages"
)

// Observer is told what became of deliveries, attempts and dead letters: each once by the process that did it, at the
// moment when it is known. Nothing told is a promise to anybody: a process that dies tells no more.
//
// Its methods are called on the way of requests, by many goroutines at once: they MUST return at once and MUST NOT keep
// what pointers point to.
type Observer interface {
	// Settled: a delivery was answered, or deliberately left to another worker.
	Settled(s Settled)
	// Attempted: an attempt at a backend ended.
	Attempted(a Attempted)
	// Died: a failure that an operator can replay was stored.
	Died(d Died)
}

// SettledAs is what one delivery came to at its layer.
type SettledAs string

// What deliveries come to. A request that ends has its status as the outcome instead.
const (
	// SettledPassed: the next layer has it.
	SettledPassed SettledAs = "passed"
	// SettledWaiting: it waits at layer 1; the reason says for what.
	SettledWaiting SettledAs = "waiting"
	// SettledRetry: it was published again, with a delay.
	SettledRetry SettledAs = "retry"
	// SettledParked: it was handed back, to be delivered again.
	SettledParked SettledAs = "parked"
	// SettledMoved: it asked for nothing, because the request had moved on; or it was a duplicate, or a replay that was
	// refused (the reason says so).
	SettledMoved SettledAs = "moved"
	// SettledLost: somebody else moved the request while it was judged here.
	SettledLost SettledAs = "lost"
	// SettledUnpublished: the broker did not take the next state.
	SettledUnpublished SettledAs = "unpublished"
	// SettledLeft: another worker holds it.
	SettledLeft SettledAs = "left"
)

// AllSettledAs lists all that Settled.Outcome can be.
func AllSettledAs() []SettledAs {
	all := []SettledAs{
		SettledPassed, SettledWaiting, SettledRetry, SettledParked, SettledMoved, SettledLost, SettledUnpublished, SettledLeft,
	}
	for _, s := range messages.Statuses() {
		all = append(all, SettledAs(s))
	}
	return all
}

// Settled is a delivery that was answered.
type Settled struct {
	messages.Key

	// Layer judged it, Queue is the consumer that delivered it.
	Layer messages.LayerName
	Queue string
	Class messages.Class
	// Epoch is 0 where it is not known.
	Epoch   int
	Action  Action
	Outcome SettledAs
	// Reason says why it ended or waits, in the words of results; empty otherwise. For a duplicate or a refused replay it
	// is the kind of the event.
	Reason messages.Reason
	// Next is the state that was published; empty where none was.
	Next messages.State
	// Started is when this worker took it up; Waited how long it had waited until then since it was stored, or since its
	// not_before; Took how long it was worked on.
	Started      time.Time
	Waited, Took time.Duration
	// Left is the time that was left until not_after when the request ended: negative past it. HasLeft is false
	// everywhere else.
	Left    time.Duration
	HasLeft bool
	Trace   Trace
}

// Attempted is an attempt that ended.
type Attempted struct {
	messages.Key

	Class messages.Class
	Epoch int
	// Kind is what the request asks for; empty where it is not known.
	Kind messages.Kind
	// Attempt is as the history has it: its class is empty for the one that answered.
	Attempt messages.Attempt
	// Trace is that of the delivery in whose stay the attempt was made.
	Trace Trace
}

// OK tells whether it brought an answer.
func (a Attempted) OK() bool { return a.Attempt.Class == "" }

// Operation is what OpenTelemetry's conventions call what is asked of a model (gen_ai.operation.name).
func (a Attempted) Operation() string {
	if a.Kind == messages.KindEmbedding {
		return "embeddings"
	}
	return "chat"
}

// Provider is what OpenTelemetry's conventions call a backend's provider (gen_ai.provider.name).
func Provider(backend string) string {
	switch backend {
	case "bedrock":
		return "aws.bedrock"
	case "offline":
		return "flowgate.offline"
	}
	return backend
}

// Died is a dead letter.
type Died struct {
	messages.Key

	Layer  messages.LayerName
	Class  messages.Class
	Epoch  int
	Reason messages.Reason
}

// Observe makes one observer of several, told in order; nil ones are left out, and none at all is nil.
func Observe(observers ...Observer) Observer {
	var all chorus
	for _, o := range observers {
		if o != nil {
			all = append(all, o)
		}
	}
	switch len(all) {
	case 0:
		return nil
	case 1:
		return all[0]
	}
	return all
}

type chorus []Observer

func (c chorus) Settled(s Settled) {
	for _, o := range c {
		o.Settled(s)
	}
}

func (c chorus) Attempted(a Attempted) {
	for _, o := range c {
		o.Attempted(a)
	}
}

func (c chorus) Died(d Died) {
	for _, o := range c {
		o.Died(d)
	}
}

// TellAttempt tells an observer, where there is one, of an attempt of a task.
func TellAttempt(o Observer, t *Task, a messages.Attempt) {
	if o == nil {
		return
	}
	told := Attempted{Key: t.Key, Class: t.Class, Attempt: a, Trace: t.Trace}
	if t.Envelope != nil {
		told.Epoch, told.Kind = t.Envelope.Epoch, t.Envelope.Kind
	}
	o.Attempted(told)
}

// tellBack tells of a delivery that was handed back untouched.
func (r *Runtime) tellBack(q Queue, d *Delivery) {
	if r.opts.Observer != nil {
		r.tell(q, &Task{Delivery: d, Started: r.now(), Trace: follow(d.Header)}, Verdict{Action: ActionPark}, Receipt{})
	}
}

// tell tells the observer what became of a delivery and, where it died, of the dead letter.
func (r *Runtime) tell(q Queue, t *Task, v Verdict, receipt Receipt) {
	if r.opts.Observer == nil {
		return
	}
	s := Settled{
		Key: t.Key, Layer: q.Layer.Name(), Queue: q.Name, Class: t.Class, Epoch: t.Epoch, Action: v.Action, Trace: t.Trace,
		Started: t.Started, Took: max(r.now().Sub(t.Started), 0),
	}
	since := t.Stored
	if e := t.Envelope; e != nil {
		s.Epoch = e.Epoch
		if t.due.After(since) && !t.woken {
			since = t.due
		}
	}
	s.Waited = max(t.Started.Sub(since), 0)
	s.Outcome, s.Reason = outcome(t, v, receipt)
	if v.Action != ActionAdvance || receipt.Fate != FateStored {
		r.opts.Observer.Settled(s)
		return
	}
	s.Next = v.Next.State
	e := v.Next.envelope
	if s.Next != messages.StateDone || e == nil || e.End == nil {
		r.opts.Observer.Settled(s)
		return
	}
	s.Epoch = e.Epoch
	if s.HasLeft = !e.NotAfter.IsZero(); s.HasLeft {
		s.Left = e.NotAfter.Sub(e.End.FinishedAt)
	}
	r.opts.Observer.Settled(s)
	if e.End.Replayable {
		r.opts.Observer.Died(Died{Key: t.Key, Layer: s.Layer, Class: t.Class, Epoch: e.Epoch, Reason: e.End.Reason})
	}
}

// outcome names what a delivery came to.
func outcome(t *Task, v Verdict, receipt Receipt) (SettledAs, messages.Reason) {
	switch v.Action {
	case ActionAdvance:
	case ActionPark, ActionWait, ActionFollow:
		return SettledParked, ""
	case ActionLeave:
		return SettledLeft, ""
	case ActionAck:
		for i := range v.Events {
			if k := v.Events[i].Kind; k == messages.EventDuplicateID || k == messages.EventReplayRefused {
				return SettledMoved, messages.Reason(k)
			}
		}
		return SettledMoved, ""
	}
	switch receipt.Fate {
	case FateMoved:
		return SettledLost, ""
	case FateUnknown:
		return SettledUnpublished, ""
	case FateStored:
	}
	e := v.Next.envelope
	switch {
	case e == nil:
		return SettledPassed, ""
	case v.Next.State == messages.StateDone && e.End != nil:
		return SettledAs(e.End.Status), e.End.Reason
	case v.Next.State == messages.StateHold:
		return SettledWaiting, e.Wait
	case v.Next.State == t.State:
		return SettledRetry, ""
	}
	return SettledPassed, ""
}
