package actions

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"flowgate/pipelines/flow"
)

// ScalabilityTestAction is the name of ScalabilityTest.
const ScalabilityTestAction = "scalability_test"

// ScalabilityReport is what ScalabilityTest finds.
type ScalabilityReport struct {
	// Steps are by how many at once, which is not the order in which they were tried.
	Steps []Step `json:"steps"`
	// Knee is the most requests at once that still brought more throughput, PerSecond the throughput there; Limit says what ended the test.
	Knee      int     `json:"knee"`
	PerSecond float64 `json:"per_second"`
	Limit     string  `json:"limit"`
	// Over is the least that was tried and too much, 0 where nothing was: the knee is less than that, and at least Knee.
	Over int `json:"over,omitempty"`
	// Grew is whose part of the slowest request's time grew more, from the last step that was good while doubling, in most of the steps that
	// were too much and answered: backend or gateway. Why is the most frequent reason of the failures at Over, where they are the limit.
	Grew string `json:"grew,omitempty"`
	Why  string `json:"why,omitempty"`
}

// What ends a scalability test.
const (
	limitErrors     = "errors"
	limitLatency    = "latency"
	limitThroughput = "throughput"
	limitLoad       = "the most that was tried"
)

// Whose part of the time grew.
const (
	grewBackend = "backend"
	grewGateway = "gateway"
)

const (
	// coarse is the part of the throughput for each at once that twice as many at once must keep, to count as growth: half of what would
	// be ideal. sharp is the part that counts near the knee.
	coarse = 0.75
	sharp  = 0.85
	// verge: what falls short by less is measured once more.
	verge = 0.85
	// mostFailed is the part of a step that may fail.
	mostFailed = 0.05
	// fine is how exactly the knee is found, as one part of so many of it.
	fine = 32
)

// scaling is one test.
type scaling struct {
	load         *load
	each, factor int
	first        *Step
	// good is the step of the knee so far, bad the least one that was too much, for the reason in limit; nil: there is none.
	good, bad *Step
	// before is the step before the good one while doubling, base the one that halving holds steps against.
	before, base *Step
	limit        string
	steps        []*Step
}

// ScalabilityTest asks the gateway's own chain with 1, 2, 4 and more requests at once (parameters least_at_once, 1 to 128, default 1;
// most_at_once, 2 to 256, default 64; requests_each, for each of those at once, 1 to 20, default 3; latency_factor, 2 to 100, default 10;
// prompt, model, max_tokens), until more bring no more throughput, the 95 % quantile of latency passes that many times the first step's,
// or more than a twentieth fails. Then it halves the gap between the last step that was good and the first that was not, to the knee: the
// most at once of which each still has 85 % of the throughput that it had before the gap.
func ScalabilityTest(c Chain) Function {
	return func(ctx context.Context, o Order) (Measured, error) {
		s, least, most, err := newScaling(c, o)
		if err != nil {
			return Measured{}, err
		}
		if err := s.double(ctx, least, most); err != nil {
			return Measured{}, err
		}
		if err := s.halve(ctx); err != nil {
			return Measured{}, err
		}
		return s.measured()
	}
}

func newScaling(c Chain, o Order) (s *scaling, least, most int, err error) {
	s = &scaling{limit: limitLoad}
	if least, err = o.Number("least_at_once", 1, 1, 128); err != nil {
		return nil, 0, 0, err
	}
	if most, err = o.Number("most_at_once", max(64, least), max(2, least), 256); err != nil {
		return nil, 0, 0, err
	}
	if s.each, err = o.Number("requests_each", 3, 1, 20); err != nil {
		return nil, 0, 0, err
	}
	if s.factor, err = o.Number("latency_factor", 10, 2, 100); err != nil {
		return nil, 0, 0, err
	}
	s.load, err = newLoad(c, o)
	return s, least, most, err
}

// double finds a step that is too much, or none up to the most.
func (s *scaling) double(ctx context.Context, least, most int) error {
	for atOnce := least; ; atOnce = min(2*atOnce, most) {
		step, limit, err := s.try(ctx, atOnce, s.good, coarse)
		if err != nil {
			return err
		}
		if limit != "" {
			s.bad, s.limit = step, limit
			return nil
		}
		s.before, s.good = s.good, step
		if atOnce == most {
			return nil
		}
	}
}

// halve narrows the knee down. All steps are held against the one that doubling found: against neighbours, the growth that each must bring
// would be less than what measurements differ by. It ends early where the agreement's time or money would not do for the next step.
func (s *scaling) halve(ctx context.Context) error {
	if s.before != nil && s.good.falls(s.before, sharp) {
		good, err := s.again(ctx, s.good, "checked")
		if err != nil {
			return err
		}
		s.steps[slices.Index(s.steps, s.good)], s.good = good, good
	}
	if s.before != nil && s.good.falls(s.before, sharp) {
		s.good, s.bad, s.limit = s.before, s.good, limitThroughput
	}
	s.base = s.good
	for s.base != nil && s.bad != nil && s.bad.AtOnce-s.good.AtOnce > max(s.good.AtOnce/fine, 1) {
		between := (s.good.AtOnce + s.bad.AtOnce) / 2
		if !s.affords(ctx, between) {
			return nil
		}
		step, limit, err := s.try(ctx, between, s.base, sharp)
		switch {
		case err != nil:
			return err
		case limit != "":
			s.bad, s.limit = step, limit
		default:
			s.good = step
		}
	}
	return nil
}

