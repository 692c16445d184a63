package metrics

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"flowgate/worker/sessions"
)

// asked is a source that has to be asked: at most once a Keep, within the timeout, by one scrape at a time.
type asked[T any] struct {
	name          string
	ask           func(ctx context.Context) (T, error)
	timeout, keep time.Duration

	mu     sync.Mutex
	at     time.Time
	answer T
	err    error
}

// get is the answer; false where there is none, which the next Keep does not change.
func (a *asked[T]) get() (T, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.at.IsZero() || time.Since(a.at) >= a.keep {
		ctx, cancel := context.WithTimeout(context.Background(), a.timeout)
		defer cancel()
		a.answer, a.err = a.ask(ctx)
		a.at = time.Now()
	}
	return a.answer, a.err == nil
}

// collector collects what emit sends; up tells, where it is set, whether a source answered.
type collector struct {
	descs []*prometheus.Desc
	emit  func(out chan<- prometheus.Metric)
}

func (c collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		out <- d
	}
}

func (c collector) Collect(out chan<- prometheus.Metric) { c.emit(out) }

func gaugeOf(d *prometheus.Desc, value float64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
}

func counterOf(d *prometheus.Desc, value float64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(d, prometheus.CounterValue, value, labels...)
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// collectors makes one collector a source that is there.
func (o Options) collectors() (all []prometheus.Collector) {
	s := o.Sources
	if s.Queues != nil {
		all = append(all, source(o, "queues", s.Queues, queueMetrics, nameOldest, namePending, nameUnanswered))
	}
	if s.Held != nil {
		all = append(all, source(o, "ledger", s.Held, heldMetrics, nameHeld))
	}
	if s.Lag != nil {
		all = append(all, source(o, "record", s.Lag, lagMetrics, nameLag))
	}
	if s.Services != nil {
		all = append(all, known(s.Services, serviceMetrics, nameService, nameServiceTime))
	}
	if s.Budgets != nil {
		all = append(all, known(s.Budgets, budgetMetrics, nameBudgetUsed, nameBudgetAlerts))
	}
	if s.Cache != nil {
		all = append(all, known(s.Cache, cacheMetrics, nameCacheHits, nameCacheMisses, nameCacheSaved, nameCacheEvicted, nameCacheBytes))
	}
	if s.Pool != nil {
		all = append(all, known(s.Pool, poolMetrics, nameConnections, nameMostConns, nameConnWaits, nameConnWaitTime))
	}
	if s.Broker != nil {
		all = append(all, known(s.Broker, brokerMetrics, nameConnected, nameReconnects))
	}
	if s.Breakers != nil {
		all = append(all, known(s.Breakers, breakerMetrics, nameBreaker, nameBreakersOpen))
	}
	if s.Paced != nil {
		all = append(all, known(s.Paced, pacedMetrics, nameWaiting, nameAway, nameBlocked, namePaced))
	}
	return all
}

// source makes a collector of a source that has to be asked. Where it does not answer, only that is told.
func source[T any](o Options, name string, ask func(context.Context) (T, error), tell func(T, []*prometheus.Desc, chan<- prometheus.Metric), names ...string) collector {
	a := &asked[T]{name: name, ask: ask, timeout: o.Timeout, keep: o.Keep}
	up := prometheus.NewDesc(nameAsked, define(nameAsked).Help, nil, prometheus.Labels{"source": name})
	descs := describe(names)
	return collector{append(descs, up), func(out chan<- prometheus.Metric) {
		answer, ok := a.get()
		out <- gaugeOf(up, truth(ok))
		if ok {
			tell(answer, descs, out)
		}
	}}
}

// known makes a collector of what is known without asking.
func known[T any](get func() (T, bool), tell func(T, []*prometheus.Desc, chan<- prometheus.Metric), names ...string) collector {
	descs := describe(names)
	return collector{descs, func(out chan<- prometheus.Metric) {
		if stand, ok := get(); ok {
			tell(stand, descs, out)
		}
	}}
}

func describe(names []string) []*prometheus.Desc {
	descs := make([]*prometheus.Desc, len(names), len(names)+1)
	for i, n := range names {
		descs[i] = define(n).desc()
	}
	return descs
}

func queueMetrics(queues []Queue, d []*prometheus.Desc, out chan<- prometheus.Metric) {
	for _, q := range queues {
		labels := []string{string(q.Layer), string(q.Class), q.Name}
		if !q.Oldest.IsZero() {
			out <- gaugeOf(d[0], max(time.Since(q.Oldest).Seconds(), 0), labels...)
		}
		out <- gaugeOf(d[1], float64(q.Pending), labels...)
		out <- gaugeOf(d[2], float64(q.Unanswered), labels...)
	}
}

func heldMetrics(held int64, d []*prometheus.Desc, out chan<- prometheus.Metric) {
	out <- gaugeOf(d[0], float64(held))
}

func lagMetrics(lag map[string]time.Duration, d []*prometheus.Desc, out chan<- prometheus.Metric) {
	for stream, behind := range lag {
		out <- gaugeOf(d[0], behind.Seconds(), stream)
	}
}

func serviceMetrics(all []sessions.Health, d []*prometheus.Desc, out chan<- prometheus.Metric) {
	for _, h := range all {
		if h.Unused {
			continue
		}
		for _, s := range sessions.States() {
			out <- gaugeOf(d[0], truth(h.State == s), h.Service, string(s))
		}
		if h.LatencyMS.Last > 0 {
			out <- gaugeOf(d[1], h.LatencyMS.Last/1000, h.Service)
		}
	}
}

func budgetMetrics(b Budgets, d []*prometheus.Desc, out chan<- prometheus.Metric) {
	for _, u := range b.Used {
		out <- gaugeOf(d[0], u.Ratio, u.Kind, u.Window)
	}
	for _, a := range b.Alerts {
		out <- counterOf(d[1], float64(a.N), a.Kind, a.Window, a.Mark)
	}
}

func cacheMetrics(c Cache, d []*prometheus.Desc, out chan<- prometheus.Metric) {
	for level, n := range c.Hits {
		out <- counterOf(d[0], float64(n), level)
	}
	out <- counterOf(d[1], float64(c.Misses))
	out <- counterOf(d[2], float64(c.SavedMicroUSD))
	out <- counterOf(d[3], float64(c.Evicted))
	for level, n := range c.Bytes {
		out <- gaugeOf(d[4], float64(n), level)
	}
}

func poolMetrics(p Pool, d []*prometheus.Desc, out chan<- prometheus.Metric) {
	out <- gaugeOf(d[0], float64(p.InUse), "in_use")
	out <- gaugeOf(d[0], float64(p.Idle), "idle")
	out <- gaugeOf(d[1], float64(p.Max))
	out <- counterOf(d[2], float64(p.Waits))
	out <- counterOf(d[3], p.Waited.Seconds())
}

func brokerMetrics(b Broker, d []*prometheus.Desc, out chan<- prometheus.Metric) {
	out <- gaugeOf(d[0], truth(b.Connected))
	out <- counterOf(d[1], float64(b.Reconnects))
}
