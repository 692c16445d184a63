package handlers_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"flowgate/messages"
	"flowgate/pipelines"
	"flowgate/worker"
)

// words is a control plane that knows what was cancelled.
type words struct {
	paused

	mu      sync.Mutex
	cancels map[messages.Key]worker.Cancellation
}

func (w *words) Cancelled(key messages.Key, _ int, _ time.Time) (worker.Cancellation, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c, said := w.cancels[key]
	return c, said
}

func (w *words) say(key messages.Key) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cancels = map[messages.Key]worker.Cancellation{key: {Key: key, By: "ops", Reason: "sent by mistake"}}
}

// cancel does what an operator's command does.
func (s *stage) cancel(w *words) worker.Cancelled {
	s.t.Helper()
	w.say(requestKey)
	hop := &worker.Hop{JS: s.js, Leader: s.leader, Backoff: worker.DefaultDelays()}
	c := worker.Canceller{Hop: hop, Leader: s.leader, Partitions: 1, Now: time.Now}
	done, err := c.End(s.t.Context(), requestKey, 0, pipelines.Cancelled("by ops"))
	if err != nil {
		s.t.Fatal(err)
	}
	return done
}

func (s *stage) isCancelled(e *messages.Envelope) {
	s.t.Helper()
	if e.End.Status != messages.StatusFailure || e.End.Reason != messages.ReasonCancelled || e.End.Replayable {
		s.t.Errorf("ended as %+v", e.End)
	}
}

// TestACallInFlightIsRefusedWhenItEndsAndReportsItsCost: the cancelled request has ended before its call; what the call cost
// replaces its bound.
func TestACallInFlightIsRefusedWhenItEndsAndReportsItsCost(t *testing.T) {
	s := newStage(t)
	w := &words{}
	s.control = w
	gate := s.openai.Block(requestKey.String())
	defer gate.Release()
	p := s.start(true, nil)
	s.publish(messages.RequestSubject(messages.ClassStd, requestKey), request(`{}`))
	select {
	case <-gate.Arrived():
	case <-time.After(60 * time.Second):
		t.Fatal("no call came")
	}
	if done := s.cancel(w); !done.Here || done.Was != messages.StateCalling {
		t.Fatalf("%+v", done)
	}
	s.ended(requestKey, 0)
	gate.Release()
	s.until("the call's cost is known", func() bool {
		timeline, err := s.db.Timeline(t.Context(), requestKey)
		return err == nil && len(timeline.Epochs) == 1 && s.lateEnds(timeline)
	})
	e := s.end(0)
	p.end()
	s.isCancelled(e)
	timeline, err := s.db.Timeline(t.Context(), requestKey)
	if err != nil {
		t.Fatal(err)
	}
	attempts := timeline.Epochs[0].Attempts
	if len(attempts) != 1 || attempts[0].Charged <= 0 || attempts[0].Charged >= e.Corporate.BoundMicroUSD || e.End.CostMicroUSD != e.Corporate.BoundMicroUSD {
		t.Errorf("charged %+v, bound %d, end %+v", attempts, e.Corporate.BoundMicroUSD, e.End)
	}
	if n := s.openai.Billed(requestKey.String()); n != 1 {
		t.Errorf("%d calls", n)
	}
}

// TestWhatIsCancelledBeforeLayerOneHasItIsRefusedThere: with an admission, without a call; a held request likewise.
func TestWhatIsCancelledBeforeLayerOneHasItIsRefusedThere(t *testing.T) {
	s := newStage(t)
	w := &words{}
	s.control = w
	w.say(requestKey)
	s.publish(messages.RequestSubject(messages.ClassStd, requestKey), request(`{}`))
	p := s.start(true, nil)
	s.isCancelled(s.end(0))
	p.end()
	timeline, err := s.db.Timeline(t.Context(), requestKey)
	if err != nil || timeline.Epochs[0].Admission == nil || timeline.Epochs[0].Admission.State != "refused" || timeline.Epochs[0].Outcome.UserID == "" {
		t.Errorf("%+v, %v", timeline.Epochs, err)
	}
	if s.openai.Billed(requestKey.String()) != 0 {
		t.Error("a cancelled request was called")
	}
}

func TestAHeldRequestEndsAtOnceWhenItIsCancelled(t *testing.T) {
	s := newStage(t)
	w := &words{}
	s.control = w
	p := s.start(true, nil)
	later := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	s.publish(messages.RequestSubject(messages.ClassStd, requestKey), fmt.Appendf(nil,
		`{"prompt":"Say OK","audit_reason":"a held request","model":%q,"max_tokens":16,"not_before":%q}`, model, later))
	s.until("it is held", func() bool {
		n, found, err := s.leader.Newest(t.Context(), 0, requestKey)
		return err == nil && found && n.State == messages.StateHold
	})
	if done := s.cancel(w); !done.Here || done.Was != messages.StateHold {
		t.Fatalf("%+v", done)
	}
	e := s.end(0)
	p.end()
	s.isCancelled(e)
	if e.End.Layer != messages.LayerCorporate || len(e.Request) > 0 {
		t.Errorf("%+v", e.End)
	}
}
