package handlers_test

import (
	"encoding/hex"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"flowgate/messages"
	"flowgate/worker"
	"flowgate/worker/workertest"
)

// tally counts what it is told, by what it is.
type tally struct {
	mu    sync.Mutex
	hops  []worker.Settled
	count map[string]int
	cost  int64
}

func (c *tally) add(format string, a ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.count == nil {
		c.count = map[string]int{}
	}
	c.count[fmt.Sprintf(format, a...)]++
}

func (c *tally) Settled(s worker.Settled) {
	if s.Outcome != worker.SettledParked {
		c.mu.Lock()
		c.hops = append(c.hops, s)
		c.mu.Unlock()
		c.add("%s %s %s", s.Layer, s.Outcome, s.Reason)
	}
}

func (c *tally) Attempted(a worker.Attempted) {
	c.add("attempt %s %s", a.Attempt.Backend, a.Attempt.Class)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cost += a.Attempt.CostMicroUSD
}

func (c *tally) Died(d worker.Died) { c.add("died %s %s", d.Layer, d.Reason) }

func TestTheChainTellsEachDeliveryAttemptAndDeadLetterOnce(t *testing.T) {
	s := newStage(t)
	told := &tally{}
	s.observer = told
	s.openai.ScriptReplies("acme/slow", workertest.ReplyError(429, "slow down", "rate_limit_exceeded"), workertest.ReplyAnswer("at last"))
	s.openai.ScriptReplies("acme/dies", workertest.ReplyError(401, "who are you", "invalid_api_key"))
	p := s.start(true, nil)
	const document = `{"prompt":"Say OK","audit_reason":"the observer is told","model":"` + model + `"}`
	for id, document := range map[string]string{
		"good": document, "slow": document, "dies": document, "denied": `{"prompt":"Say OK","audit_reason":"the observer is told","model":"none"}`,
		"broken": `{`,
	} {
		key := messages.Key{Tenant: "acme", ID: id}
		s.publish(messages.RequestSubject(messages.ClassStd, key), []byte(document))
		s.ended(key, 0)
	}
	p.end()
	wants := map[string]int{
		"corporate_llm passed ": 3, "corporate_llm waiting ": 2, // for the row of those that are refused to be asked
		"corporate_llm denied model_unknown": 1, "corporate_llm failure malformed": 1,
		"ai_processing passed ": 2, "ai_processing retry ": 1, "ai_processing failure backend_auth": 1,
		"workflow_optimizer success ok": 2,
		"attempt openai ":               2, "attempt openai rate_limited": 1, "attempt openai auth": 1,
		"died corporate_llm malformed": 1, "died ai_processing backend_auth": 1,
	}
	for what, n := range wants {
		if told.count[what] != n {
			t.Errorf("%q was told %d times, not %d", what, told.count[what], n)
		}
	}
	if len(told.count) != len(wants) {
		t.Errorf("told %v", told.count)
	}
	if told.cost <= 0 {
		t.Errorf("the attempts cost %d", told.cost)
	}
}

func TestATraceGoesThroughAllHopsAndTheWakeUp(t *testing.T) {
	s := newStage(t)
	told := &tally{}
	s.observer = told
	key := messages.Key{Tenant: "acme", ID: "traced"}
	woken, err := s.conn.SubscribeSync(messages.ResultSubject(key))
	if err != nil {
		t.Fatal(err)
	}
	p := s.start(true, nil)
	parent, trace := worker.NewTraceparent()
	msg := nats.NewMsg(messages.RequestSubject(messages.ClassStd, key))
	msg.Data = []byte(`{"prompt":"Say OK","audit_reason":"one trace through all hops","model":"` + model + `"}`)
	msg.Header.Set(messages.HeaderTrace, parent)
	if _, err := s.js.PublishMsg(t.Context(), msg); err != nil {
		t.Fatal(err)
	}
	s.ended(key, 0)
	p.end()
	if len(told.hops) != 3 {
		t.Fatalf("told %+v", told.hops)
	}
	// The next hop may be told before the one that published it.
	slices.SortFunc(told.hops, func(a, b worker.Settled) int { return a.Started.Compare(b.Started) })
	for i, hop := range told.hops {
		before := parent[36:52]
		if i > 0 {
			before = hex.EncodeToString(told.hops[i-1].Trace.Span[:])
		}
		if hop.Trace.String() != trace || hex.EncodeToString(hop.Trace.Parent[:]) != before {
			t.Errorf("hop %d is %+v, after span %s of trace %s", i, hop.Trace, before, trace)
		}
	}
	wake, err := woken.NextMsg(10 * time.Second)
	if err != nil {
		t.Fatal(err)
	}
	last := hex.EncodeToString(told.hops[2].Trace.Span[:])
	if got := wake.Header.Get(messages.HeaderTrace); got != "00-"+trace+"-"+last+"-01" {
		t.Errorf("the wake-up says %s", got)
	}
	result, err := s.db.Result(t.Context(), key)
	if err != nil || result.TraceID != trace {
		t.Errorf("the recorded result has the trace %q, not %s (%v)", result.TraceID, trace, err)
	}
}
