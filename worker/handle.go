package worker

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"flowgate/messages"
	"flowgate/pipelines"
	"flowgate/pipelines/ai"
)

// process handles a micro-batch, whole or, after a crash, one by one. It is heartbeated meanwhile.
func (r *Runtime) process(ctx context.Context, q Queue, batch []*Delivery) {
	release := r.held.hold(batch)
	defer release()
	if r.alone.wanted(r.now(), batch) {
		r.oneByOne(ctx, q, batch)
		return
	}
	r.together(ctx, q, batch)
}

// together is a micro-batch's life: screened, judged, published, answered. A panic behind the layers leaves the batch
// unanswered: it is delivered again.
func (r *Runtime) together(ctx context.Context, q Queue, batch []*Delivery) {
	defer func() {
		if p := recover(); p != nil {
			r.log.Error("panic outside of the layers", zap.String("queue", q.Name), zap.String("where", place(p)))
		}
	}()
	answering, stop := lingering(ctx, linger)
	defer stop()
	tasks := make([]*Task, 0, len(batch))
	seen := make(map[messages.Key]bool, len(batch))
	for _, d := range batch {
		t := &Task{Delivery: d, Started: r.now(), Trace: follow(d.Header)}
		if seen[d.Key] { // a second message of one family waits for the next micro-batch
			r.settle(d, answerPark, time.Millisecond)
			r.tellBack(q, d)
			continue
		}
		if v, judged := r.screened(ctx, q, t); judged {
			r.carryOut(answering, q, []*Task{t}, []Verdict{v})
			continue
		}
		r.opts.Probe.At(StepScreened, d.queue(), d.Key)
		seen[d.Key] = true
		tasks = append(tasks, t)
	}
	if len(tasks) == 0 {
		return
	}
	r.carryOut(answering, q, tasks, r.waitWhere(tasks, r.judge(ctx, q, tasks)))
}

// linger is how long answers may still go out when work was cancelled: a verdict reached is worth publishing.
const linger = 2 * time.Second

// lingering is a context that ends d after its parent.
func lingering(parent context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(parent))
	var timer *time.Timer
	var mu sync.Mutex
	stop := context.AfterFunc(parent, func() {
		mu.Lock()
		defer mu.Unlock()
		timer = time.AfterFunc(d, cancel)
	})
	return ctx, func() {
		stop()
		mu.Lock()
		if timer != nil {
			timer.Stop()
		}
		mu.Unlock()
		cancel()
	}
}

// carryOut publishes what verdicts want published and answers every delivery.
func (r *Runtime) carryOut(ctx context.Context, q Queue, tasks []*Task, verdicts []Verdict) {
	var pubs []*Publication
	index := make([]int, len(tasks))
	for i, v := range verdicts {
		index[i] = -1
		if v.Action == ActionAdvance {
			r.opts.Probe.At(StepDecided, tasks[i].queue(), tasks[i].Key)
			index[i] = len(pubs)
			pubs = append(pubs, v.Next)
		}
	}
	r.tellTrouble(tasks, verdicts)
	receipts := r.hop.Publish(ctx, pubs)
	for i, t := range tasks {
		var receipt Receipt
		if index[i] >= 0 {
			if receipt = receipts[index[i]]; TooLarge(receipt.Err) {
				verdicts[i], receipt = r.endTooLarge(ctx, q, t, verdicts[i])
			}
			r.opts.Probe.At(StepPublished, t.queue(), t.Key)
		}
		r.conclude(ctx, q, t, verdicts[i], receipt)
	}
}

