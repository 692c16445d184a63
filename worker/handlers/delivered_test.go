package handlers_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"flowgate/messages"
	"flowgate/pipelines/ai"
	"flowgate/pipelines/flow"
	"flowgate/pipelines/pricing"
	"flowgate/pipelines/privacy"
	"flowgate/worker"
	"flowgate/worker/handlers"
)

// scripted answers by a func.
type scripted struct {
	called

	answer func(ai.Call) (ai.Answer, error)
	check  func(*ai.Call) *ai.Fault
}

func (scripted) Billable() bool { return true }

func (s scripted) Check(c *ai.Call) *ai.Fault {
	if s.check == nil {
		return nil
	}
	return s.check(c)
}

func (s scripted) Call(_ context.Context, c ai.Call) (ai.Answer, error) { return s.answer(c) }

// alone is layer 2 by itself over backends, in their order.
func alone(t *testing.T, backends ...worker.Backend) *handlers.AI {
	t.Helper()
	prices, err := pricing.NewTable([]pricing.Row{{Model: model, Input: 3_000_000, Output: 15_000_000}})
	if err != nil {
		t.Fatal(err)
	}
	book, err := flow.NewBook(nil)
	if err != nil {
		t.Fatal(err)
	}
	policy := ai.Policy{
		Agreements: book, Prices: prices, Retry: ai.Retries{Default: ai.Retry{Attempts: 2}},
		Privacy: privacy.NewGuard(privacy.Rules{Restore: []string{"contact"}}),
	}
	layer := &handlers.AI{Hop: &promised{}, Policy: func() ai.Policy { return policy }, Worker: "w", Now: time.Now}
	for _, b := range backends {
		layer.Backends = append(layer.Backends, handlers.Serving{Backend: b})
	}
	return layer
}

func handled(t *testing.T, layer *handlers.AI, r messages.Request) (*messages.Envelope, worker.Verdict) {
	t.Helper()
	return handledUntil(t, layer, r, time.Now().Add(time.Hour))
}

func handledUntil(t *testing.T, layer *handlers.AI, r messages.Request, end time.Time) (*messages.Envelope, worker.Verdict) {
	t.Helper()
	r.AuditReason = "a test of the layer"
	document, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	task := &worker.Task{
		Delivery: &worker.Delivery{Address: messages.Address{Key: messages.Key{Tenant: "acme", ID: "r1"}, Class: messages.ClassStd, State: messages.StateAI}, Seq: 1, Times: 1, Stored: now},
		Envelope: &messages.Envelope{
			V: 1, Kind: r.Kind(), SubmittedAt: now, NotAfter: end, Request: document,
			Corporate: &messages.CorporateSection{Model: model, MaxTokens: 2000, BoundMicroUSD: 50_000, BillableAttempts: 2},
		},
		Expect: 1, Started: now,
	}
	v := layer.Handle(t.Context(), []*worker.Task{task})[0]
	return task.Envelope, v
}

func TestArgumentsOfToolCallsAreTreatedAsTheAnswer(t *testing.T) {
	const mail = "jane.doe@example.com"
	var saw string
	layer := alone(t, scripted{called: called{name: "openai"}, answer: func(c ai.Call) (ai.Answer, error) {
		saw = c.Messages[0].Content + string(c.Tools[0].Parameters)
		place := strings.TrimPrefix(c.Messages[0].Content, "write to ")
		return ai.Answer{
			FinishReason: "tool_calls", Usage: messages.Usage{InputUncached: 1, Output: 1},
			ToolCalls: []messages.ToolCall{{ID: "c1", Name: "send", Arguments: `{"to":"` + place + `","card":"4111 1111 1111 1111"}`}},
		}, nil
	}})
	e, v := handled(t, layer, messages.Request{
		Prompt: "write to " + mail,
		Tools:  []messages.Tool{{Name: "send", Parameters: json.RawMessage(`{"type":"object","examples":[{"to":"` + mail + `"}]}`)}},
	})
	if v.Action != worker.ActionAdvance || e.AI == nil || len(e.AI.ToolCalls) != 1 {
		t.Fatalf("got %+v with %+v", v, e.AI)
	}
	if strings.Contains(saw, mail) {
		t.Errorf("the backend saw %q", saw)
	}
	if got := e.AI.ToolCalls[0].Arguments; !strings.Contains(got, mail) || strings.Contains(got, "4111") || !json.Valid([]byte(got)) {
		t.Errorf("the asker gets %s", got)
	}
	if len(e.AI.AnswerFindings) == 0 {
		t.Error("nothing is on record of what was found in the arguments")
	}
}

func TestVectorsComeAsTheyAre(t *testing.T) {
	layer := alone(t, scripted{called: called{name: "openai"}, answer: func(c ai.Call) (ai.Answer, error) {
		if c.Kind != messages.KindEmbedding || len(c.Input) != 2 || c.Dimensions != 2 {
			t.Errorf("asked %+v", c)
		}
		return ai.Answer{Usage: messages.Usage{InputUncached: 2}, Embeddings: [][]float32{{0.5, -1}, {0.25, 3}}}, nil
	}})
	e, _ := handled(t, layer, messages.Request{Input: []string{"a", "b"}, Dimensions: new(2)})
	e.End = &messages.End{Status: messages.StatusSuccess, Reason: messages.ReasonOK}
	r := messages.Project(messages.Key{Tenant: "acme", ID: "r1"}, e)
	if string(r.Embeddings) != "[[0.5,-1],[0.25,3]]" || r.Answer != "" {
		t.Errorf("got %s and %q", r.Embeddings, r.Answer)
	}
}

func TestWhatABackendCannotDoGoesToTheNextWithoutACall(t *testing.T) {
	cannot := scripted{
		called: called{name: "first"}, answer: func(ai.Call) (ai.Answer, error) {
			t.Error("it was called")
			return ai.Answer{}, nil
		},
		check: func(*ai.Call) *ai.Fault {
			return &ai.Fault{Class: ai.ClassInvalid, Code: "unsupported", Detail: "seed: the first backend cannot do this", Elsewhere: true}
		},
	}
	can := scripted{called: called{name: "second"}, answer: func(ai.Call) (ai.Answer, error) {
		return ai.Answer{Text: "well", FinishReason: "stop", Usage: messages.Usage{InputUncached: 1, Output: 1}}, nil
	}}
	e, _ := handled(t, alone(t, cannot, can), messages.Request{Prompt: "hi", Seed: new(int64(7))})
	if e.AI == nil || e.AI.Backend != "second" || len(e.History) != 2 || e.History[0].Code != "unsupported" || e.History[0].Tries != 0 || e.History[0].CostMicroUSD != 0 {
		t.Errorf("%+v after %+v", e.AI, e.History)
	}
	e, _ = handled(t, alone(t, cannot), messages.Request{Prompt: "hi", Seed: new(int64(7))})
	if e.End == nil || e.End.Reason != messages.ReasonBackendInvalid || !strings.Contains(e.End.Detail, "seed") {
		t.Errorf("alone it ends as %+v", e.End)
	}
}
