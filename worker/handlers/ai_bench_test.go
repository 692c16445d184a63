package handlers_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"flowgate/configs"
	"flowgate/messages"
	"flowgate/pipelines/ai"
	"flowgate/pipelines/flow"
	"flowgate/pipelines/pricing"
	"flowgate/pipelines/privacy"
	"flowgate/worker"
	"flowgate/worker/breaker"
	"flowgate/worker/cache"
	"flowgate/worker/flights"
	"flowgate/worker/handlers"
	"flowgate/worker/metrics"
	"flowgate/worker/pace"
	"flowgate/worker/statistics"
)

// promised stores whatever is published at once: the layer without its broker.
type promised struct{ seq uint64 }

func (p *promised) Publish(_ context.Context, pubs []*worker.Publication) []worker.Receipt {
	receipts := make([]worker.Receipt, len(pubs))
	for i := range pubs {
		p.seq++
		receipts[i] = worker.Receipt{Fate: worker.FateStored, Seq: p.seq}
	}
	return receipts
}

func (*promised) Newest(context.Context, int, messages.Key) (*worker.Newest, bool, error) {
	return nil, false, nil
}

// instant is a backend that costs money and answers at once, as often as it is asked: calls are paced, and none has to wait.
type instant struct{ text string }

func (instant) Name() string             { return "openai" }
func (instant) Billable() bool           { return true }
func (instant) Check(*ai.Call) *ai.Fault { return nil }

func (b instant) Call(_ context.Context, call ai.Call) (ai.Answer, error) {
	plenty := ai.Allowance{Limit: 1e12, Remaining: 1e12, Reset: time.Minute, Known: true}
	return ai.Answer{
		Text: b.text, Model: call.Model, FinishReason: "stop", Usage: messages.Usage{InputUncached: 500, Output: 300},
		Quota: ai.Quota{Requests: plenty, Tokens: plenty},
	}, nil
}

// BenchmarkAILayer is what layer 2 costs a request of 2 KB without broker and model: of one that has to call, and of one whose answer
// is in the cache. It has what a process has around the layer: controls, pace, breakers, metrics and statistics. It tells quantiles
// beside the mean.
func BenchmarkAILayer(b *testing.B) {
	for _, c := range []struct {
		name string
		same bool
	}{{"miss", false}, {"hit", true}} {
		b.Run(c.name, func(b *testing.B) { benchmarkAILayer(b, c.same) })
	}
}

func benchmarkAILayer(b *testing.B, same bool) {
	prices, err := pricing.NewTable([]pricing.Row{{Model: model, Input: 3_000_000, Output: 15_000_000}})
	if err != nil {
		b.Fatal(err)
	}
	book, err := flow.NewBook(nil)
	if err != nil {
		b.Fatal(err)
	}
	kept, err := cache.New(cache.Options{Dir: b.TempDir(), Default: cache.Family{MaxBytes: 64 << 20, Compress: true}, MemoryBytes: 64 << 20})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { kept.Run(ctx) }) // it writes files behind the requests
	b.Cleanup(func() { cancel(); running.Wait() })
	controls, err := configs.LoadControls("")
	if err != nil {
		b.Fatal(err)
	}
	breakers, err := breaker.New(breaker.DefaultOptions())
	if err != nil {
		b.Fatal(err)
	}
	policy := ai.Policy{
		Controls: controls, ComplianceLevel: "standard",
		Agreements: book, Prices: prices, Privacy: privacy.NewGuard(privacy.Rules{}),
		Cache: ai.CacheRules{Enabled: true, Sampled: true, Default: ai.CacheRule{Enabled: true, TTL: time.Hour}},
	}
	answer := ""
	for len(answer) < 1200 {
		answer += "the report says so and so "
	}
	layer := &handlers.AI{
		Backends: []handlers.Serving{{Backend: instant{answer}}}, Hop: &promised{}, Policy: func() ai.Policy { return policy }, Worker: "w",
		Now: time.Now, Cache: kept, Flights: flights.New(flights.Options{Worker: "w"}),
		Pace: pace.New(pace.Options{Worker: "w"}), Breakers: breakers,
		Observer: worker.Observe(statistics.NewBook(time.Now), metrics.New(metrics.Options{})),
	}
	tasks := make([]*worker.Task, b.N+1)
	for i := range tasks {
		prompt := answer + answer[:800]
		if !same {
			prompt += fmt.Sprint(i)
		}
		tasks[i] = benchmarkTask(b, fmt.Sprint("r", i), prompt)
	}
	layer.Handle(b.Context(), tasks[b.N:])
	took := make([]time.Duration, b.N)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		began := time.Now()
		v := layer.Handle(b.Context(), tasks[i:i+1])[0]
		took[i] = time.Since(began)
		if hit := tasks[i].Envelope.AI.CacheHit; v.Action != worker.ActionAdvance || hit != same {
			b.Fatalf("%+v, cache hit %v", v, hit)
		}
	}
	b.StopTimer()
	slices.Sort(took)
	for _, q := range []struct {
		name string
		at   int
	}{{"p50-ns", b.N / 2}, {"p99-ns", b.N * 99 / 100}} {
		b.ReportMetric(float64(took[q.at].Nanoseconds()), q.name)
	}
}

func benchmarkTask(b *testing.B, id, prompt string) *worker.Task {
	b.Helper()
	request, err := json.Marshal(messages.Request{Prompt: prompt, AuditReason: "a benchmark of the layer", Model: model})
	if err != nil {
		b.Fatal(err)
	}
	now := time.Now()
	return &worker.Task{
		Delivery: &worker.Delivery{Address: messages.Address{Key: messages.Key{Tenant: "acme", ID: id}, Class: messages.ClassStd, State: messages.StateAI}, Seq: 1, Times: 1, Stored: now},
		Envelope: &messages.Envelope{
			V: 1, Kind: messages.KindPrompt, SubmittedAt: now, NotAfter: now.Add(time.Hour), Request: request,
			Corporate: &messages.CorporateSection{Model: model, MaxTokens: 2000, Temperature: 0.7, BoundMicroUSD: 50_000, BillableAttempts: 2},
		},
		Expect: 1, Started: now,
	}
}
