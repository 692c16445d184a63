package handlers_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"flowgate/messages"
	"flowgate/worker/broker"
	"flowgate/worker/cache"
	"flowgate/worker/flights"
	"flowgate/worker/handlers"
	"flowgate/worker/workertest"
)

// caching gives every process a cache and flights of its own, which share over the broker.
func (s *stage) caching() {
	s.tune = func(p *process, layer *handlers.AI) {
		js, err := jetstream.New(p.conn)
		if err != nil {
			s.t.Fatal(err)
		}
		shared := broker.NewCacheBucket(js, nil)
		kept, err := cache.New(cache.Options{Dir: s.t.TempDir(), Default: cache.Family{MaxBytes: 1 << 20}, MemoryBytes: 1 << 20, Shared: shared})
		if err != nil {
			s.t.Fatal(err)
		}
		layer.Cache, layer.Flights = kept, flights.New(flights.Options{JS: js, Worker: p.name})
		ctx, cancel := context.WithCancel(context.Background())
		p.all.Go(func() { kept.Run(ctx) })
		p.all.Go(func() { layer.Flights.Run(ctx) })
		p.stop = cancel
		s.until("flights are shared", func() bool { return layer.Flights.State().Shared })
	}
}

// outcome is the newest state of a request that has ended.
func (s *stage) outcome(key messages.Key) *messages.Envelope {
	s.t.Helper()
	s.ended(key, 0)
	n, found, err := s.leader.Newest(s.t.Context(), 0, key)
	if err != nil || !found {
		s.t.Fatalf("%s is not there: %v", key, err)
	}
	e, err := messages.DecodeEnvelope(n.Data)
	if err != nil {
		s.t.Fatal(err)
	}
	return e
}

func TestIdenticalRequestsMakeOneCall(t *testing.T) {
	for _, workers := range []int{1, 3} {
		t.Run(fmt.Sprint(workers), func(t *testing.T) { oneCall(t, workers) })
	}
}

func oneCall(t *testing.T, workers int) {
	s := newStage(t)
	s.caching()
	for range workers {
		p := s.start(true, nil)
		t.Cleanup(p.end)
	}
	gate := s.openai.Block("")
	const many = 64
	keys := make([]messages.Key, many)
	for i := range keys {
		keys[i] = messages.Key{Tenant: "acme", ID: fmt.Sprint("r", i)}
		s.publish(messages.RequestSubject(messages.ClassStd, keys[i]), []byte(`{"prompt":"the same","audit_reason":"identical requests"}`))
	}
	// Every one has passed layer 1 while the only call is held: those who follow hold none of the 16 slots.
	s.until("all of them are on their way", func() bool {
		n := 0
		for _, key := range keys {
			if newest, found, err := s.leader.Newest(t.Context(), 0, key); err == nil && found && newest.State != messages.StateHold {
				n++
			}
		}
		return n == many
	})
	gate.Release()
	leader := ""
	for _, key := range keys {
		e := s.outcome(key)
		if e.End.Status != messages.StatusSuccess {
			t.Fatalf("%s ended as %s (%s)", key, e.End.Status, e.End.Reason)
		}
		if e.AI.Reused == nil {
			if leader != "" {
				t.Errorf("%s led too, beside %s", key, leader)
			}
			leader = key.ID
			continue
		}
	}
	if n := s.openai.Calls(""); n != 1 {
		t.Errorf("%d calls", n)
	}
	for _, key := range keys {
		e := s.outcome(key)
		if r := e.AI.Reused; r != nil && (r.From != messages.ReusedRequest || r.Leader != leader || r.ShareMicroUSD != 0 || r.SavedMicroUSD <= 0 || e.End.CostMicroUSD != 0 || !e.AI.CacheHit || len(e.History) != 0) {
			t.Errorf("%s: %+v, cost %d, attempts %d; %s led", key, r, e.End.CostMicroUSD, len(e.History), leader)
		}
	}
	late := messages.Key{Tenant: "acme", ID: "late"}
	s.publish(messages.RequestSubject(messages.ClassStd, late), []byte(`{"prompt":"the same","audit_reason":"identical requests"}`))
	if e := s.outcome(late); e.AI.Reused == nil || e.AI.Reused.From == messages.ReusedRequest || s.openai.Calls("") != 1 {
		t.Errorf("a later one: %+v, %d calls", e.AI.Reused, s.openai.Calls(""))
	}
	stranger := messages.Key{Tenant: "globex", ID: "r0"}
	s.publish(messages.RequestSubject(messages.ClassStd, stranger), []byte(`{"prompt":"the same","audit_reason":"identical requests"}`))
	if e := s.outcome(stranger); e.AI.Reused != nil || s.openai.Calls("") != 2 {
		t.Errorf("another tenant got %+v", e.AI.Reused)
	}
}

func TestFollowersCallForThemselvesWhereTheLeaderFails(t *testing.T) {
	s := newStage(t)
	s.caching()
	p := s.start(true, nil)
	t.Cleanup(p.end)
	s.openai.ScriptReplies("", workertest.ReplyError(400, "invalid_request_error", "invalid_value", "no"), workertest.ReplyAnswer("well"))
	a, b := messages.Key{Tenant: "acme", ID: "a"}, messages.Key{Tenant: "acme", ID: "b"}
	gate := s.openai.Block("")
	for _, key := range []messages.Key{a, b} {
		s.publish(messages.RequestSubject(messages.ClassStd, key), []byte(`{"prompt":"the same","audit_reason":"identical requests"}`))
	}
	gate.Release()
	first, second := s.outcome(a), s.outcome(b)
	if (first.End.Status == messages.StatusSuccess) == (second.End.Status == messages.StatusSuccess) || s.openai.Calls("") != 2 {
		t.Errorf("ended as %s and %s after %d calls", first.End.Status, second.End.Status, s.openai.Calls(""))
	}
}
