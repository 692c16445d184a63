package handlers_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"flowgate/messages"
	"flowgate/worker"
	"flowgate/worker/broker"
)

// sweep purges all streams as the janitors do, and tells who holds the WORK stream.
func (s *stage) sweep(hold time.Duration) broker.Limit {
	s.t.Helper()
	var work broker.Limit
	for _, stream := range []string{worker.IngressStream, worker.WorkStream(0), worker.EventsStream} {
		o := broker.JanitorOptions{Stream: stream, Readers: s.topology.ConsumersOf(stream), Hold: hold, Apart: stream == worker.IngressStream}
		if !o.Apart {
			o.Recorded = func(ctx context.Context, _ time.Time) (uint64, error) {
				at, err := s.db.Position(ctx, stream)
				return at.Seq, err
			}
		}
		j, err := broker.NewJanitor(s.js, o)
		if err != nil {
			s.t.Fatal(err)
		}
		swept, err := j.Sweep(s.t.Context())
		if err != nil {
			s.t.Fatal(err)
		}
		if stream == worker.WorkStream(0) {
			work = swept.Floor
		}
	}
	return work
}

// TestNothingDisappearsThatWaitsLongerThanAnythingIsKept: a tenant is paused, requests wait for their time, a process sleeps
// in the middle of an admission, and nobody records, all for several times as long as the streams are kept. Streams are
// purged all the while; what waits is published again, so that nothing is kept behind it. The sleeper wakes up when everything
// that it knew is gone, and is refused.
func TestNothingDisappearsThatWaitsLongerThanAnythingIsKept(t *testing.T) {
	const park, hold, each = 300 * time.Millisecond, 600 * time.Millisecond, 5
	s := newStage(t)
	pauses := &board{paused: map[string]bool{"paused": true}}
	s.control, s.longestPark, s.unrecorded = pauses, park, true

	asleep := s.slowProcess()
	defer asleep.wake()
	s.publish(messages.RequestSubject(messages.ClassStd, requestKey), request(`{}`))
	<-asleep.asleep
	p := s.start(true, nil)
	due := time.Now().Add(time.Hour)
	var waits []messages.Key
	for i := range each {
		s.ask("acme", fmt.Sprintf("passes-%d", i), "a drill of retention")
		for _, tenant := range []string{"paused", "later"} {
			key := messages.Key{Tenant: tenant, ID: fmt.Sprint(i)}
			waits = append(waits, key)
			notBefore := ""
			if tenant == "later" {
				notBefore = `,"not_before":"` + due.Format(time.RFC3339Nano) + `"`
			}
			s.publish(messages.RequestSubject(messages.ClassStd, key),
				[]byte(`{"prompt":"Say OK","audit_reason":"a drill of retention","model":"`+model+`","max_tokens":16`+notBefore+`}`))
		}
	}
	newest := func(key messages.Key) *worker.Newest {
		t.Helper()
		n, found, err := s.leader.Newest(t.Context(), 0, key)
		if err != nil {
			t.Fatal(err)
		}
		if !found {
			return &worker.Newest{}
		}
		return n
	}
	published := func(times int) func(context.Context) (bool, error) {
		seen := make(map[messages.Key]map[uint64]bool)
		return func(context.Context) (bool, error) {
			s.sweep(hold)
			all := true
			for _, key := range waits {
				n := newest(key)
				if n.State != messages.StateHold {
					all = false
					continue
				}
				if seen[key] == nil {
					seen[key] = make(map[uint64]bool)
				}
				seen[key][n.Seq] = true
				all = all && len(seen[key]) >= times
			}
			return all, nil
		}
	}
	s.sees("another did what the sleeper was about to do", func(context.Context) (bool, error) {
		return newest(requestKey).State == messages.StateDone, nil
	})
	s.sees("what waits was published again and again, unrecorded", published(4))
	if floor := s.sweep(hold); floor.Name != "recorder" || floor.Seq != 0 {
		t.Fatalf("nothing is recorded, and the stream is purged up to %+v", floor)
	}
	mark := newest(waits[0]).Seq

	s.unrecorded = false
	records := s.start(true, nil)
	s.sees("the streams were purged behind what waits", func(ctx context.Context) (bool, error) {
		s.sweep(hold)
		b, err := s.leader.Bounds(ctx, worker.WorkStream(0))
		return b.First > mark, err
	})
	for _, key := range waits {
		if n := newest(key); n.State != messages.StateHold {
			t.Errorf("%s is %q at %d", key, n.State, n.Seq)
		}
	}
	s.sees("everything that the sleeper knew is purged", func(context.Context) (bool, error) {
		s.sweep(hold)
		return newest(requestKey).Seq == 0, nil
	})
	asleep.wake()
	s.sees("the sleeper's word stands, and is not believed", func(context.Context) (bool, error) {
		n := newest(requestKey)
		return n.State == messages.StateHold, nil
	})
	pauses.pause("paused", false)
	outcomes := s.recorded(2*each + 1)
	for _, key := range waits {
		if n := newest(key); key.Tenant == "later" && n.State != messages.StateHold {
			t.Errorf("%s is %q at %d", key, n.State, n.Seq)
		}
	}
	for _, end := range []*process{asleep.process, p, records} {
		end.end()
	}
	if len(outcomes) != 2*each+1 || s.openai.Calls("") != 2*each+1 {
		t.Errorf("%d outcomes of %d calls, want %d", len(outcomes), s.openai.Calls(""), 2*each+1)
	}
	for _, o := range outcomes {
		if messages.Status(o.Status) != messages.StatusSuccess {
			t.Errorf("%s/%s ended as %s (%s)", o.Tenant, o.ID, o.Status, o.Reason)
		}
	}
	s.agree()
}
