package handlers_test

import (
	"testing"
	"time"

	"flowgate/messages"
	"flowgate/worker"
)

// TestADuplicateHasNoResultEvenWhereTheStreamForgotTheFirst: the janitor has purged all that would refuse a second result;
// the ledger alone remembers.
func TestADuplicateHasNoResultEvenWhereTheStreamForgotTheFirst(t *testing.T) {
	s := newStage(t)
	p := s.start(false, nil)
	ask := func() { s.publish(messages.RequestSubject(messages.ClassStd, requestKey), request(`{}`)) }
	ask()
	s.ended(requestKey, 0)
	events, err := s.conn.SubscribeSync(messages.EventSubject(requestKey.Tenant, messages.EventDuplicateID))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{worker.IngressStream, worker.WorkStream(0)} {
		stream, err := s.js.Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.Purge(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	ask()
	if _, err := events.NextMsg(30 * time.Second); err != nil {
		t.Fatalf("nobody told of a duplicate: %v", err)
	}
	p.end() // told after whatever was published, and now nobody publishes any more
	n, found, err := s.leader.Newest(t.Context(), 0, requestKey)
	if err != nil {
		t.Fatal(err)
	}
	if found {
		t.Errorf("the duplicate has the state %s: %s", n.State, n.Data)
	}
}
