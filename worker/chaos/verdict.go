package chaos

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"flowgate/messages"
	"flowgate/worker/provider"
)

// Report is the verdict on a drill, and its JSON.
type Report struct {
	OK bool `json:"ok"`
	Options

	Submitted int `json:"submitted"`
	Accepted  int `json:"accepted"`
	Results   int `json:"results"`
	// Lost were accepted and have no result, or none on record.
	Lost int `json:"lost"`
	// DuplicateResults are results beyond the first of an epoch.
	DuplicateResults int `json:"duplicate_results"`
	// WrongResults ended as neither their kind nor a call in doubt explains.
	WrongResults  int `json:"wrong_results"`
	ProviderCalls int `json:"provider_calls"`
	// RepeatedCalls followed one that may have been billed, in the same epoch.
	RepeatedCalls int `json:"repeated_calls"`
	// UnexplainedRepeats are those of them whose forerunner the record does not show as in doubt.
	UnexplainedRepeats int `json:"unexplained_repeats"`
	// RepeatsOutsideFaults are those whose forerunner was neither cut off by the provider's script nor in flight at a fault of
	// its own. Nothing is judged by them: on a starved machine a worker may be silent for AckWait without any fault.
	RepeatsOutsideFaults int   `json:"repeats_outside_faults"`
	Intents              int   `json:"intents"`
	Outcomes             int   `json:"outcomes"`
	Admissions           int   `json:"admissions"`
	ReservationsLeft     int64 `json:"reservations_left"`
	Overspend            int64 `json:"overspend_microusd"`
	DeadLetters          int   `json:"dead_letters"`
	// RecoverySeconds is the longest time from the end of a fault to the next result.
	RecoverySeconds float64 `json:"recovery_seconds"`

	// NotReproduced are decisions on record that come out otherwise when they are made again, or cannot be.
	NotReproduced int `json:"decisions_not_reproduced"`
	// Broken are the invariants of `audit check` that do not hold.
	Broken []string `json:"audit_check,omitempty"`
	Struck []Struck `json:"struck"`
	// Bad says of each request, with its id, what was not as promised.
	Bad []Bad `json:"bad,omitempty"`
}

// Bad is one request that was not treated as promised.
type Bad struct {
	ID   string `json:"id"`
	What string `json:"what"`
}

// judge is a verdict in the making.
type judge struct {
	Report

	plan     Plan
	seen     Evidence
	outcomes map[epoch][]Ending
	doubts   map[epoch]map[int]bool
}

// Judge compares the evidence with the promises. It is pure.
func Judge(p Plan, e Evidence) Report {
	j := &judge{
		Report: Report{
			Options: p.Options, Submitted: len(e.Submitted), Accepted: len(e.Accepted), ProviderCalls: len(e.Calls),
			Intents: e.Record.Intents, Outcomes: len(e.Record.Outcomes), Admissions: e.Record.Admissions,
			ReservationsLeft: e.Record.Reserved, DeadLetters: e.Record.DeadLetters, NotReproduced: e.Record.NotReproduced, Broken: e.Record.Broken, Struck: e.Struck,
		},
		plan: p, seen: e, outcomes: make(map[epoch][]Ending), doubts: make(map[epoch]map[int]bool),
	}
	for _, o := range e.Record.Outcomes {
		at := epoch{o.ID, o.Epoch}
		j.outcomes[at] = append(j.outcomes[at], o.Ending)
	}
	for _, a := range e.Record.Attempts {
		at := epoch{a.ID, a.Epoch}
		if j.doubts[at] == nil {
			j.doubts[at] = make(map[int]bool)
		}
		if a.InDoubt {
			j.doubts[at][a.K] = true
		}
	}
	j.results()
	j.duplicates()
	j.calls()
	for _, spent := range e.Record.Spent {
		j.Overspend = max(j.Overspend, spent-e.Limit)
	}
	for _, s := range e.Struck {
		j.RecoverySeconds = max(j.RecoverySeconds, s.RecoverySeconds)
	}
	j.OK = j.Lost+j.DuplicateResults+j.WrongResults+j.UnexplainedRepeats == 0 && j.ReservationsLeft == 0 && j.Overspend <= 0 &&
		j.Outcomes == j.Admissions && j.NotReproduced == 0 && len(j.Broken) == 0 && j.Accepted == len(p.Mix)
	return j.Report
}

func (j *judge) bad(id, format string, a ...any) {
	j.Bad = append(j.Bad, Bad{id, fmt.Sprintf(format, a...)})
}

