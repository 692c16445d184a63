package ai

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"flowgate/messages"
	"flowgate/pipelines"
	"flowgate/pipelines/pricing"
)

// Step is what follows a fault.
type Step int

// The steps.
const (
	// StepQuick: again at once, in the same attempt; nothing was billed.
	StepQuick Step = iota
	// StepLater: publish the request again with a delay.
	StepLater
	// StepAgain: another attempt right away, announced anew (the last one is in doubt).
	StepAgain
	// StepEnd: the request ends.
	StepEnd
)

// Quick retries inside one attempt (protocol: at most two, within 20 seconds).
const (
	QuickRetries = 2
	QuickWindow  = 20 * time.Second
)

// Next says what follows the newest attempt of the history, which failed with class. tries counts its calls, since when it
// ran them.
func Next(history []messages.Attempt, f *Fault, tries int, since time.Duration, billable int, retry Retry) (Step, *pipelines.Refusal) {
	quick := tries <= QuickRetries && since < QuickWindow
	switch f.Class {
	case ClassRateLimited, ClassOverloaded:
		if quick && f.RetryAfter == 0 && f.Class == ClassOverloaded {
			return StepQuick, nil
		}
		return StepLater, nil
	case ClassTransient:
		if quick && f.RetryAfter == 0 {
			return StepQuick, nil
		}
		if n := countHere(history, ClassTransient); n >= max(retry.Attempts, 1) {
			return StepEnd, pipelines.Fail(messages.ReasonBackendUnavailable, fmt.Sprintf("%d attempts failed, the last with %s", n, f.Error()))
		}
		return StepLater, nil
	case ClassInDoubt:
		if InDoubt(history) >= max(billable, 1) {
			return StepEnd, DoubtRefusal(history)
		}
		return StepAgain, nil
	case ClassDrained:
		return StepLater, nil
	case ClassQuota:
		return StepEnd, pipelines.Fail(messages.ReasonBackendQuota, f.Error())
	case ClassAuth:
		return StepEnd, pipelines.Fail(messages.ReasonBackendAuth, f.Error())
	case ClassRefused:
		return StepEnd, pipelines.Deny(messages.ReasonBackendRefused, "", f.Error())
	case ClassInvalid:
	}
	return StepEnd, pipelines.Fail(messages.ReasonBackendInvalid, f.Error())
}

// Elsewhere tells whether another backend is asked at once after a fault of this one: where it would fail again, where it is not well,
// and where a call may be made again at all.
func Elsewhere(step Step, f *Fault) bool {
	switch f.Class {
	case ClassQuota, ClassAuth:
		return true
	case ClassInvalid:
		return f.Elsewhere
	case ClassTransient, ClassOverloaded:
		return step == StepLater
	case ClassInDoubt:
		return step == StepAgain
	case ClassRateLimited, ClassRefused, ClassDrained:
	}
	return false
}

// InDoubt counts the attempts of an epoch that may have been billed and brought no answer.
func InDoubt(history []messages.Attempt) int {
	n := 0
	for i := range history {
		if history[i].Billing == messages.BillingInDoubt {
			n++
		}
	}
	return n
}

// DoubtRefusal ends a request that may not be paid for again. It tells calls that were cut off from answers that were none.
func DoubtRefusal(history []messages.Attempt) *pipelines.Refusal {
	var cut, unusable []string
	for i := range history {
		switch a := &history[i]; {
		case a.Billing != messages.BillingInDoubt:
		case cutOff(a):
			cut = append(cut, cmp.Or(a.Code, a.Class))
		default:
			unusable = append(unusable, a.Code)
		}
	}
	said := fmt.Sprintf("%d attempts in doubt", len(cut)+len(unusable))
	if len(cut) > 0 {
		said += fmt.Sprintf(", %d cut off after it was sent (%s)", len(cut), words(cut))
	}
	if len(unusable) > 0 {
		said += fmt.Sprintf(", %d whose answer came and cannot be used (%s)", len(unusable), words(unusable))
	}
	return pipelines.Fail(messages.ReasonInDoubt, said)
}

