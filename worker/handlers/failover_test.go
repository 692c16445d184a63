package handlers_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"flowgate/messages"
	"flowgate/worker"
	"flowgate/worker/postgres"
	"flowgate/worker/workertest"
)

// board is a control plane on which a test pauses tenants.
type board struct {
	mu     sync.Mutex
	paused map[string]bool
}

func (b *board) Paused(kind worker.PauseKind, name string) (worker.Pause, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return worker.Pause{Kind: kind, Name: name, Reason: "a drill"}, kind == worker.PauseTenant && b.paused[name]
}

func (*board) Silent() time.Duration { return 0 }

func (*board) Cancelled(messages.Key, int, time.Time) (worker.Cancellation, bool) {
	return worker.Cancellation{}, false
}

func (b *board) pause(tenant string, paused bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.paused[tenant] = paused
}

// sees waits for what is in the database; one that is away or was put in another's place is asked again.
func (s *stage) sees(what string, condition func(ctx context.Context) (bool, error)) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 2*time.Minute)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		met, err := condition(ctx)
		if err == nil && met {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			s.t.Fatalf("waited in vain until %s: %v", what, err)
		}
	}
}

func (s *stage) ask(tenant, id, reason string) {
	s.t.Helper()
	s.publish(messages.RequestSubject(messages.ClassStd, messages.Key{Tenant: tenant, ID: id}),
		[]byte(`{"prompt":"Say `+id+`","audit_reason":"`+reason+`","model":"`+model+`","max_tokens":16}`))
}

// recorded waits until so many outcomes are recorded.
func (s *stage) recorded(n int) (outcomes []postgres.Outcome) {
	s.t.Helper()
	s.sees(fmt.Sprintf("%d outcomes are recorded", n), func(ctx context.Context) (bool, error) {
		var err error
		outcomes, err = s.db.ListOutcomes(ctx, postgres.Filter{Limit: -1})
		return len(outcomes) >= n, err
	})
	return outcomes
}

// agree checks the record with itself.
func (s *stage) agree() {
	s.t.Helper()
	findings, err := s.db.Check(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	for _, f := range findings {
		if !f.OK {
			s.t.Errorf("check %s: %d, %v", f.Name, f.Count, f.Examples)
		}
	}
}

// TestADatabaseThatWasSetBackIsFedAgain puts a copy of the database, taken in the middle of the run, in its place while
// requests are under way. What the copy lacks is read from the stream: requests that were admitted and ended after it was
// taken, one that waited in it, one that is being called, one that waits still; and some ids are sent once more before the
// recorder has come so far.
func TestADatabaseThatWasSetBackIsFedAgain(t *testing.T) {
	s := newStage(t)
	pauses := &board{paused: map[string]bool{"waits": true, "still": true}}
	s.control = pauses
	p := s.start(true, nil)
	defer p.end()
	const each = 10
	for i := range each {
		s.ask("acme", fmt.Sprintf("before-%d", i), "a drill of failover")
	}
	s.ask("waits", "early", "a drill of failover")
	s.recorded(each)
	waiting := func(tenant, id string) {
		t.Helper()
		s.sees("it waits", func(ctx context.Context) (bool, error) {
			n, found, err := s.leader.Newest(ctx, 0, messages.Key{Tenant: tenant, ID: id})
			return found && n.State == messages.StateHold, err
		})
	}
	waiting("waits", "early")
	restore := workertest.Snapshot(t, s.url)

	gate := s.openai.Block("acme/open")
	s.ask("acme", "open", "a drill of failover")
	<-gate.Arrived()
	pauses.pause("waits", false)
	for i := range each {
		s.ask("acme", fmt.Sprintf("after-%d", i), "a drill of failover")
	}
	s.ask("acme", "refused", " ")
	s.ask("still", "late", "a drill of failover")
	waiting("still", "late")
	const ended = 2*each + 2
	s.recorded(ended)
	before := s.spent()

	restore()
	s.forgetIngress()
	for _, again := range []string{"after-0", "open", "refused"} { // another document, another decision
		s.publish(messages.RequestSubject(messages.ClassStd, messages.Key{Tenant: "acme", ID: again}), []byte(`{"audit_reason":"once more"}`))
	}
	s.recorded(ended)
	if after := s.spent(); after != before {
		t.Errorf("%d micro-dollars were spent, then %d", before, after)
	}
	gate.Release()
	pauses.pause("still", false)
	outcomes := s.recorded(ended + 2)
	s.sees("nothing is held any more", func(ctx context.Context) (bool, error) {
		_, held, err := s.money(ctx)
		return held == 0, err
	})
	var cost int64
	for _, o := range outcomes {
		key := messages.Key{Tenant: o.Tenant, ID: o.ID}
		want, calls := messages.StatusSuccess, 1
		if o.ID == "refused" {
			want, calls = messages.StatusDenied, 0
		}
		if got := s.openai.Calls(key.String()); messages.Status(o.Status) != want || got != calls {
			t.Errorf("%s ended as %s (%s) after %d calls", key, o.Status, o.Reason, got)
		}
		cost += o.CostMicroUSD
	}
	if len(outcomes) != ended+2 || cost == 0 || s.spent() != cost {
		t.Errorf("%d outcomes cost %d, limits say %d", len(outcomes), cost, s.spent())
	}
	s.agree()
}

// forgetIngress removes what layer 1 has taken, as the janitor does: ids may be sent once more.
func (s *stage) forgetIngress() {
	s.t.Helper()
	stream, err := s.js.Stream(s.t.Context(), worker.IngressStream)
	if err == nil {
		err = stream.Purge(s.t.Context())
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// money is what all limits together have settled and hold. Every request counts in two: the day's and the month's.
func (s *stage) money(ctx context.Context) (settled, held int64, err error) {
	scopes, err := s.db.SpentOver(ctx, "", 0, 100)
	for _, scope := range scopes {
		settled, held = settled+scope.Settled, held+scope.Reserved
	}
	return settled / 2, held / 2, err
}

func (s *stage) spent() int64 {
	s.t.Helper()
	settled, _, err := s.money(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return settled
}

// TestAReplayWaitsUntilTheEndThatItFollowsIsRecorded: nobody records when it comes.
func TestAReplayWaitsUntilTheEndThatItFollowsIsRecorded(t *testing.T) {
	s := newStage(t)
	s.unrecorded = true
	p := s.start(false, nil)
	s.publish(messages.RequestSubject(messages.ClassStd, requestKey), request(`{"offline_faults":[{"class":"invalid","epoch":0}]}`))
	s.sees("it failed", func(ctx context.Context) (bool, error) {
		n, found, err := s.leader.Newest(ctx, 0, requestKey)
		return found && n.State == messages.StateDone, err
	})
	ack, err := s.js.Publish(t.Context(), messages.ReplaySubject(messages.ClassStd, requestKey, 1), []byte(`{"reason":"the backend is well again"}`))
	if err != nil {
		t.Fatal(err)
	}
	s.sees("layer 1 has seen the replay", func(ctx context.Context) (bool, error) {
		c, err := s.js.Consumer(ctx, worker.IngressStream, "corporate-std")
		return err == nil && c.CachedInfo().Delivered.Stream >= ack.Sequence && c.CachedInfo().NumRedelivered > 0, err
	})
	s.unrecorded = false
	records := s.start(false, nil)
	s.ended(requestKey, 1)
	p.end()
	records.end()
	if o := s.recorded(2); messages.Status(o[0].Status) != messages.StatusSuccess {
		t.Errorf("the replay ended as %+v", o[0])
	}
	s.agree()
}
