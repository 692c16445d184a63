package actions

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"flowgate/messages"
)

// Chain asks this gateway as a producer does, and waits for the result.
type Chain interface {
	Ask(ctx context.Context, key messages.Key, body []byte) (messages.Result, error)
}

// Quantiles are of a list of times, in seconds, by nearest rank.
type Quantiles struct {
	Min    float64 `json:"min"`
	P50    float64 `json:"p50"`
	P95    float64 `json:"p95"`
	P99    float64 `json:"p99"`
	Max    float64 `json:"max"`
	Mean   float64 `json:"mean"`
	Spread float64 `json:"spread"`
}

// Step is what a stretch of load with so many requests at once came to.
type Step struct {
	AtOnce   int `json:"at_once"`
	Requests int `json:"requests"`
	Failed   int `json:"failed"`
	// Seconds is how long it took, PerSecond how many requests were answered in a second of it.
	Seconds   float64 `json:"seconds"`
	PerSecond float64 `json:"per_second"`
	// Latency is from the submission of a request to the end of its last layer, Model the backend's part of it: the call that answered,
	// as its attempt has it on record; Gateway is what remains, waits and calls that failed among it.
	Latency Quantiles `json:"latency_seconds"`
	Model   Quantiles `json:"model_seconds"`
	Gateway Quantiles `json:"gateway_seconds"`
	// Reasons counts what failed, by reason.
	Reasons      map[messages.Reason]int `json:"reasons,omitempty"`
	CostMicroUSD int64                   `json:"cost_microusd"`
	TokensIn     int64                   `json:"tokens_in"`
	TokensOut    int64                   `json:"tokens_out"`
	// Backends are those that answered.
	Backends []string `json:"backends,omitempty"`
}

// load asks one question in steps.
type load struct {
	chain    Chain
	order    Order
	question messages.Request
	// spent is what all steps have cost.
	spent int64
}

// newLoad reads what is to be asked.
func newLoad(c Chain, o Order) (*load, error) {
	q, err := question(o)
	return &load{chain: c, order: o, question: q}, err
}

// times are those of the requests that were answered.
type times struct {
	latency, model, gateway []float64
	first, last             time.Time
}

// step asks many times, so many at once, each without the cache.
func (l *load) step(ctx context.Context, name string, requests, atOnce int) (Step, error) {
	s := Step{AtOnce: atOnce, Requests: requests, Reasons: make(map[messages.Reason]int)}
	var mu sync.Mutex
	var all times
	var faults []error
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	next := make(chan int)
	var going sync.WaitGroup
	for range min(atOnce, requests) {
		going.Go(func() {
			for i := range next {
				r, err := l.order.ask(ctx, l.chain, fmt.Sprintf("%s-%d", name, i), l.question)
				mu.Lock()
				if err == nil {
					s.add(r, &all)
					err = l.pay(r)
				}
				if err != nil {
					faults = append(faults, err)
					cancel()
				}
				mu.Unlock()
			}
		})
	}
	for i := range requests {
		select {
		case next <- i:
			continue
		case <-ctx.Done():
		}
		break
	}
	close(next)
	going.Wait()
	switch {
	case len(faults) > 0:
		return s, fmt.Errorf("the load with %d at once was not answered: %w", atOnce, faults[0])
	case ctx.Err() != nil:
		return s, fmt.Errorf("the load with %d at once did not end in its time", atOnce)
	}
	s.Seconds = all.last.Sub(all.first).Seconds() // by the results: where they are of a run before a crash, that one is measured
	if s.Seconds > 0 {
		s.PerSecond = float64(len(all.latency)) / s.Seconds
	}
	s.Latency, s.Model, s.Gateway = quantiles(all.latency), quantiles(all.model), quantiles(all.gateway)
	slices.Sort(s.Backends)
	return s, nil
}

// pay counts what a request cost, and ends a load that its agreement has no more money for.
func (l *load) pay(r messages.Result) error {
	if r.Metadata != nil {
		l.spent += r.Metadata.CostMicroUSD
	}
	if most := l.order.Agreement.Limits.RequestMicroUSD; most > 0 && l.spent > most {
		return fmt.Errorf("it cost more than the agreement's limit of %d micro-dollars a request", most)
	}
	return nil
}

// add counts one result.
func (s *Step) add(r messages.Result, all *times) {
	if all.first.IsZero() || r.SubmittedAt.Before(all.first) {
		all.first = r.SubmittedAt
	}
	if r.FinishedAt.After(all.last) {
		all.last = r.FinishedAt
	}
	if m := r.Metadata; m != nil {
		s.CostMicroUSD, s.TokensIn, s.TokensOut = s.CostMicroUSD+m.CostMicroUSD, s.TokensIn+m.Tokens.Input, s.TokensOut+m.Tokens.Output
	}
	if r.Status != messages.StatusSuccess {
		s.Failed++
		s.Reasons[r.Reason]++
		return
	}
	took := r.FinishedAt.Sub(r.SubmittedAt).Seconds()
	all.latency = append(all.latency, took)
	if m := r.Metadata; m != nil {
		all.model, all.gateway = append(all.model, m.ProcessingTime), append(all.gateway, max(took-m.ProcessingTime, 0))
		if !slices.Contains(s.Backends, m.Backend) {
			s.Backends = append(s.Backends, m.Backend)
		}
	}
}

// question is the document that loads ask: parameters prompt, model and max_tokens.
func question(o Order) (messages.Request, error) {
	r := messages.Request{Prompt: "Say OK.", Cache: &messages.CacheControl{NoCache: true, NoStore: true}}
	for name, into := range map[string]*string{"prompt": &r.Prompt, "model": &r.Model} {
		switch said := o.Agreement.Parameters[name].(type) {
		case nil:
		case string:
			*into = said
		default:
			return r, &ParameterError{name, "must be a text"}
		}
	}
	tokens, err := o.Number("max_tokens", 16, 1, 1000)
	r.MaxTokens = &tokens
	return r, err
}

func quantiles(all []float64) (q Quantiles) {
	if len(all) == 0 {
		return q
	}
	slices.Sort(all)
	rank := func(p float64) float64 { return all[max(int(math.Ceil(p*float64(len(all))))-1, 0)] }
	q.Min, q.P50, q.P95, q.P99, q.Max = all[0], rank(0.50), rank(0.95), rank(0.99), all[len(all)-1]
	for _, v := range all {
		q.Mean += v / float64(len(all))
	}
	for _, v := range all {
		q.Spread += (v - q.Mean) * (v - q.Mean)
	}
	q.Spread = math.Sqrt(q.Spread / float64(max(len(all)-1, 1)))
	return q
}