// words are words in order, each once.
func words(all []string) string {
	slices.Sort(all)
	return strings.Join(slices.Compact(all), ", ")
}

// cutCodes are those of calls that were sent and have no whole answer.
func cutCodes() []string {
	return []string{"timeout", "cancelled", "reset", "refused", "eof", "half_answer", "connection", "dns", "tls", ""}
}

// cutOff tells whether a call in doubt was cut off; else an answer came that cannot be used.
func cutOff(a *messages.Attempt) bool {
	return a.Class != string(ClassInDoubt) || slices.Contains(cutCodes(), a.Code) // the others are those of a crash
}

// countHere counts the attempts of a class at the backend of the newest one.
func countHere(history []messages.Attempt, class Class) int {
	n := 0
	for i := range history {
		if history[i].Class == string(class) && history[i].Backend == history[len(history)-1].Backend {
			n += 1 + history[i].Repeats
		}
	}
	return n
}

// CountClass counts the attempts of a class.
func CountClass(history []messages.Attempt, class Class) int {
	n := 0
	for i := range history {
		if history[i].Class == string(class) {
			n += 1 + history[i].Repeats
		}
	}
	return n
}

// Failed is the history's entry of a failed attempt.
func Failed(a messages.Attempt, f *Fault, now time.Time) messages.Attempt {
	a.Class, a.Code, a.Detail = string(f.Class), f.Code, f.Detail
	a.DurationMS = now.Sub(a.StartedAt).Milliseconds()
	a.RetryAfterMS = f.RetryAfter.Milliseconds()
	a.Billing, a.CostMicroUSD = messages.BillingNone, 0
	if f.Class == ClassInDoubt {
		a.Billing, a.CostMicroUSD = messages.BillingInDoubt, a.BoundMicroUSD
	}
	return a
}

// Answered is the history's entry of the attempt that answered. An answer whose provider told no usage, or billed it in a way that the
// row has no price for, costs its bound.
func Answered(a messages.Attempt, answer Answer, row pricing.Row, now time.Time) messages.Attempt {
	a.DurationMS = now.Sub(a.StartedAt).Milliseconds()
	usage := answer.Usage
	a.Usage = &usage
	a.Billing, a.CostMicroUSD = messages.BillingKnown, row.Cost(usage)
	if answer.UsageUnknown || !row.Prices(usage) {
		a.Usage, a.Billing, a.CostMicroUSD = nil, messages.BillingInDoubt, a.BoundMicroUSD
	}
	return a
}

// Append adds an attempt to a history and keeps it bounded: an attempt that only waited for a backend is folded into the one
// of its class and backend among the last ones that did. The history given is left as it is.
func Append(history []messages.Attempt, a messages.Attempt) []messages.Attempt {
	for i := len(history) - 1; waited(a) && i >= 0 && waited(history[i]); i-- {
		if last := history[i]; last.Class == a.Class && last.Backend == a.Backend {
			a.Repeats += last.Repeats + 1
			a.StartedAt = last.StartedAt
			a.DurationMS += last.DurationMS
			a.Tries += last.Tries
			a.Retried = sum(a.Retried, last.Retried)
			history = slices.Concat(history[:i], history[i+1:])
			break
		}
	}
	return append(slices.Clip(history), a)
}

// sum adds up two counts, both left as they are.
func sum(a, b map[string]int) map[string]int {
	if len(b) == 0 {
		return a
	}
	both := maps.Clone(b)
	for class, n := range a {
		both[class] += n
	}
	return both
}

// waited tells whether an attempt only waited for a busy backend: as many of those as the deadline allows may follow.
func waited(a messages.Attempt) bool {
	return (a.Class == string(ClassRateLimited) || a.Class == string(ClassOverloaded)) && a.CostMicroUSD == 0
}
