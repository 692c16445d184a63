package handlers_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"flowgate/messages"
	"flowgate/pipelines/flow"
	"flowgate/worker"
)

// report is the agreement of these tests, in a revision.
func report(state flow.State, revision int64, change func(*flow.Entry)) *flow.Book {
	e := flow.Entry{
		Agreement: flow.Agreement{Trigger: "[Report]", FlowEncoding: "@a#b!c@d", Action: "x", Version: "7"}, State: state, Revision: revision,
	}
	if change != nil {
		change(&e)
	}
	b, err := flow.Bind([]flow.Entry{e})
	if err != nil {
		panic(err) // of this file's own making
	}
	return b
}

func underReport(prompt string) []byte {
	return fmt.Appendf(nil, `{"prompt":%q,"audit_reason":"a test of agreements","trigger":"[Report]","model":%q,"max_tokens":16}`, prompt, model)
}

// TestNoLayerActsUnderAnInvalidAgreement: one layer alone knows that the agreement is invalid, and refuses; nothing behind it acts.
func TestNoLayerActsUnderAnInvalidAgreement(t *testing.T) {
	t.Parallel()
	valid := report(flow.StateApproved, 1, nil)
	for reason, now := range map[messages.Reason]*flow.Book{
		messages.ReasonAgreementSuspended:   report(flow.StateSuspended, 2, nil),
		messages.ReasonAgreementExpired:     report(flow.StateApproved, 2, func(e *flow.Entry) { e.ValidUntil = time.Now().Add(-time.Second) }),
		messages.ReasonAgreementNotApproved: report(flow.StateRetired, 2, nil),
	} {
		t.Run(string(reason), func(t *testing.T) {
			t.Parallel()
			var knows atomic.Pointer[messages.LayerName]
			s := newStage(t)
			s.agreements = func(layer messages.LayerName) *flow.Book {
				if k := knows.Load(); k != nil && *k == layer {
					return now
				}
				return valid
			}
			p := s.start(true, nil)
			defer p.end()
			for i, layer := range []messages.LayerName{messages.LayerCorporate, messages.LayerAI, messages.LayerOptimizer} {
				knows.Store(&layer)
				key := messages.Key{Tenant: "acme", ID: fmt.Sprint("at-", i)}
				s.publish(messages.RequestSubject(messages.ClassStd, key), underReport(key.ID))
				e := s.outcome(key)
				if e.End.Status != messages.StatusDenied || e.End.Reason != reason || e.End.Layer != layer {
					t.Errorf("%s: ended as %+v", layer, e.End)
				}
				if calls := s.openai.Calls(key.String()); calls != 0 && layer != messages.LayerOptimizer || calls != 1 && layer == messages.LayerOptimizer {
					t.Errorf("%s: %d calls", layer, calls)
				}
				if e.Corporate.Agreement == nil || e.Corporate.Agreement.Version != "7" || messages.Project(key, e).Answer != "" {
					t.Errorf("%s: %+v", layer, e.Corporate.Agreement)
				}
			}
		})
	}
}

// TestALayerThatKnowsLessWaitsUntilItHears: it does not refuse what layer 1 admitted under a version that it has not heard of.
func TestALayerThatKnowsLessWaitsUntilItHears(t *testing.T) {
	t.Parallel()
	var ai, optimizer atomic.Pointer[flow.Book]
	asked := make(chan struct{}, 1<<10)
	s := newStage(t)
	s.agreements = func(layer messages.LayerName) *flow.Book {
		switch layer {
		case messages.LayerAI:
			select {
			case asked <- struct{}{}:
			default:
			}
			return ai.Load()
		case messages.LayerOptimizer:
			return optimizer.Load()
		case messages.LayerCorporate:
		}
		return report(flow.StateApproved, 5, nil)
	}
	ai.Store(report(flow.StateSuspended, 4, nil))
	p := s.start(true, nil)
	defer p.end()
	key := messages.Key{Tenant: "acme", ID: "new"}
	s.publish(messages.RequestSubject(messages.ClassStd, key), underReport("x"))
	for range 3 { // it looks again and again, and judges nothing
		select {
		case <-asked:
		case <-time.After(time.Minute):
			t.Fatal("layer 2 never looked")
		}
	}
	if n := s.openai.Calls(""); n != 0 {
		t.Errorf("%d calls", n)
	}
	ai.Store(report(flow.StateApproved, 5, nil))
	s.until("it was called", func() bool { return s.openai.Calls("") == 1 })
	optimizer.Store(report(flow.StateApproved, 6, nil))
	if e := s.outcome(key); e.End.Status != messages.StatusSuccess {
		t.Errorf("ended as %+v", e.End)
	}
}

