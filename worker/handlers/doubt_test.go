package handlers_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"flowgate/messages"
	"flowgate/pipelines/ai"
	"flowgate/worker"
)

// panicking calls, and panics before it hands the answer on.
type panicking struct{ worker.Backend }

func (p panicking) Call(ctx context.Context, call ai.Call) (ai.Answer, error) {
	if _, err := p.Backend.Call(ctx, call); err == nil {
		panic("after the call")
	}
	return ai.Answer{}, &ai.Fault{Class: ai.ClassTransient}
}

// end waits for the end of the request and checks that what is charged is what the end says.
func (s *stage) end(epoch int) *messages.Envelope {
	s.t.Helper()
	s.ended(requestKey, epoch)
	newest, _, err := s.leader.Newest(s.t.Context(), 0, requestKey)
	if err != nil {
		s.t.Fatal(err)
	}
	e, err := messages.DecodeEnvelope(newest.Data)
	if err != nil {
		s.t.Fatal(err)
	}
	s.charged(e)
	findings, err := s.db.Check(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	for _, f := range findings {
		if !f.OK {
			s.t.Errorf("check %s: %v", f.Name, f.Examples)
		}
	}
	return e
}

func TestACallWhoseAnswerIsLostInAPanicIsInDoubt(t *testing.T) {
	s := newStage(t)
	s.wrap = func(b worker.Backend) worker.Backend { return panicking{b} }
	p := s.start(true, nil)
	s.publish(messages.RequestSubject(messages.ClassStd, requestKey), request(`{}`))
	e := s.end(0)
	p.end()
	bound := e.Corporate.BoundMicroUSD
	if e.End.Reason != messages.ReasonInDoubt || e.End.CostMicroUSD != 2*bound || s.openai.Billed(requestKey.String()) != 2 {
		t.Errorf("ended as %+v after %d calls, bound %d", e.End, s.openai.Billed(requestKey.String()), bound)
	}
}

func TestACallThatOutlivedItsWorkerIsChargedThoughTheDeadlinePassed(t *testing.T) {
	s := newStage(t)
	gate := s.openai.Block(requestKey.String())
	defer gate.Release()
	first := s.start(true, nil)
	deadline := time.Now().Add(3 * time.Second)
	document := fmt.Sprintf(`{"prompt":"Say OK","audit_reason":"a deadline in a call","model":%q,"max_tokens":16,"not_after":%q}`,
		model, deadline.UTC().Format(time.RFC3339Nano))
	s.publish(messages.RequestSubject(messages.ClassStd, requestKey), []byte(document))
	select {
	case <-gate.Arrived():
	case <-time.After(20 * time.Second):
		t.Fatal("no call came")
	}
	first.conn.Close() // it dies in the call
	s.disconnect(first)
	<-time.After(time.Until(deadline)) // nobody is there until it has passed
	second := s.start(true, nil)
	e := s.end(0)
	if e.End.Status != messages.StatusTimeout || e.End.CostMicroUSD != e.Corporate.BoundMicroUSD || e.AI == nil || e.AI.Attempts != 1 {
		t.Errorf("ended as %+v, section %+v", e.End, e.AI)
	}
	result := messages.Project(requestKey, e)
	if result.Metadata == nil || result.Metadata.CostMicroUSD != e.End.CostMicroUSD {
		t.Errorf("the producer sees %+v", result.Metadata)
	}
	second.end()
	gate.Release()
	first.end()
}
