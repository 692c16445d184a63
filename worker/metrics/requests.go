package metrics

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"flowgate/messages"
	"flowgate/pipelines/pricing"
	"flowgate/worker"
)

// requests counts what the runtime tells.
type requests struct {
	settled, attempts, dead, cost, over *prometheus.CounterVec
	wait, work, durations, tokens       *prometheus.HistogramVec
	deadline                            prometheus.Observer
	models, backends, classes, why      bounded
}

var _ worker.Observer = (*requests)(nil)

// Bounds of the labels whose values come from outside: a model's name from requests that a price knows, the rest from settings and
// code.
const (
	mostModels   = 100
	mostBackends = 20
	mostClasses  = 20
	mostReasons  = 100
)

func newRequests(registry prometheus.Registerer) *requests {
	deadline := define(nameDeadline).histograms()
	r := &requests{
		settled: define(nameRequests).counters(), attempts: define(nameAttempts).counters(), dead: define(nameDead).counters(),
		cost: define(nameCost).counters(), over: define(nameOverBound).counters(), wait: define(nameWait).histograms(), work: define(nameWork).histograms(),
		durations: define(nameDuration).histograms(), tokens: define(nameTokens).histograms(), deadline: deadline.WithLabelValues(),
		models: bounded{most: mostModels}, backends: bounded{most: mostBackends}, classes: bounded{most: mostClasses}, why: bounded{most: mostReasons},
	}
	registry.MustRegister(r.settled, r.attempts, r.dead, r.cost, r.over, r.wait, r.work, r.durations, r.tokens, deadline)
	return r
}

// Settled counts a delivery that was answered.
func (r *requests) Settled(s worker.Settled) {
	layer := string(s.Layer)
	r.settled.WithLabelValues(layer, string(s.Outcome), r.why.name(string(s.Reason))).Inc()
	if s.Outcome == worker.SettledParked { // nobody worked on it
		return
	}
	r.wait.WithLabelValues(layer, r.classes.name(string(s.Class))).Observe(s.Waited.Seconds())
	r.work.WithLabelValues(layer).Observe(s.Took.Seconds())
	if s.HasLeft {
		r.deadline.Observe(max(s.Left.Seconds(), 0))
	}
}

// Attempted counts an attempt at a backend. A crash outside of a call is none.
func (r *requests) Attempted(told worker.Attempted) {
	a := &told.Attempt
	if a.Backend == "" {
		return
	}
	backend, model, class := r.backends.name(a.Backend), r.model(a), r.classes.name(a.Class)
	if told.OK() {
		class = "ok"
	}
	r.attempts.WithLabelValues(backend, class).Inc()
	if a.CostMicroUSD > 0 {
		r.cost.WithLabelValues(backend).Add(float64(a.CostMicroUSD))
	}
	if a.OverBound() {
		r.over.WithLabelValues(backend).Inc()
	}
	operation, provider, errorType := told.Operation(), worker.Provider(backend), r.classes.name(a.Class)
	r.durations.WithLabelValues(operation, provider, model, errorType).Observe(float64(a.DurationMS) / 1000)
	if a.Usage != nil {
		r.tokens.WithLabelValues(operation, provider, model, "input").Observe(float64(a.Usage.Input()))
		if told.Kind != messages.KindEmbedding { // vectors are no tokens
			r.tokens.WithLabelValues(operation, provider, model, "output").Observe(float64(a.Usage.Output))
		}
	}
}

// model is the name of an attempt's model as a label. Only one with a price of its own is named: any other is a word of whoever
// sent the request.
func (r *requests) model(a *messages.Attempt) string {
	if a.PriceVersion == "" || pricing.Dearest(a.PriceVersion) {
		return other
	}
	return r.models.name(a.Model)
}

// Died counts a dead letter.
func (r *requests) Died(d worker.Died) {
	r.dead.WithLabelValues(string(d.Layer), r.why.name(string(d.Reason))).Inc()
}

// other is what stands for every value over the bound of a label.
const other = "other"

// bounded lets the first values of a label through, as many as most says.
type bounded struct {
	most int

	mu   sync.RWMutex
	seen map[string]bool
}

func (b *bounded) name(value string) string {
	b.mu.RLock()
	known, full := b.seen[value], len(b.seen) >= b.most
	b.mu.RUnlock()
	switch {
	case known || value == "":
		return value
	case full:
		return other
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.seen) >= b.most {
		return other
	}
	if b.seen == nil {
		b.seen = make(map[string]bool)
	}
	b.seen[value] = true
	return value
}
