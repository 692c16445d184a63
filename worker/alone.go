package worker

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"

	"flowgate/messages"
	"flowgate/pipelines"
	"flowgate/pipelines/ai"
)

// Inflight notes which message is handled alone, where the next process finds it after a crash of this one.
type Inflight interface {
	// Exits is how many processes ended without warning while they handled the message alone.
	Exits(stream string, seq uint64) int
	// Note says that a message is handled from now on, and nothing beside it; done takes that back. gone: it will not be
	// delivered again, and is no suspect any more.
	Note(stream string, seq uint64) (done func(gone bool), err error)
}

// solitude lets messages be handled one at a time: after an unclean exit all of them for a while, later those alone with
// which processes ended before.
type solitude struct {
	inflight Inflight
	until    time.Time
	turn     chan struct{}
}

// careful is for how long messages are handled one at a time after an unclean exit: what the last process had in hand is
// delivered again within AckWait.
func careful(ackWait time.Duration) time.Duration { return ackWait + max(ackWait/2, time.Second) }

// begin starts the time after an unclean exit.
func (s *solitude) begin(now time.Time, unclean bool, ackWait time.Duration) {
	s.turn = make(chan struct{}, 1)
	if unclean && s.inflight != nil {
		s.until = now.Add(careful(ackWait))
	}
}

func (s *solitude) exits(d *Delivery) int {
	if s.inflight == nil {
		return 0
	}
	return s.inflight.Exits(d.stream(), d.Seq)
}

// wanted tells whether a micro-batch must be handled one by one.
func (s *solitude) wanted(now time.Time, batch []*Delivery) bool {
	if s.inflight == nil {
		return false
	}
	if now.Before(s.until) {
		return true
	}
	for _, d := range batch {
		if s.exits(d) > 0 {
			return true
		}
	}
	return false
}

// enter waits until a message may be handled alone and notes it; leave MUST be called. What is no suspect waits no longer than
// the time after an unclean exit. False: ctx ended.
func (s *solitude) enter(ctx context.Context, now time.Time, d *Delivery) (leave func(), entered bool, err error) {
	var over <-chan time.Time
	if s.exits(d) == 0 {
		timer := time.NewTimer(s.until.Sub(now))
		defer timer.Stop()
		over = timer.C
	}
	select {
	case s.turn <- struct{}{}:
	case <-over:
		return func() {}, true, nil
	case <-ctx.Done():
		return nil, false, nil
	}
	done, err := s.inflight.Note(d.stream(), d.Seq)
	return func() {
		done(d.acked.Load())
		<-s.turn
	}, true, err
}

// stream is where a delivery comes from.
func (d *Delivery) stream() string {
	if d.State == "" {
		return IngressStream
	}
	return WorkStream(d.P)
}

// oneByOne handles each delivery of a micro-batch alone.
func (r *Runtime) oneByOne(ctx context.Context, q Queue, batch []*Delivery) {
	for _, d := range batch {
		leave, entered, err := r.alone.enter(ctx, r.now(), d)
		if !entered {
			r.settle(d, answerPark, 0)
			r.tellBack(q, d)
			continue
		}
		if err != nil {
			r.log.Warn("noting a message", d.about(), zap.Error(err))
		}
		r.together(ctx, q, []*Delivery{d})
		leave()
	}
}

// deadly ends a message with which processes ended as often as a message may panic. One whose end ends processes too waits
// for somebody who mends the code.
func (r *Runtime) deadly(ctx context.Context, q Queue, t *Task) (Verdict, bool) {
	exits := r.alone.exits(t.Delivery)
	if exits < crashes {
		return Verdict{}, false
	}
	detail := fmt.Sprintf("%d processes ended without warning while they handled it", exits)
	r.log.Error("a message ends processes", zap.String("queue", q.Name), t.about(), zap.Int("exits", exits))
	if exits >= 2*crashes {
		return Park(r.now().Add(r.opts.AckWait), fmt.Errorf("%s, and it could not be ended", detail)), true
	}
	if e := t.Envelope; e != nil {
		e.History = append(e.History, messages.Attempt{
			K: ai.NextAttempt(e.History), Layer: q.Layer.Name(), StartedAt: t.Started, Class: classCrash, Detail: detail,
			Billing: messages.BillingNone, Worker: r.opts.Worker,
		})
	}
	return r.endGuarded(ctx, q, t, pipelines.Fail(messages.ReasonCrash, detail)), true
}