// screen decides what needs no layer: what moved on meanwhile, what waits, what is past its time, what cannot be read.
func (r *Runtime) screen(ctx context.Context, q Queue, t *Task) (v Verdict, judged bool) {
	if v, judged = r.silent(t); judged {
		return v, true
	}
	if t.State == "" { // requests and replays: layer 1 asks the ledger
		if v, judged = r.deadly(ctx, q, t); judged {
			return v, true
		}
		return r.pausedIngress(q, t)
	}
	t.Expect = t.Seq
	envelope, err := messages.DecodeEnvelope(t.Data)
	if t.SubjectErr != nil {
		err = t.SubjectErr
	}
	if err != nil && tooNew(t) {
		return ParkForNewer(t), true
	}
	if err != nil {
		return r.unreadable(t, q, err), true
	}
	t.Envelope, t.due = envelope, envelope.NotBefore
	if v, judged = r.pausedYoung(q, t); judged {
		return v, true
	}
	if v, judged = r.standing(ctx, t); judged {
		return v, true
	}
	if v, judged = r.afterPurge(ctx, t); judged { // before anything is published: with this state expected nobody asks again
		return v, true
	}
	if v, judged = r.deadly(ctx, q, t); judged {
		return v, true
	}
	switch refused := r.ending(t); {
	case refused == nil:
	case t.State != messages.StateHold:
		return q.Layer.End(ctx, t, refused), true
	default: // layer 1 decides it once more, and finds the same
		return Verdict{}, false
	}
	if v, judged = r.pausedOld(q, t); judged {
		return v, true
	}
	return r.parked(t)
}

// standing asks, on every delivery that is not the first, whether the message is still the newest state of its request.
func (r *Runtime) standing(ctx context.Context, t *Task) (Verdict, bool) {
	if t.Times <= 1 {
		return Verdict{}, false
	}
	newest, found, err := r.opts.Leader.Newest(ctx, t.P, t.Key)
	switch {
	case err != nil:
		return Park(r.now().Add(lag), err), true
	case !found, newest.Seq < t.Seq:
		return r.missing(ctx, t), true
	case newest.Seq == t.Seq:
		return Verdict{}, false
	case newest.newerCall():
		return ParkForNewer(t), true
	}
	if call := callingFor(newest, t.Seq); call != nil {
		return r.takeOver(t, newest, call)
	}
	return Verdict{Action: ActionAck}, true
}

// missing judges a message that its own stream does not show. Either it is purged, and the request went on long ago; or whoever
// answered lags: a leader that was just elected has not stored yet all that was acknowledged. Then it is looked at again.
func (r *Runtime) missing(ctx context.Context, t *Task) Verdict {
	bounds, err := r.opts.Leader.Bounds(ctx, WorkStream(t.P))
	if err == nil && bounds.First > t.Seq {
		return Verdict{Action: ActionAck}
	}
	return Park(r.now().Add(lag), err)
}

// takeOver goes on from another worker's call for this very input, once it must be believed dead: its heartbeats were silent
// for AckWait, or it is an earlier process of this folder. Its attempt is in doubt, at its bound.
func (r *Runtime) takeOver(t *Task, newest *Newest, call *messages.Calling) (Verdict, bool) {
	switch {
	case r.opts.Earlier(call.Worker):
	case call.Worker == r.opts.Worker && r.held.has(t.Delivery):
		return Verdict{Action: ActionLeave}, true // it is alive: it is me
	case t.Started.Sub(newest.Time) < r.opts.AckWait/2: // a delivery was handed back; nobody can have been silent for so long
		return Park(t.Started.Add(r.opts.AckWait), nil), true
	}
	t.Expect, t.Doubt = newest.Seq, call
	fault := &ai.Fault{Class: ai.ClassInDoubt, Detail: "taken over from " + call.Worker}
	t.doubt = ai.Failed(call.Attempt, fault, t.Started)
	t.Envelope.History = ai.Append(call.History, t.doubt)
	return Verdict{}, false
}

// LongestPark is how long a message waits at most: then it is published again, so that the floor of the stream moves. It is
// the default of Options.LongestPark.
const LongestPark = 5 * time.Minute

// parked hands back what must not be touched before its time.
func (r *Runtime) parked(t *Task) (Verdict, bool) {
	until := t.Envelope.NotBefore
	if t.woken || !until.After(t.Started) || t.Envelope.Wait == messages.ReasonPaused { // the pause is over
		return Verdict{}, false
	}
	if end := t.Envelope.NotAfter.Add(time.Millisecond); !t.Envelope.NotAfter.IsZero() && until.After(end) {
		until = end // it ends then, as timeout
	}
	if t.Started.Sub(t.Stored) < r.opts.LongestPark {
		return Park(r.noLater(t, until), nil), true
	}
	t.Envelope.N++
	v, err := t.advance(t.State)
	if err != nil {
		return Park(r.now().Add(lag), err), true
	}
	return v, true
}

