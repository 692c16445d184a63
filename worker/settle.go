package worker

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"flowgate/messages"
)

// answer is what the queue is told about a delivery.
type answer int

const (
	answerAck   answer = iota // it is done with
	answerPark                // deliver it again later
	answerLeave               // nothing: it stays unacknowledged
)

// settle answers the queue: the only place that does. Acks are not confirmed: a lost one is a redelivery, which reads the
// newest state and is acknowledged again.
func (r *Runtime) settle(d *Delivery, a answer, delay time.Duration) {
	if d.msg == nil {
		return
	}
	if a == answerPark && !r.opts.Conn.IsConnected() {
		a = answerLeave // said later, it would hand back what another worker has by then
	}
	d.answered.Store(true)
	var err error
	switch a {
	case answerAck:
		d.acked.Store(true)
		err = d.msg.Ack()
	case answerPark:
		err = d.msg.NakWithDelay(max(delay, time.Millisecond))
	case answerLeave:
	}
	if err != nil && !errors.Is(err, jetstream.ErrMsgAlreadyAckd) {
		r.log.Warn("answering a delivery", d.about(), zap.Uint64("seq", d.Seq), zap.Error(err))
	}
	r.opts.Probe.At(StepAnswered, d.queue(), d.Key)
}

// beat tells the queue that a delivery is still worked on, as a request, so that an unheard beat is known.
func (r *Runtime) beat(ctx context.Context, d *Delivery) error {
	ctx, cancel := context.WithTimeout(ctx, r.opts.AckWait/3)
	defer cancel()
	_, err := r.opts.Conn.RequestWithContext(ctx, d.msg.Reply(), []byte("+WPI"))
	return err
}

// report publishes events and awaits their acks.
func (r *Runtime) report(ctx context.Context, events []messages.Event) error {
	for i := range events {
		e := events[i]
		e.V, e.Worker, e.At = messages.Version, r.opts.Worker, r.now()
		if e.Kind == messages.EventOverBound && e.Attempt != nil {
			r.log.Error("an attempt cost more than its bound, on which limits on money rely: check the prices", LogRequest(e.Key, e.Epoch),
				zap.Int64("cost_microusd", e.Attempt.CostMicroUSD), zap.Int64("bound_microusd", e.Attempt.BoundMicroUSD))
		}
		data, err := json.Marshal(&e)
		if err != nil {
			return err
		}
		if err := r.hop.PublishEvent(ctx, data, messages.EventSubject(e.Tenant, e.Kind)); err != nil {
			return err
		}
	}
	return nil
}

// conclude carries a verdict out whose publication, if it has one, met its fate.
func (r *Runtime) conclude(ctx context.Context, q Queue, t *Task, v Verdict, receipt Receipt) {
	events, a, delay := v.Events, answerAck, time.Duration(0)
	switch v.Action {
	case ActionAdvance:
		var lost bool
		a, delay, lost = r.afterPublication(t, receipt)
		if lost {
			events = append(events, spent(t, v.Spent)...)
		}
	case ActionAck:
		events = append(events, spent(t, v.Spent)...)
	case ActionPark, ActionWait: // of waiting the runtime made parking
		a, delay = answerPark, v.Until.Sub(r.now())
		events = append(events, spent(t, v.Spent)...)
	case ActionFollow:
		r.follow(t.Delivery, v.Told, v.Until)
		r.tell(q, t, v, receipt)
		return
	case ActionLeave:
		a = answerLeave
		events = append(events, spent(t, v.Spent)...)
	}
	if err := r.report(ctx, events); err != nil {
		r.log.Warn("reporting events", t.about(), zap.Error(err))
		a = answerLeave // redelivered: reported then
	}
	r.opts.Probe.At(StepReported, t.queue(), t.Key)
	if t.Doubt != nil && v.Action == ActionAdvance && receipt.Fate == FateStored {
		TellAttempt(r.opts.Observer, t, t.doubt) // whoever made it tells no more; before this it may be taken over again
	}
	r.settle(t.Delivery, a, delay)
	r.tell(q, t, v, receipt)
}

// tellTrouble logs why deliveries are handed back: once a reason, for a database that is away concerns the whole batch.
func (r *Runtime) tellTrouble(tasks []*Task, verdicts []Verdict) {
	first, count := make(map[string]*Task), make(map[string]int)
	for i, v := range verdicts {
		if v.Err == nil {
			continue
		}
		why := v.Err.Error()
		if first[why] == nil {
			first[why] = tasks[i]
		}
		count[why]++
	}
	for why, t := range first {
		r.log.Warn("handing deliveries back", zap.String("queue", t.queue()), t.about(),
			zap.Int("deliveries", count[why]), zap.String("error", why))
	}
}

// afterPublication is the law's rule of acknowledging.
func (r *Runtime) afterPublication(t *Task, receipt Receipt) (a answer, delay time.Duration, lost bool) {
	switch receipt.Fate {
	case FateStored:
		return answerAck, 0, false
	case FateMoved:
		return r.afterLoss(t, receipt.Newest)
	case FateUnknown:
	}
	r.log.Warn("publishing", zap.String("queue", t.queue()), t.about(), zap.Error(receipt.Err))
	return answerPark, lag, true
}

// afterLoss: somebody else moved the request, or the state that was expected is gone.
func (r *Runtime) afterLoss(t *Task, n *Newest) (answer, time.Duration, bool) {
	switch {
	case n == nil:
		return answerPark, lag, true // a proposal of somebody's that did not survive: the redelivery finds out
	case t.State == "":
		if epoch, err := messages.EpochOf(n.Data); err != nil || epoch < t.Epoch {
			return answerPark, lag, true // a late writer of a lower epoch: this one is decided once more
		}
	case n.newerCall(), callingFor(n, t.Seq) != nil:
		return r.holdOff(t, n, true)
	case n.State == messages.StateHold && n.Seq != t.Seq:
		t.renewed = t.woken
	case n.Seq == t.Seq: // nobody moved it: a call announced here was lost with a replica
		return answerPark, lag, true
	}
	return answerAck, 0, true
}

// holdOff: the newest state is another worker's call for this very input. It must not be acknowledged.
func (r *Runtime) holdOff(t *Task, n *Newest, lost bool) (answer, time.Duration, bool) {
	if t.Times <= 1 {
		return answerPark, r.opts.AckWait, lost
	}
	return answerLeave, 0, lost
}

// callingFor decodes a newest state that is calling for the given input, else nil.
func callingFor(n *Newest, input uint64) *messages.Calling {
	if n.State != messages.StateCalling {
		return nil
	}
	c, err := messages.DecodeCalling(n.Data)
	if err != nil || c.InputSeq != input {
		return nil
	}
	return &c
}

func spent(t *Task, attempts []messages.Attempt) []messages.Event {
	epoch := 0
	if t.Envelope != nil {
		epoch = t.Envelope.Epoch
	}
	var events []messages.Event
	for i := range attempts {
		if attempts[i].BoundMicroUSD == 0 && attempts[i].CostMicroUSD == 0 {
			continue
		}
		events = append(events, messages.Event{Kind: messages.EventAttemptEnd, Key: t.Key, Epoch: epoch, Attempt: &attempts[i]})
	}
	return events
}
