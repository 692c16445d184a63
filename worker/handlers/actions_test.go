package handlers_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"flowgate/messages"
	"flowgate/pipelines/flow"
	"flowgate/pipelines/pricing"
	"flowgate/worker/actions"
	"flowgate/worker/postgres"
	"flowgate/worker/workertest"
)

// acting lets the processes of a stage carry out two agreements, and asks for them.
func (s *stage) acting() {
	s.t.Helper()
	entry := func(trigger, action string) flow.Entry {
		return flow.Entry{
			Agreement: flow.Agreement{Trigger: trigger, FlowEncoding: "@a#b!c@d", Action: action, Version: "1", FallbackAgeSeconds: 3600, SLASeconds: 60},
			State:     flow.StateApproved, Revision: 1,
		}
	}
	book, err := flow.Bind([]flow.Entry{entry("[Cost Analysis]", actions.CostAnalysisAction), entry("[Error Analysis]", actions.ErrorAnalysisAction), entry("[Nothing]", "nothing")})
	if err != nil {
		s.t.Fatal(err)
	}
	s.agreements = func(messages.LayerName) *flow.Book { return book }
	prices, err := pricing.NewTable(append([]pricing.Row{{Model: model, Input: 3_000_000, Output: 15_000_000}}, s.prices...))
	if err != nil {
		s.t.Fatal(err)
	}
	floor := actions.New(actions.Options{
		Functions: map[string]actions.Function{actions.CostAnalysisAction: actions.CostAnalysis(s.db, prices), actions.ErrorAnalysisAction: actions.ErrorAnalysis(s.db)},
		History:   s.db,
	})
	s.t.Cleanup(floor.Close)
	s.actions = floor
}

// execute asks for an agreement's action and reads its document.
func (s *stage) execute(id, trigger string, into any) messages.Result {
	s.t.Helper()
	key := messages.Key{Tenant: "acme", ID: id}
	s.publish(messages.RequestSubject(messages.ClassStd, key), fmt.Appendf(nil, `{"trigger":%q,"audit_reason":"a test of actions"}`, trigger))
	r := messages.Project(key, s.outcome(key))
	if r.Execution == nil {
		s.t.Fatalf("%s: %+v", trigger, r)
	}
	if r.Execution.Result != nil {
		if err := json.Unmarshal(r.Execution.Result, into); err != nil {
			s.t.Fatal(err)
		}
	}
	return r
}