// noLater bounds how long a task is parked: at LongestPark it is published again.
func (r *Runtime) noLater(t *Task, until time.Time) time.Time {
	if latest := t.Stored.Add(r.opts.LongestPark); until.After(latest) {
		return latest
	}
	return until
}

// afterPurge catches a writer that slept through a purge: it published with no state expected although the states that
// would have refused it were gone. Layer 1 looks at the admission again.
func (r *Runtime) afterPurge(ctx context.Context, t *Task) (Verdict, bool) {
	if t.State == messages.StateHold || t.Doubt != nil {
		return Verdict{}, false // layer 1 asks the admission's row; whoever called had asked here
	}
	slept, err := mayHaveSlept(t.Envelope, t.Header, t.Seq, func() (uint64, error) { return r.fresh.after(ctx, WorkStream(t.P)) })
	if err != nil {
		return Park(r.now().Add(lag), err), true
	}
	if !slept {
		return Verdict{}, false
	}
	t.Envelope.Wait = messages.ReasonBaseTooOld
	t.Envelope.Slept = &messages.Slept{Seq: t.Seq, State: t.State}
	v, err := t.advance(messages.StateHold)
	if err != nil {
		return Park(r.now().Add(lag), err), true
	}
	return v, true
}

// mayHaveSlept tells of a state whether what would have refused it was purged before it was published: it expected no state,
// and its base lies before the stream's first sequence.
func mayHaveSlept(e *messages.Envelope, header nats.Header, seq uint64, first func() (uint64, error)) (bool, error) {
	none := e.Base == 0 && header.Get(jetstream.ExpectedLastSubjSeqHeader) != "0" // else the stream was empty when it was read
	if none || e.Base+1 == seq {
		return false, nil
	}
	begins, err := first()
	return err == nil && e.Base+1 < begins, err
}

// unreadable ends what is in the WORK stream and is no envelope.
func (r *Runtime) unreadable(t *Task, q Queue, cause error) Verdict {
	t.Envelope = messages.UnreadableEnvelope(t.Address, t.Stored, t.Data)
	t.Envelope.Malformed = messages.NewMalformed(t.Subject, t.Data)
	return r.end(t, q.Layer.Name(), pipelines.Invalid(cause))
}

// end publishes done.
func (r *Runtime) end(t *Task, layer messages.LayerName, refused *pipelines.Refusal) Verdict {
	pipelines.End(t.Envelope, layer, refused, r.now())
	v, err := t.advance(messages.StateDone)
	if err != nil {
		return Park(r.now().Add(lag), err)
	}
	return v
}

// advance is the verdict that publishes the task's envelope as the given state.
func (t *Task) advance(s messages.State) (Verdict, error) {
	s = t.Envelope.PublishedAs(s, t.Expect)
	data, err := messages.EncodeEnvelope(t.Envelope)
	if err != nil {
		return Verdict{}, err
	}
	return Verdict{Action: ActionAdvance, Next: t.Publication(s, t.Envelope, data)}, nil
}

// Publication is the next state of the task's request, with the task's S and what a wake-up tells.
func (t *Task) Publication(s messages.State, e *messages.Envelope, data []byte) *Publication {
	p := &Publication{Address: t.Address, Data: data, Expect: t.Expect, Trace: t.Trace, envelope: e}
	p.State = s
	if s == messages.StateDone && e != nil && e.End != nil {
		p.Header = map[string][]string{
			messages.HeaderStatus: {string(e.End.Status)}, messages.HeaderReason: {string(e.End.Reason)},
			messages.HeaderEpoch: {fmt.Sprint(e.Epoch)},
		}
	}
	return p
}

func (d *Delivery) queue() string {
	if d.State == "" {
		return "ingress"
	}
	return string(d.State)
}
