package main

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"flowgate/worker/actions"
)

// measurements bounds how often a load is measured until it finds what is planted: times of a machine that does other work meanwhile are
// those of that work too. Each time the backend takes as many times as long: by that much less counts what the machine adds.
const measurements = 3

// TestLoadsFindPlantedTruths: a backend of known latency, and one that works on 32 calls at once. It runs beside no other test of this
// package.
func TestLoadsFindPlantedTruths(t *testing.T) { //nolint:paralleltest // it measures time
	g := newTruth(t, "")
	g.measured("performance", func(id string) []string {
		var step actions.Step
		x := g.finds(id, "[Performance Test]", &step)
		if x.Samples != 40 || step.Requests != 40 || step.Failed != 0 || len(step.Backends) != 1 || step.Backends[0] != "openai" {
			t.Errorf("got %+v of %d samples", step, x.Samples)
		}
		if l, m := step.Latency, step.Model; l.Min < m.Min || l.P50 < m.P50 || l.Mean < m.Mean || step.Gateway.Max < g.slowed(usual).Seconds() || math.Abs(l.Mean-m.Mean-step.Gateway.Mean) > 0.01 {
			t.Errorf("all together took %+v, the backend %+v, the gateway %+v", l, m, step.Gateway)
		}
		return g.missedQuantiles(step.Model)
	})
	g.measured("scalability", func(id string) []string {
		var r actions.ScalabilityReport
		g.finds(id, "[Scalability Test]", &r)
		return g.missedKnee(r)
	})
}

// measured carries an action out until it misses nothing.
func (g *truth) measured(name string, missed func(id string) []string) {
	g.t.Helper()
	var all []string
	for n := range measurements {
		g.slower.Store(int64(n + 1))
		faults := missed(fmt.Sprintf("%s-%d", name, n))
		if len(faults) == 0 {
			return
		}
		all = append(all, faults...)
	}
	g.t.Errorf("%s missed what is planted, %d times:\n%s", name, measurements, strings.Join(all, "\n"))
}

// missedQuantiles are those that differ by more than 5 % from what is planted.
func (g *truth) missedQuantiles(of actions.Quantiles) (faults []string) {
	for _, c := range []struct {
		name string
		got  float64
		want time.Duration
	}{
		{"min", of.Min, usual},
		{"p50", of.P50, usual},
		{"p95", of.P95, seldom},
		{"p99", of.P99, seldom},
		{"max", of.Max, seldom},
		{"mean", of.Mean, (usual*(everyNth-1) + seldom) / everyNth},
	} {
		if want := g.slowed(c.want).Seconds(); math.Abs(c.got-want) > 0.05*want {
			faults = append(faults, fmt.Sprintf("%s of the backend is %.3f s, planted were %.3f s", c.name, c.got, want))
		}
	}
	return faults
}

// missedKnee is what is not as the provider's seats have it.
func (g *truth) missedKnee(r actions.ScalabilityReport) (faults []string) {
	if r.Knee != seats || r.Over != seats+1 || r.Limit != "throughput" || r.Grew != "backend" {
		faults = append(faults, fmt.Sprintf("the knee is %d of less than %d (%s, %s grew)", r.Knee, r.Over, r.Limit, r.Grew))
	}
	if most := seats / g.slowed(stepLatency).Seconds(); r.PerSecond > most || r.PerSecond < most/2 {
		faults = append(faults, fmt.Sprintf("%.1f a second were answered, %.1f can be", r.PerSecond, most))
	}
	if len(faults) > 0 {
		for _, s := range r.Steps {
			faults = append(faults, fmt.Sprintf("  %d at once: %.2f a second, the slowest had %.3f s of the backend, %.3f s of the gateway, %d failed", s.AtOnce, s.PerSecond, s.Model.Max, s.Gateway.Max, s.Failed))
		}
	}
	return faults
}
