package actions

import (
	"context"
	"errors"

	"flowgate/pipelines/flow"
)

// PerformanceTestAction is the name of PerformanceTest.
const PerformanceTestAction = "performance_benchmark"

// PerformanceTest asks the gateway's own chain a bounded number of times (parameters requests, 1 to 500, default 20; at_once, 1 to 64,
// default 4; prompt, model, max_tokens) and reports how long it took: the backend, the gateway, and both together.
func PerformanceTest(c Chain) Function {
	return func(ctx context.Context, o Order) (Measured, error) {
		requests, err := o.Number("requests", 20, 1, 500)
		if err != nil {
			return Measured{}, err
		}
		atOnce, err := o.Number("at_once", 4, 1, 64)
		if err != nil {
			return Measured{}, err
		}
		l, err := newLoad(c, o)
		if err != nil {
			return Measured{}, err
		}
		s, err := l.step(ctx, "load", requests, atOnce)
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
