package actions

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"flowgate/messages"
	"flowgate/pipelines/flow"
	"flowgate/worker/postgres"
)

// ErrorAnalysisAction is the name of ErrorAnalysis.
const ErrorAnalysisAction = "error_analysis"

// Failing is where faults are on record.
type Failing interface {
	Faults(ctx context.Context, tenant string, since, until time.Time) (groups []postgres.FaultGroup, attempts, outcomes int64, err error)
}

// ErrorReport is what ErrorAnalysis finds.
type ErrorReport struct {
	Window

	// Attempts and Requests are all that there were, FailedAttempts and FailedRequests those that came to nothing.
	Attempts       int64 `json:"attempts"`
	FailedAttempts int64 `json:"failed_attempts"`
	// RetriedCalls failed too, and the attempts that they were made in went on after them.
	RetriedCalls   int64 `json:"retried_calls"`
	Requests       int64 `json:"requests"`
	FailedRequests int64 `json:"failed_requests"`
	// DeadLetters can be replayed.
	DeadLetters int64 `json:"dead_letters"`

	// ByClass and ByBackend count failed attempts and retried calls, ByReason and ByLayer failed requests.
	ByClass   []ErrorGroup `json:"by_class"`
	ByReason  []ErrorGroup `json:"by_reason"`
	ByLayer   []ErrorGroup `json:"by_layer"`
	ByBackend []ErrorGroup `json:"by_backend"`
}

// ErrorGroup is how often one thing went wrong.
type ErrorGroup struct {
	Name    string `json:"name"`
	Backend string `json:"backend,omitempty"`
	Count   int64  `json:"count"`
	// Share is of all that failed alike, Trend the count of the window's second half over that of its first: above 1 it grows; absent
	// where the first half had none.
	Share float64  `json:"share"`
	Trend *float64 `json:"trend,omitempty"`
	// ChargedMicroUSD is what it cost all the same.
	ChargedMicroUSD int64     `json:"charged_microusd"`
	Last            time.Time `json:"last"`
	// Next says what to do about it, where the reason has a word for that.
	Next string `json:"next,omitempty"`

	earlier int64
}

// ErrorAnalysis counts what went wrong in the tenant in the last days (parameter days, 1 to 366, default 30).
func ErrorAnalysis(failing Failing) Function {
	return func(ctx context.Context, o Order) (Measured, error) {
		w, err := lastDays(o)
		if err != nil {
			return Measured{}, err
		}
		groups, attempts, outcomes, err := failing.Faults(ctx, o.Tenant, w.Since, w.Until)
		if err != nil {
			return Measured{}, errors.New("the faults on record cannot be read")
		}
		r := reportErrors(w, groups, attempts, outcomes)
		return Measured{Document: r, Samples: outcomes, Confidence: flow.ConfidenceOfShare(min(r.FailedRequests, outcomes), outcomes)}, nil
	}
}

func reportErrors(w Window, groups []postgres.FaultGroup, attempts, outcomes int64) *ErrorReport {
	r := &ErrorReport{Window: w, Attempts: attempts, Requests: outcomes}
	for _, g := range groups {
		switch {
		case g.Class == "":
			r.FailedRequests, r.DeadLetters = r.FailedRequests+g.Count, r.DeadLetters+g.Replayable
		case g.Retried:
			r.RetriedCalls += g.Count
		default:
			r.FailedAttempts += g.Count
		}
	}
	by := func(all int64, fits func(postgres.FaultGroup) bool, name func(postgres.FaultGroup) ErrorGroup) []ErrorGroup {
		return grouped(groups, all, fits, name)
	}
	ofAttempt := func(g postgres.FaultGroup) bool { return g.Class != "" }
	ofRequest := func(g postgres.FaultGroup) bool { return g.Class == "" }
	calls := r.FailedAttempts + r.RetriedCalls
	r.ByClass = by(calls, ofAttempt, func(g postgres.FaultGroup) ErrorGroup { return ErrorGroup{Name: g.Class, Backend: g.Backend} })
	r.ByBackend = by(calls, ofAttempt, func(g postgres.FaultGroup) ErrorGroup { return ErrorGroup{Name: g.Backend} })
	r.ByReason = by(r.FailedRequests, ofRequest, func(g postgres.FaultGroup) ErrorGroup {
		return ErrorGroup{Name: g.Reason, Next: messages.Explain(messages.Reason(g.Reason)).Next}
	})
	r.ByLayer = by(r.FailedRequests, ofRequest, func(g postgres.FaultGroup) ErrorGroup { return ErrorGroup{Name: g.Layer} })
	return r
}

// grouped sums what has the same name and backend, the most frequent first.
func grouped(groups []postgres.FaultGroup, all int64, fits func(postgres.FaultGroup) bool, name func(postgres.FaultGroup) ErrorGroup) []ErrorGroup {
	out := []ErrorGroup{}
	for _, g := range groups {
		if !fits(g) {
			continue
		}
		one := name(g)
		at := slices.IndexFunc(out, func(e ErrorGroup) bool { return e.Name == one.Name && e.Backend == one.Backend })
		if at < 0 {
			at = len(out)
			out = append(out, one)
		}
		e := &out[at]
		e.Count, e.earlier, e.ChargedMicroUSD = e.Count+g.Count, e.earlier+g.Earlier, e.ChargedMicroUSD+g.ChargedMicroUSD
		if g.Last.After(e.Last) {
			e.Last = g.Last.UTC()
		}
	}
	for i := range out {
		e := &out[i]
		e.Share = float64(e.Count) / float64(max(all, 1))
		if e.earlier > 0 {
			e.Trend = new(float64(e.Count-e.earlier) / float64(e.earlier))
		}
	}
	slices.SortStableFunc(out, func(a, b ErrorGroup) int { return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Name, b.Name)) })
	return out
}