// TestAnalysesFindWhatWasPlanted: a model five times dearer than an equal one, what was paid again, and three classes of faults.
func TestAnalysesFindWhatWasPlanted(t *testing.T) {
	t.Parallel()
	const cheap = "claude-haiku-4-5"
	s := newStage(t)
	s.prices = []pricing.Row{{Model: cheap, Input: 600_000, Output: 3_000_000}}
	s.acting()
	p := s.start(true, nil)
	defer p.end()
	ask := func(id, model, prompt string) messages.Key {
		key := messages.Key{Tenant: "acme", ID: id}
		s.publish(messages.RequestSubject(messages.ClassStd, key), fmt.Appendf(nil,
			`{"prompt":%q,"audit_reason":"a test of actions","user_id":"ann","department":"hr","model":%q,"max_tokens":16}`, prompt, model))
		return key
	}
	s.openai.Script("", func(workertest.OpenAICall) workertest.OpenAIReply {
		return workertest.ReplyCompletion("OK", "stop", workertest.OpenAIUsage{Prompt: 100, Completion: 10})
	})
	var keys []messages.Key
	for i := range 6 {
		keys = append(keys, ask(fmt.Sprint("dear-", i), model, fmt.Sprint("question ", i)), ask(fmt.Sprint("cheap-", i), cheap, fmt.Sprint("question ", i)))
	}
	// Two that fail each in its way, three times, twice, once; the transient ones in two attempts of three calls each.
	for i, fault := range []workertest.OpenAIReply{
		workertest.ReplyError(http.StatusBadRequest, "x", "x", "x"), workertest.ReplyError(http.StatusBadRequest, "x", "x", "x"), workertest.ReplyError(http.StatusBadRequest, "x", "x", "x"),
		workertest.ReplyError(http.StatusUnprocessableEntity, "x", "x", "x"),
		workertest.ReplyError(http.StatusInternalServerError, "x", "x", "x"), workertest.ReplyError(http.StatusInternalServerError, "x", "x", "x"),
	} {
		id := fmt.Sprint("bad-", i)
		s.openai.ScriptReplies("acme/"+id, fault)
		keys = append(keys, ask(id, model, "fails "+id))
	}
	for _, key := range keys {
		s.ended(key, 0)
	}

	var costs actions.CostReport
	r := s.execute("costs", "[Cost Analysis]", &costs)
	const dear, low = 6 * (300 + 150), 6 * (60 + 30)
	if r.Status != messages.StatusSuccess || r.Execution.Mode != messages.ExecutionReal || costs.CostMicroUSD != dear+low || costs.Requests != 12 || r.Execution.Samples != 12 {
		t.Fatalf("got %+v, %+v", r.Execution, costs)
	}
	if got := costs.ByModel; len(got) != 2 || got[0].Name != model || got[0].CostMicroUSD != dear || got[0].TokensIn != 600 || got[1].CostMicroUSD != low {
		t.Errorf("by model %+v", got)
	}
	if got := costs.ByUser; len(got) != 1 || got[0].Name != "ann" || got[0].Share != 1 || costs.ByDepartment[0].Name != "hr" || len(costs.ByDay) == 0 {
		t.Errorf("by user %+v", costs)
	}
	if got := costs.Savings.CheaperModels; len(got) != 1 || got[0].Model != model || got[0].Instead != cheap || got[0].Times != 5 || got[0].Saves != dear-dear/5 {
		t.Errorf("cheaper %+v", got)
	}
	if c := r.Execution.Confidence; c < 0.4 || c >= 1 {
		t.Errorf("confidence %v of %v and %v", c, costs.MeanMicroUSD, costs.SpreadMicroUSD)
	}

	var faults actions.ErrorReport
	r = s.execute("errors", "[Error Analysis]", &faults)
	classes := map[string]int64{}
	for _, g := range faults.ByClass {
		classes[g.Name] += g.Count
	}
	if r.Status != messages.StatusSuccess || faults.FailedRequests != 6 || faults.FailedAttempts != 8 || faults.RetriedCalls != 8 || classes["invalid"] != 4 || classes["transient"] != 12 || faults.DeadLetters != 6 {
		t.Errorf("got %+v, classes %v", faults, classes)
	}
	if got := faults.ByLayer; len(got) != 1 || got[0].Name != string(messages.LayerAI) || got[0].Count != 6 {
		t.Errorf("by layer %+v", got)
	}

	r = s.execute("nothing", "[Nothing]", nil)
	if r.Status != messages.StatusDenied || r.Reason != messages.ReasonActionUnknown || r.Execution.Mode != messages.ExecutionDenied {
		t.Errorf("got %+v", r)
	}

	// Without a ground to measure on, the newest measured result stands in.
	blind := actions.New(actions.Options{
		Functions: map[string]actions.Function{actions.CostAnalysisAction: actions.CostAnalysis(nowhere{}, nil)}, History: s.db,
	})
	t.Cleanup(blind.Close)
	a := flow.Agreement{Trigger: "[Cost Analysis]", Action: actions.CostAnalysisAction, FallbackAgeSeconds: 3600}
	s.until("the execution is on record", func() bool {
		_, err := s.db.NewestExecution(t.Context(), "acme", a.Trigger, a.Action, "", time.Now().Add(-time.Hour))
		return err == nil
	})
	x, done := blind.Execute(messages.Key{Tenant: "acme", ID: "again"}, 0, flow.Asker{}, a)
	if x == nil {
		select {
		case <-done:
		case <-time.After(time.Minute):
			t.Fatal("it never ended")
		}
		x, _ = blind.Execute(messages.Key{Tenant: "acme", ID: "again"}, 0, flow.Asker{}, a)
	}
	var older actions.CostReport
	if err := json.Unmarshal(x.Result, &older); x.Mode != messages.ExecutionFallback || err != nil || older.CostMicroUSD != costs.CostMicroUSD || x.AgeSeconds <= 0 {
		t.Errorf("%v: %+v", err, x)
	}
}

// nowhere is a record that cannot be read.
type nowhere struct{}

func (nowhere) CostGroups(context.Context, string, time.Time, time.Time, string) ([]postgres.CostGroup, error) {
	return nil, errors.New("away")
}

func (nowhere) Usages(context.Context, string, time.Time, time.Time) ([]postgres.UsageGroup, error) {
	return nil, errors.New("away")
}

func (nowhere) PaidAgain(context.Context, string, time.Time, time.Time) (postgres.Repeated, error) {
	return postgres.Repeated{}, errors.New("away")
}
