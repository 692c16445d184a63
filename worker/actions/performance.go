package actions

import (
	"context"
	"errors"
	"fmt"

	"flowgate/pipelines/flow"
)

// The names of PerformanceTest and ScalabilityTest.
const (
	PerformanceTestAction = "performance_benchmark"
	ScalabilityTestAction = "scalability_test"
)

// PerformanceTest asks the gateway's own chain a bounded number of times (parameters requests, 1 to 500, default 20; at_once, 1 to 64,
// default 4; prompt, model, max_tokens) and reports how long it took.
func PerformanceTest(c Chain) Function {
	return func(ctx context.Context, o Order) (Measured, error) {
		requests, err := o.number("requests", 20, 1, 500)
		if err != nil {
			return Measured{}, err
		}
		atOnce, err := o.number("at_once", 4, 1, 64)
		if err != nil {
			return Measured{}, err
		}
		s, err := load(ctx, c, o, "load", requests, atOnce)
		if err != nil {
			return Measured{}, err
		}
		answered := int64(s.Requests - s.Failed)
		if answered == 0 {
			return Measured{}, errors.New("no request was answered: " + s.why())
		}
		return Measured{Document: s, Samples: answered, Confidence: flow.Confidence(answered, s.Latency.Mean, s.Latency.Spread)}, nil
	}
}

// why names the most frequent reason of a failure.
func (s *Step) why() string {
	most, reason := 0, "nobody said why"
	for r, n := range s.Reasons {
		if n > most || n == most && string(r) < reason {
			most, reason = n, string(r)
		}
	}
	return reason
}

// ScalabilityReport is what ScalabilityTest finds.
type ScalabilityReport struct {
	Steps []Step `json:"steps"`
	// Knee is the most requests at once that still brought more throughput, PerSecond the throughput there; Limit says what ended the test.
	Knee      int     `json:"knee"`
	PerSecond float64 `json:"per_second"`
	Limit     string  `json:"limit"`
}

// What ends a scalability test.
const (
	limitErrors     = "errors"
	limitLatency    = "latency"
	limitThroughput = "throughput"
	limitLoad       = "the most that was tried"
)

const (
	// worthwhile is how many times more throughput twice as many at once must bring, to count as growth: half of what would be ideal.
	worthwhile = 1.5
	// mostFailed is the part of a step that may fail.
	mostFailed = 0.05
)

// ScalabilityTest asks the gateway's own chain with 1, 2, 4 and more requests at once (parameters most_at_once, 2 to 256, default 64;
// requests_each, for each of those at once, 1 to 20, default 3; latency_factor, 2 to 100, default 10; prompt, model, max_tokens), until
// more bring no more throughput, the 95 % quantile of latency passes that many times the first step's, or more than a twentieth fails.
func ScalabilityTest(c Chain) Function {
	return func(ctx context.Context, o Order) (Measured, error) {
		most, err := o.number("most_at_once", 64, 2, 256)
		if err != nil {
			return Measured{}, err
		}
		each, err := o.number("requests_each", 3, 1, 20)
		if err != nil {
			return Measured{}, err
		}
		factor, err := o.number("latency_factor", 10, 2, 100)
		if err != nil {
			return Measured{}, err
		}
		r := &ScalabilityReport{Limit: limitLoad}
		var samples int64
		for atOnce := 1; atOnce <= most && r.Limit == limitLoad; atOnce *= 2 {
			s, err := load(ctx, c, o, fmt.Sprint("step", atOnce), max(atOnce*each, 4), atOnce)
			if err != nil {
				return Measured{}, err
			}
			r.Steps = append(r.Steps, s)
			samples += int64(s.Requests - s.Failed)
			r.judge(float64(factor))
		}
		if samples == 0 {
			return Measured{}, errors.New("no request was answered: " + r.Steps[0].why())
		}
		last := r.Steps[len(r.Steps)-1]
		return Measured{Document: r, Samples: samples, Confidence: flow.Confidence(int64(last.Requests-last.Failed), last.Latency.Mean, last.Latency.Spread)}, nil
	}
}

// judge looks at the last step: it moves the knee there, or says what ends the test.
func (r *ScalabilityReport) judge(factor float64) {
	s := &r.Steps[len(r.Steps)-1]
	switch {
	case float64(s.Failed) > mostFailed*float64(s.Requests):
		r.Limit = limitErrors
	case len(r.Steps) > 1 && s.PerSecond < worthwhile*r.PerSecond:
		r.Limit = limitThroughput
	case len(r.Steps) > 1 && s.Latency.P95 > factor*r.Steps[0].Latency.P95:
		r.Limit = limitLatency
	default:
		r.Knee, r.PerSecond = s.AtOnce, s.PerSecond
	}
}
