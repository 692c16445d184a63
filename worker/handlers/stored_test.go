package handlers_test

import (
	"testing"
	"time"

	"flowgate/messages"
	"flowgate/worker"
	"flowgate/worker/broker"
	"flowgate/worker/handlers"
)

// TestTheStoredDecisionIsPublishedWhateverWouldBeDecidedNow: who admitted a request died before it published; meanwhile the
// layer would refuse it, or let it wait.
func TestTheStoredDecisionIsPublishedWhateverWouldBeDecidedNow(t *testing.T) {
	s := newStage(t)
	claims, err := broker.OpenClaims(t.Context(), s.js)
	if err != nil {
		t.Fatal(err)
	}
	hop := &worker.Hop{JS: s.js, Leader: s.leader, Backoff: worker.DefaultDelays()}
	layer, ok := s.layers(&process{db: s.db}, hop, s.leader, claims, "p1", false, nil)[messages.LayerCorporate].(*handlers.Corporate)
	if !ok {
		t.Fatal("layer 1 is another")
	}
	handle := func(at time.Time) worker.Verdict {
		d := &worker.Delivery{
			Address: messages.Address{Key: requestKey, Class: messages.ClassStd}, Subject: messages.RequestSubject(messages.ClassStd, requestKey),
			Seq: 1, Times: 1, Stored: time.Now(), Data: request(`{}`),
		}
		layer.Now = func() time.Time { return at }
		return layer.Handle(t.Context(), []*worker.Task{{Delivery: d, Started: at}})[0]
	}
	now := time.Now()
	first := handle(now)
	if first.Action != worker.ActionAdvance || first.Next.State != messages.StateAI {
		t.Fatalf("%+v", first)
	}
	check := func(why string, v worker.Verdict) {
		t.Helper()
		if v.Action != worker.ActionAdvance || v.Next.State != messages.StateAI {
			t.Fatalf("%s: %+v", why, v)
		}
		e, err := messages.DecodeEnvelope(v.Next.Data)
		if err != nil || e.End != nil || e.Wait != "" || !e.NotBefore.IsZero() || len(e.Corporate.Checks) == 0 {
			t.Fatalf("%s: %+v, %v", why, e, err)
		}
		for _, c := range e.Corporate.Checks {
			if c.State == "fail" || c.State == "waits" {
				t.Errorf("%s: the check %s is of another decision: %+v", why, c.Name, c)
			}
		}
	}
	check("past its time by now", handle(now.Add(48*time.Hour)))
	layer.Control = paused{worker.PauseTenant, requestKey.Tenant}
	check("paused by now", handle(now))
}

// paused is a control plane with one pause.
type paused struct {
	kind worker.PauseKind
	name string
}

func (p paused) Paused(kind worker.PauseKind, name string) (worker.Pause, bool) {
	return worker.Pause{Kind: kind, Name: name, Reason: "audit"}, kind == p.kind && name == p.name
}

func (paused) Cancelled(messages.Key, int, time.Time) (worker.Cancellation, bool) {
	return worker.Cancellation{}, false
}

func (paused) Silent() time.Duration { return 0 }
