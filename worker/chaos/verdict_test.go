package chaos

import (
	"testing"
	"time"

	"flowgate/messages"
	"flowgate/worker/provider"
)

var clockAt = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// clean is the evidence of a drill in which a plain request and one whose first call was cut went as promised.
func clean() (Plan, Evidence) {
	p := Plan{Options: Options{Requests: 2, Cluster: 1}, Mix: []Request{{ID: "plain-0", Kind: Plain}, {ID: "torn-1", Kind: Torn}}}
	ok := Ending{messages.StatusSuccess, messages.ReasonOK}
	result := messages.Result{State: messages.ResultDone, Status: ok.Status, Reason: ok.Reason}
	return p, Evidence{
		Submitted: map[string]bool{"plain-0": true, "torn-1": true}, Accepted: map[string]bool{"plain-0": true, "torn-1": true},
		Results: map[string]messages.Result{"plain-0": result, "torn-1": result},
		Wakes:   []Wake{{ID: "plain-0", Seq: "5"}, {ID: "torn-1", Seq: "9"}, {ID: "torn-1", Seq: "9"}},
		Calls: []provider.Call{
			{Ask: provider.Ask{Key: "t/plain-0", Attempt: 1, N: 1}, Answered: provider.Success},
			{Ask: provider.Ask{Key: "t/torn-1", Attempt: 1, N: 1}, Answered: provider.Cut},
			{Ask: provider.Ask{Key: "t/torn-1", Attempt: 2, N: 1}, Answered: provider.Success},
		},
		Record: Record{
			Admissions: 2, Intents: 2, Outcomes: []Outcome{{"plain-0", 0, ok}, {"torn-1", 0, ok}},
			Attempts: []Attempt{{ID: "plain-0", K: 1}, {ID: "torn-1", K: 1, InDoubt: true}, {ID: "torn-1", K: 2}},
			Spent:    map[string]int64{"day": 100},
		},
		Limit: 100,
	}
}

func TestADrillThatWentAsPromised(t *testing.T) {
	r := Judge(clean())
	if !r.OK || r.Results != 2 || r.RepeatedCalls != 1 || r.ProviderCalls != 3 || len(r.Bad) != 0 {
		t.Errorf("%+v", r)
	}
}

