package handlers_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"flowgate/messages"
	"flowgate/worker"
)

// crash lets a process die in its call.
func (s *stage) crash(p *process, arrived <-chan struct{}) {
	s.t.Helper()
	select {
	case <-arrived:
	case <-time.After(60 * time.Second):
		s.t.Fatal("no call came")
	}
	p.conn.Close()
	s.disconnect(p)
}

// TestACallThatEndsEveryProcessEndsInDoubt: it is taken over as often as may be paid for.
func TestACallThatEndsEveryProcessEndsInDoubt(t *testing.T) {
	s := newStage(t)
	var dead []*process
	for range 2 {
		gate := s.openai.Block(requestKey.String())
		defer gate.Release()
		p := s.start(true, nil)
		dead = append(dead, p)
		if len(dead) == 1 {
			s.publish(messages.RequestSubject(messages.ClassStd, requestKey), request(`{}`))
		}
		s.crash(p, gate.Arrived())
		gate.Release()
	}
	last := s.start(true, nil)
	e := s.end(0)
	last.end()
	for _, p := range dead {
		p.end()
	}
	if e.End.Reason != messages.ReasonInDoubt || !e.End.Replayable || len(e.History) != 2 || e.End.CostMicroUSD != 2*e.Corporate.BoundMicroUSD {
		t.Errorf("ended as %+v after %+v", e.End, e.History)
	}
	if n := s.openai.Billed(requestKey.String()); n > 2 {
		t.Errorf("%d calls were billed", n)
	}
}

// TestACallPastItsDeadlineEndsAsTimeout: it is given up, in doubt, and not made again.
func TestACallPastItsDeadlineEndsAsTimeout(t *testing.T) {
	s := newStage(t)
	gate := s.openai.Block(requestKey.String())
	defer gate.Release()
	p := s.start(true, nil)
	s.publish(messages.RequestSubject(messages.ClassStd, requestKey), fmt.Appendf(nil,
		`{"prompt":"Say OK","audit_reason":"a deadline in a call","model":%q,"max_tokens":16,"not_after":%q}`,
		model, time.Now().Add(5*time.Second).UTC().Format(time.RFC3339Nano)))
	select {
	case <-gate.Arrived():
	case <-time.After(60 * time.Second):
		t.Fatal("no call came")
	}
	e := s.end(0)
	gate.Release()
	p.end()
	if e.End.Status != messages.StatusTimeout || e.End.CostMicroUSD != e.Corporate.BoundMicroUSD || len(e.History) != 1 {
		t.Errorf("ended as %+v after %+v", e.End, e.History)
	}
}

// TestAPanicInALayerEndsItsRequestAsCrash: with its story, and nobody else's.
func TestAPanicInALayerEndsItsRequestAsCrash(t *testing.T) {
	good := messages.Key{Tenant: "acme", ID: "good"}
	for step, layer := range map[worker.Step]messages.LayerName{worker.StepAdmitted: messages.LayerCorporate, worker.StepCalled: messages.LayerAI} {
		t.Run(string(step), func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			var panics atomic.Int32
			p := s.start(false, func(at worker.Step, _ string, key messages.Key) {
				if at == step && key == requestKey && panics.Add(1) <= 3 {
					panic("a bug")
				}
			})
			s.publish(messages.RequestSubject(messages.ClassStd, requestKey), request(`{}`))
			e := s.end(0)
			s.publish(messages.RequestSubject(messages.ClassStd, good), request(`{}`))
			s.ended(good, 0)
			p.end()
			if e.End.Reason != messages.ReasonCrash || e.End.Layer != layer || !e.End.Replayable || panics.Load() < 3 {
				t.Errorf("ended as %+v after %d panics", e.End, panics.Load())
			}
			letter, err := s.db.DeadLetter(t.Context(), requestKey, 0)
			if err != nil || len(letter.Envelope) == 0 {
				t.Errorf("dead letter %+v, %v", letter, err)
			}
		})
	}
}

// TestHeadersOfAStrangerGoNowhere: as many as the broker takes (64 KiB) are read once, and never carried on.
func TestHeadersOfAStrangerGoNowhere(t *testing.T) {
	s := newStage(t)
	p := s.start(false, nil)
	msg := nats.NewMsg(messages.RequestSubject(messages.ClassStd, requestKey))
	msg.Data = request(`{}`)
	for i := range 900 {
		msg.Header.Set(fmt.Sprintf("X-Bomb-%04d", i), "0123456789012345678901234567890123456789012345678")
	}
	msg.Header.Set(messages.HeaderToken, "forged")
	msg.Header.Set(messages.HeaderStatus, "success")
	msg.Header.Set(messages.HeaderTrace, "00-"+string(make([]byte, 4096)))
	if _, err := s.js.PublishMsg(t.Context(), msg); err != nil {
		t.Fatal(err)
	}
	e := s.end(0)
	p.end()
	newest, _, err := s.leader.Newest(t.Context(), 0, requestKey)
	if err != nil || e.End.Status != messages.StatusSuccess || len(newest.Header) > 8 || newest.Token() == "forged" {
		t.Errorf("ended as %+v with %d headers, %v", e.End, len(newest.Header), err)
	}
}

// TestABodyThatTheBrokerTakesOnceTravelsOn: a request of the largest size, whatever is wrong with it, grows on its way.
func TestABodyThatTheBrokerTakesOnceTravelsOn(t *testing.T) {
	s := newStage(t)
	p := s.start(false, nil)
	most := messages.MaxRequestBytes
	fill := func(before, after string) []byte {
		body := make([]byte, 0, most)
		body = append(body, before...)
		for len(body) < most-len(after) {
			body = append(body, 'x')
		}
		return append(body, after...)
	}
	for id, c := range map[string]struct {
		body   []byte
		reason messages.Reason
	}{
		"dear":   {fill(`{"audit_reason":"a large body","model":"`+model+`","max_tokens":16,"prompt":"`, `"}`), messages.ReasonLimitRequest},
		"faulty": {fill(`{"audit_reason":"a large body","max_tokens":"many","prompt":"`, `"}`), messages.ReasonMalformed},
		"bytes":  {fill("\xff\x00{", "\x00"), messages.ReasonMalformed},
	} {
		key := messages.Key{Tenant: "acme", ID: id}
		s.publish(messages.RequestSubject(messages.ClassStd, key), c.body)
		s.ended(key, 0)
		newest, _, err := s.leader.Newest(t.Context(), 0, key)
		if err != nil {
			t.Fatal(err)
		}
		e, err := messages.DecodeEnvelope(newest.Data)
		if err != nil || e.End.Reason != c.reason || len(newest.Data) > messages.InlineBytes {
			t.Errorf("%s ended as %+v in %d bytes: %v", id, e.End, len(newest.Data), err)
		}
	}
	p.end()
}