// results looks whether every accepted request has its result and its record, and the right ones.
func (j *judge) results() {
	for _, r := range j.plan.Mix {
		if !j.seen.Accepted[r.ID] {
			continue
		}
		last := epoch{r.ID, r.Epochs() - 1}
		result, found := j.seen.Results[r.ID]
		switch ends := j.outcomes[last]; {
		case !found || result.State != messages.ResultDone || result.Epoch < last.n:
			j.Lost++
			j.bad(r.ID, "accepted, and epoch %d has no result: state %q, at %q", last.n, result.State, result.At)
		case len(ends) == 0:
			j.Lost++
			j.bad(r.ID, "it has a result and no recorded outcome")
		default:
			j.Results++
			end := Ending{result.Status, result.Reason}
			if ends[0] != end {
				j.WrongResults++
				j.bad(r.ID, "its result is %s (%s), its record says %s (%s)", end.Status, end.Reason, ends[0].Status, ends[0].Reason)
			} else if !r.May(end) && !j.doubtful(last, end) && !j.spentUp(r, end) {
				j.WrongResults++
				j.bad(r.ID, "it ended as %s (%s), which its kind %q does not allow", end.Status, end.Reason, r.Kind)
			} else if j.seen.Cancelled[r.ID] && end.Reason != messages.ReasonCancelled {
				j.WrongResults++
				j.bad(r.ID, "who cancelled it was told that it is, and it ended as %s (%s)", end.Status, end.Reason)
			}
		}
	}
}

// doubtful tells whether an epoch rightly ended in doubt: as many calls in doubt as may be paid for are on record. Where money is
// short, one may be all that was left for it.
func (j *judge) doubtful(at epoch, end Ending) bool {
	calls := billable
	if j.plan.Tight() {
		calls = 1
	}
	return end == Ending{messages.StatusFailure, messages.ReasonInDoubt} && len(j.doubts[at]) >= calls
}

// spentUp tells whether an epoch was rightly refused for money: it was short, and what is left would not have paid for what a
// request of its kind reserves. A tenth is allowed for calls in doubt whose cost became known later.
func (j *judge) spentUp(r Request, end Ending) bool {
	if !j.plan.Tight() || end != (Ending{messages.StatusDenied, messages.ReasonLimitDay}) {
		return false
	}
	left := j.seen.Limit
	for _, spent := range j.seen.Record.Spent {
		left = min(left, j.seen.Limit-spent)
	}
	return left <= j.seen.Limit/10+r.reserves()
}

// duplicates counts what ended more than once, by the stream and by the record.
func (j *judge) duplicates() {
	heard := make(map[epoch]map[string]bool)
	for _, w := range j.seen.Wakes {
		at := epoch{w.ID, w.Epoch}
		if heard[at] == nil {
			heard[at] = make(map[string]bool)
		}
		heard[at][w.Seq] = true
	}
	most := make(map[epoch]int)
	for at, seqs := range heard {
		most[at] = len(seqs)
	}
	for at, ends := range j.outcomes {
		most[at] = max(most[at], len(ends))
	}
	for at, n := range most {
		if n > 1 {
			j.DuplicateResults += n - 1
			j.bad(at.id, "epoch %d ended %d times", at.n, n)
		}
	}
	slices.SortStableFunc(j.Bad, func(a, b Bad) int { return cmp.Compare(a.ID, b.ID) })
}

// calls looks at each epoch's calls in their order. One that follows a call which may have been billed is a repetition. Every
// call that may have been billed has a number of its own, and all of them but one, the one that answered, are in doubt on
// record.
func (j *judge) calls() {
	billed := make(map[epoch][]provider.Call)
	for _, c := range j.seen.Calls {
		_, id, _ := strings.Cut(c.Key, "/")
		at := epoch{id, c.Epoch}
		before := billed[at]
		if len(before) > 0 {
			j.RepeatedCalls++
		}
		if c.Answered.Billed() {
			j.explain(at, c, before)
			billed[at] = append(before, c)
		}
	}
	for _, calls := range billed {
		j.RepeatsOutsideFaults += j.outsideFaults(calls[:len(calls)-1])
	}
}

// outsideFaults counts the calls of one epoch for which no fault is found that struck while they were in flight, each fault
// serving one of them. A fault's effects may be felt for a while: a worker that was frozen is missed after AckWait.
func (j *judge) outsideFaults(calls []provider.Call) int {
	const while = 2 * AckWait
	outside, served := 0, make(map[int]bool)
	for _, c := range calls {
		if c.Answered == provider.Cut || c.Answered == provider.Half {
			continue
		}
		found := slices.IndexFunc(j.seen.Struck, func(s Struck) bool {
			return !served[s.N] && s.Began.Before(c.Ended.Add(while)) && s.Healed.After(c.Began.Add(-while))
		})
		if found < 0 {
			outside++
			continue
		}
		served[j.seen.Struck[found].N] = true
	}
	return outside
}

// explain looks whether the record explains a call beside those before it.
func (j *judge) explain(at epoch, c provider.Call, before []provider.Call) {
	sure := 0
	for _, b := range append([]provider.Call{c}, before...) {
		if !j.doubts[at][b.Attempt] {
			sure++
		}
	}
	same := slices.ContainsFunc(before, func(b provider.Call) bool { return b.Attempt == c.Attempt })
	if same || sure > 1 {
		j.UnexplainedRepeats++
		j.bad(at.id, "epoch %d: call %d follows %d that may have been billed, and the record shows %d of them as in doubt",
			at.n, c.Attempt, len(before), len(before)+1-sure)
	}
}
