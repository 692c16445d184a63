package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"flowgate/worker/breaker"
)

func breakerMetrics(all []breaker.State, d []*prometheus.Desc, out chan<- prometheus.Metric) {
	stopped := map[string]int{}
	for _, s := range all {
		if s.Model != "" {
			if s.State != breaker.Closed {
				stopped[s.Backend]++
			}
			continue
		}
		stopped[s.Backend] += 0
		for _, p := range breaker.Positions() {
			out <- gaugeOf(d[0], truth(s.State == p), s.Backend, string(p))
		}
	}
	for backend, n := range stopped {
		out <- gaugeOf(d[1], float64(n), backend)
	}
}

// pacedMetrics adds up the models of a backend: there may be many of them.
func pacedMetrics(p Paced, d []*prometheus.Desc, out chan<- prometheus.Metric) {
	type sum struct {
		waiting, away int
		blocked       time.Duration
	}
	backends := map[string]sum{}
	for _, s := range p.Keys {
		b := backends[s.Backend]
		b.waiting += s.Waiting
		b.away += s.Away
		if s.BlockedUntil != nil {
			b.blocked = max(b.blocked, time.Until(*s.BlockedUntil))
		}
		backends[s.Backend] = b
	}
	for backend, b := range backends {
		out <- gaugeOf(d[0], float64(b.waiting), backend)
		out <- gaugeOf(d[1], float64(b.away), backend)
		out <- gaugeOf(d[2], b.blocked.Seconds(), backend)
	}
	for backend, waited := range p.Waited {
		out <- counterOf(d[3], waited.Seconds(), backend)
	}
}