// affords tells whether a step would end well within the time and money that there are, by what the steps before took of both.
func (s *scaling) affords(ctx context.Context, atOnce int) bool {
	requests, asked := s.requests(atOnce), 0
	for _, step := range s.steps {
		asked += step.Requests
	}
	if most := s.load.order.Agreement.Limits.RequestMicroUSD; most > 0 && float64(s.load.spent)*(1+float64(requests)/float64(asked)) > float64(most) {
		return false
	}
	end, bounded := ctx.Deadline()
	expected := float64(requests) * max(s.good.each(), s.bad.each())
	return !bounded || 2*expected < time.Until(end).Seconds()
}

// each is how many seconds a request of a step took of it, those that failed among them.
func (s *Step) each() float64 { return s.Seconds / float64(s.Requests) }

// requests are those of a step.
func (s *scaling) requests(atOnce int) int { return max(atOnce*s.each, 4) }

// falls tells whether each at once has less than a part of the throughput that each had at a base.
func (s *Step) falls(base *Step, part float64) bool {
	return s.PerSecond/float64(s.AtOnce) < part*base.PerSecond/float64(base.AtOnce)
}

// try measures a step, and says what makes it too much against a base, nil: against nothing. part is what of the base's throughput for
// each at once it must keep.
func (s *scaling) try(ctx context.Context, atOnce int, base *Step, part float64) (*Step, string, error) {
	step, err := s.measure(ctx, fmt.Sprint("step", atOnce), atOnce)
	if err != nil {
		return nil, "", err
	}
	if s.first == nil {
		s.first = step
	}
	limit := s.judge(step, base, part)
	if (limit == limitThroughput || limit == limitLatency) && (step.straggled(base) || !step.falls(base, verge*part)) {
		step, err = s.again(ctx, step, "again")
		if err != nil {
			return nil, "", err
		}
		limit = s.judge(step, base, part)
	}
	s.steps = append(s.steps, step)
	return step, limit, nil
}

func (s *scaling) measure(ctx context.Context, name string, atOnce int) (*Step, error) {
	step, err := s.load.step(ctx, name, s.requests(atOnce), atOnce)
	return &step, err
}

// again measures a step once more, and returns the better one: a machine that does something else for a moment, and a pace that is still
// being found out, make it worse, and nothing makes it better than it is.
func (s *scaling) again(ctx context.Context, step *Step, name string) (*Step, error) {
	other, err := s.measure(ctx, fmt.Sprintf("step%d-%s", step.AtOnce, name), step.AtOnce)
	if err != nil {
		return nil, err
	}
	if other.PerSecond > step.PerSecond {
		return other, nil
	}
	return step, nil
}

// judge says what makes a step too much; empty: nothing.
func (s *scaling) judge(step, base *Step, part float64) string {
	switch {
	case step.failed():
		return limitErrors
	case base == nil:
		return ""
	case step.falls(base, part):
		return limitThroughput
	case step.Latency.P95 > float64(s.factor)*s.first.Latency.P95:
		return limitLatency
	}
	return ""
}

// straggled tells whether the gateway's slowest request explains more of a step's time than the backend's: how long a step takes is up to
// its slowest, and a place for which one had to wait costs a whole latency of the backend.
func (s *Step) straggled(base *Step) bool {
	return s.Gateway.Max-base.Gateway.Max >= s.Model.Max-base.Model.Max
}

// failed tells whether too much of a step failed.
func (s *Step) failed() bool { return float64(s.Failed) > mostFailed*float64(s.Requests) }

// grew tells whose part of the time grew in most of the steps that were too much and did not fail: right beyond the knee so few have to wait
// that one of them may be lost in what measurements differ by, and far beyond it the gateway has limits of its own.
func (s *scaling) grew() string {
	backend := 0
	for _, step := range s.steps {
		switch {
		case step.AtOnce < s.bad.AtOnce || step.failed():
		case step.straggled(s.base):
			backend--
		default:
			backend++
		}
	}
	if backend > 0 {
		return grewBackend
	}
	return grewGateway
}

// measured is what was found.
func (s *scaling) measured() (Measured, error) {
	r := &ScalabilityReport{Limit: s.limit}
	var samples int64
	for _, step := range s.steps {
		samples += int64(step.Requests - step.Failed)
		r.Steps = append(r.Steps, *step)
	}
	if samples == 0 {
		return Measured{}, errors.New("no request was answered: " + s.first.why())
	}
	at := s.first
	if s.good != nil {
		at, r.Knee, r.PerSecond = s.good, s.good.AtOnce, s.good.PerSecond
	}
	if s.bad != nil {
		r.Over = s.bad.AtOnce
	}
	switch {
	case s.limit == limitErrors:
		r.Why = s.bad.why()
	case s.bad != nil && s.base != nil:
		r.Grew = s.grew()
	}
	slices.SortFunc(r.Steps, func(a, b Step) int { return cmp.Compare(a.AtOnce, b.AtOnce) })
	return Measured{Document: r, Samples: samples, Confidence: flow.Confidence(int64(at.Requests-at.Failed), at.Latency.Mean, at.Latency.Spread)}, nil
}
