package handlers_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"flowgate/messages"
	"flowgate/pipelines/corporate"
	"flowgate/pipelines/flow"
	"flowgate/worker"
	"flowgate/worker/actions"
	"flowgate/worker/workertest"
)

// part is a request that an action asked.
type part struct {
	messages.Key

	document string
}

// ownStage asks the stage's own chain.
type ownStage struct {
	*stage

	asked chan part
}

func (s ownStage) Ask(ctx context.Context, key messages.Key, body []byte) (messages.Result, error) {
	s.asked <- part{key, string(body)}
	if _, err := s.js.Publish(ctx, messages.RequestSubject(messages.ClassStd, key), body); err != nil {
		return messages.Result{}, err
	}
	for {
		switch _, ended, err := s.db.Standing(ctx, key, 0); {
		case err != nil && !errors.Is(err, worker.ErrNotFound):
			return messages.Result{}, err
		case ended:
			n, _, err := s.leader.Newest(ctx, 0, key)
			if err != nil {
				return messages.Result{}, err
			}
			e, err := messages.DecodeEnvelope(n.Data)
			if err != nil {
				return messages.Result{}, err
			}
			return messages.Project(key, e), nil
		}
		select {
		case <-ctx.Done():
			return messages.Result{}, ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// TestWhatAnActionAsksRunsUnderItsAgreement: it is no call of the agreement by itself, is bound by its state and money, and nobody else can
// say the same of a request.
func TestWhatAnActionAsksRunsUnderItsAgreement(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	var book atomic.Pointer[flow.Book]
	load := func(state flow.State, revision int64, l flow.Limits) {
		book.Store(report(state, revision, func(e *flow.Entry) {
			e.Action, e.Limits, e.SLASeconds, e.FallbackAgeSeconds = actions.PerformanceTestAction, l, 60, 3600
			e.Parameters = map[string]any{"requests": 8, "at_once": 1, "model": model}
		}))
	}
	load(flow.StateApproved, 1, flow.Limits{CallsDay: 2})
	s.agreements = func(messages.LayerName) *flow.Book { return book.Load() }
	chain := ownStage{s, make(chan part, 100)}
	floor := actions.New(actions.Options{
		Functions: map[string]actions.Function{actions.PerformanceTestAction: actions.PerformanceTest(chain)}, History: s.db, Seal: s.db.Seal,
	})
	t.Cleanup(floor.Close)
	s.actions = floor
	p := s.start(true, nil)
	defer p.end()
	reply := func(calls int, then func()) {
		s.openai.Script("", func(workertest.OpenAICall) workertest.OpenAIReply {
			if calls--; calls == 0 {
				then()
			}
			return workertest.ReplyCompletion("OK", "stop", workertest.OpenAIUsage{Prompt: 100, Completion: 10})
		})
	}
	reply(-1, nil)

	var measured actions.Step
	if r := s.execute("first", "[Report]", &measured); r.Status != messages.StatusSuccess || measured.Requests != 8 || measured.Failed != 0 || len(chain.asked) != 8 {
		t.Fatalf("%+v: %+v", r, measured)
	}
	first := <-chain.asked
	e := s.outcome(first.Key)
	if c := e.Corporate; c.Agreement == nil || c.Agreement.Trigger != "[Report]" || c.Facts.Agreement.By != string(corporate.AgreedByExecution) ||
		c.PartOf == nil || c.PartOf.ID != "first" || c.CorrelationID != "first" || c.PartOf.Proof != "" {
		t.Errorf("%s: %+v", first.Key, e.Corporate)
	}
	fixed := messages.Key{Tenant: first.Tenant, ID: "fixed"}
	s.publish(messages.RequestSubject(messages.ClassStd, fixed), []byte(`{"trigger":"[Report]","audit_reason":"a test of actions","parameters":{"at_once":1,"requests":500}}`))
	if r := messages.Project(fixed, s.outcome(fixed)); r.Status != messages.StatusFailure || !strings.Contains(r.Execution.Because, "parameter requests is the agreement's own") {
		t.Errorf("%+v", r)
	}
	if r := s.execute("second", "[Report]", nil); r.Reason != messages.ReasonAgreementExhausted || r.Execution.Mode != messages.ExecutionDenied {
		t.Errorf("%+v", r)
	}

	for id, document := range map[string]string{ // with the proof of another request, and with none
		"forged-1": first.document, "forged-2": `{"prompt":"Say OK.","audit_reason":"x","trigger":"[Report]","part_of":{"id":"first","epoch":0}}`,
	} {
		key := messages.Key{Tenant: first.Tenant, ID: id}
		s.publish(messages.RequestSubject(messages.ClassStd, key), []byte(document))
		if end := s.outcome(key).End; end.Status != messages.StatusFailure || end.Field != "part_of" || !strings.Contains(end.Detail, "leave it out") || s.openai.Calls(key.String()) != 0 {
			t.Errorf("%s ended as %+v", id, end)
		}
	}

	load(flow.StateApproved, 2, flow.Limits{})
	before := s.openai.Calls("")
	reply(2, func() { load(flow.StateSuspended, 3, flow.Limits{}) })
	if r := s.execute("suspended", "[Report]", nil); r.Status != messages.StatusDenied || r.Reason != messages.ReasonAgreementSuspended || s.openai.Calls("")-before != 2 {
		t.Errorf("after %d calls: %+v", s.openai.Calls("")-before, r)
	}

	const limit = 2_000
	load(flow.StateApproved, 4, flow.Limits{DayMicroUSD: limit})
	reply(-1, nil)
	before = s.openai.Calls("")
	r := s.execute("poor", "[Report]", nil)
	if calls := s.openai.Calls("") - before; r.Status != messages.StatusDenied || r.Reason != messages.ReasonLimitAgreement || r.Execution.Mode != messages.ExecutionDenied || calls == 0 || calls*450 > limit {
		t.Errorf("after %d calls: %+v, %s", calls, r, fmt.Sprint(r.Execution))
	}
}