// TestTheVerdictFindsEachBrokenPromise spoils the evidence of a good drill in one way each.
func TestTheVerdictFindsEachBrokenPromise(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*Plan, *Evidence)
		count func(Report) int
	}{
		"no result": {func(_ *Plan, e *Evidence) { delete(e.Results, "plain-0") }, func(r Report) int { return r.Lost }},
		"no record": {func(_ *Plan, e *Evidence) { e.Record.Outcomes, e.Record.Admissions = e.Record.Outcomes[:1], 1 }, func(r Report) int { return r.Lost }},
		"two results in the stream": {
			func(_ *Plan, e *Evidence) { e.Wakes = append(e.Wakes, Wake{ID: "plain-0", Seq: "11"}) }, func(r Report) int { return r.DuplicateResults },
		},
		"two outcomes on record": {
			func(_ *Plan, e *Evidence) { e.Record.Outcomes = append(e.Record.Outcomes, e.Record.Outcomes[0]) }, func(r Report) int { return r.DuplicateResults },
		},
		"a repeated call that nothing explains": {
			func(_ *Plan, e *Evidence) { e.Record.Attempts[1].InDoubt = false }, func(r Report) int { return r.UnexplainedRepeats },
		},
		"a call that is made twice under one number": {
			func(_ *Plan, e *Evidence) { e.Calls[2].Attempt = 1 }, func(r Report) int { return r.UnexplainedRepeats },
		},
		"an end that the kind does not allow": {
			func(_ *Plan, e *Evidence) {
				e.Results["plain-0"] = messages.Result{State: messages.ResultDone, Status: messages.StatusFailure, Reason: messages.ReasonInDoubt}
				e.Record.Outcomes[0].Ending = Ending{messages.StatusFailure, messages.ReasonInDoubt}
			}, func(r Report) int { return r.WrongResults },
		},
		"a cancellation that was confirmed and did not happen": {
			func(_ *Plan, e *Evidence) { e.Cancelled = map[string]bool{"plain-0": true} }, func(r Report) int { return r.WrongResults },
		},
		"refused for money that is not short": {
			func(p *Plan, e *Evidence) {
				p.Seed, e.Limit = 1, 100
				e.Results["plain-0"] = messages.Result{State: messages.ResultDone, Status: messages.StatusDenied, Reason: messages.ReasonLimitDay}
				e.Record.Outcomes[0].Ending = Ending{messages.StatusDenied, messages.ReasonLimitDay}
			}, func(r Report) int { return r.WrongResults },
		},
		"refused for money of which much is left": {
			func(_ *Plan, e *Evidence) {
				e.Limit = 2000
				e.Results["plain-0"] = messages.Result{State: messages.ResultDone, Status: messages.StatusDenied, Reason: messages.ReasonLimitDay}
				e.Record.Outcomes[0].Ending = Ending{messages.StatusDenied, messages.ReasonLimitDay}
			}, func(r Report) int { return r.WrongResults },
		},
		"an answer that differs from the record": {
			func(_ *Plan, e *Evidence) {
				e.Record.Outcomes[0].Ending = Ending{messages.StatusTimeout, messages.ReasonDeadlinePassed}
			},
			func(r Report) int { return r.WrongResults },
		},
		"money that is still held": {func(_ *Plan, e *Evidence) { e.Record.Reserved = 1 }, func(r Report) int { return int(r.ReservationsLeft) }},
		"money over the limit":     {func(_ *Plan, e *Evidence) { e.Limit = 99 }, func(r Report) int { return int(r.Overspend) }},
		"an admission that is open": {
			func(_ *Plan, e *Evidence) { e.Record.Admissions = 3 }, func(r Report) int { return r.Admissions - r.Outcomes },
		},
		"a decision made otherwise": {func(_ *Plan, e *Evidence) { e.Record.NotReproduced = 1 }, func(r Report) int { return r.NotReproduced }},
		"a broken invariant":        {func(_ *Plan, e *Evidence) { e.Record.Broken = []string{"x"} }, func(r Report) int { return len(r.Broken) }},
		"one that was not accepted": {func(_ *Plan, e *Evidence) { delete(e.Accepted, "plain-0") }, func(r Report) int { return r.Submitted - r.Accepted }},
	} {
		t.Run(name, func(t *testing.T) {
			p, e := clean()
			c.spoil(&p, &e)
			if r := Judge(p, e); r.OK || c.count(r) != 1 {
				t.Errorf("ok %v, counted %d: %+v", r.OK, c.count(r), r)
			}
		})
	}
}

// TestARepeatedCallIsLookedForAmongTheFaults: each fault serves one call of an epoch that was in flight when it struck.
func TestARepeatedCallIsLookedForAmongTheFaults(t *testing.T) {
	call := func(attempt int, began time.Duration) provider.Call {
		return provider.Call{
			Ask: provider.Ask{Key: "t/plain-0", Attempt: attempt, N: 1}, Answered: provider.Success,
			Began: clockAt.Add(began), Ended: clockAt.Add(began + time.Second),
		}
	}
	struck := func(n int, began time.Duration) Struck {
		return Struck{Fault: Fault{N: n, Do: Kill}, Began: clockAt.Add(began), Healed: clockAt.Add(began + time.Second)}
	}
	p, e := clean()
	e.Calls = append(e.Calls, call(2, time.Minute), call(3, time.Minute+3*time.Second), call(4, time.Hour))
	e.Calls[0].Began, e.Calls[0].Ended = clockAt, clockAt.Add(time.Second)
	for _, c := range []struct {
		struck []Struck
		want   int
	}{
		{nil, 3},
		{[]Struck{struck(1, 0)}, 2},
		{[]Struck{struck(1, 0), struck(2, time.Minute)}, 1},
		{[]Struck{struck(1, 0), struck(2, time.Minute), struck(3, time.Minute+time.Second)}, 0},
		{[]Struck{struck(1, 10*time.Minute)}, 3},
	} {
		e.Struck = c.struck
		if got := Judge(p, e).RepeatsOutsideFaults; got != c.want {
			t.Errorf("%d faults: %d calls were repeated outside of them, want %d", len(c.struck), got, c.want)
		}
	}
}