// TestFiftyAtOnceOnALimitOfTenRunTen: over two processes.
func TestFiftyAtOnceOnALimitOfTenRunTen(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	book := report(flow.StateApproved, 1, func(e *flow.Entry) { e.Limits.CallsDay = 10 })
	s.agreements = func(messages.LayerName) *flow.Book { return book }
	for i := range 50 {
		key := messages.Key{Tenant: "acme", ID: fmt.Sprint("run-", i)}
		s.publish(messages.RequestSubject(messages.ClassStd, key), underReport(key.ID))
	}
	a, b := s.start(true, nil), s.start(true, nil)
	defer a.end()
	defer b.end()
	ran, denied := 0, 0
	for i := range 50 {
		e := s.outcome(messages.Key{Tenant: "acme", ID: fmt.Sprint("run-", i)})
		switch {
		case e.End.Status == messages.StatusSuccess:
			ran++
		case e.End.Status == messages.StatusDenied && e.End.Reason == messages.ReasonAgreementExhausted:
			denied++
		default:
			t.Errorf("run-%d ended as %+v", i, e.End)
		}
	}
	if ran != 10 || denied != 40 || s.openai.Calls("") != 10 {
		t.Errorf("%d ran, %d were denied, %d calls", ran, denied, s.openai.Calls(""))
	}
}

// TestLayerTwoCallsNoMoreOftenThanTheAgreementHasMoneyFor: each call is in doubt, and would be made again; where the agreement's money is
// for one, there is one.
func TestLayerTwoCallsNoMoreOftenThanTheAgreementHasMoneyFor(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.wrap = func(b worker.Backend) worker.Backend { return panicking{b} }
	var book atomic.Pointer[flow.Book]
	book.Store(report(flow.StateApproved, 1, nil))
	s.agreements = func(messages.LayerName) *flow.Book { return book.Load() }
	p := s.start(true, nil)
	defer p.end()
	ask := func(tenant string) (*messages.Envelope, int) {
		key := messages.Key{Tenant: tenant, ID: "same"}
		s.publish(messages.RequestSubject(messages.ClassStd, key), underReport("x"))
		return s.outcome(key), s.openai.Billed(key.String())
	}
	e, calls := ask("acme")
	bound := e.Corporate.BoundMicroUSD
	if calls != 2 || e.End.CostMicroUSD != 2*bound {
		t.Fatalf("%d calls: %+v", calls, e.End)
	}
	book.Store(report(flow.StateApproved, 2, func(a *flow.Entry) { a.Limits.DayMicroUSD = bound * 3 / 2 }))
	if e, calls = ask("beta"); calls != 1 || e.End.Reason != messages.ReasonInDoubt || e.End.CostMicroUSD != bound {
		t.Errorf("%d calls: %+v", calls, e.End)
	}
	key := messages.Key{Tenant: "beta", ID: "next"}
	s.publish(messages.RequestSubject(messages.ClassStd, key), underReport("x"))
	if e := s.outcome(key); e.End.Status != messages.StatusDenied || e.End.Reason != messages.ReasonLimitAgreement || e.End.Layer != messages.LayerCorporate {
		t.Errorf("ended as %+v", e.End)
	}
}
