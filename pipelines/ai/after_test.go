package ai_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"flowgate/messages"
	"flowgate/pipelines/ai"
	"flowgate/pipelines/pricing"
)

func fault(class ai.Class) *ai.Fault { return &ai.Fault{Class: class, Code: "500", Detail: "d"} }

func failures(class ai.Class, n int) []messages.Attempt {
	var history []messages.Attempt
	for k := range n {
		history = append(history, ai.Failed(messages.Attempt{K: k + 1}, &ai.Fault{Class: class}, noon))
	}
	return history
}

func TestWhatFollowsAFault(t *testing.T) {
	const second = time.Second
	asked := func(class ai.Class) *ai.Fault { return &ai.Fault{Class: class, RetryAfter: second} }
	for name, c := range map[string]struct {
		fault    *ai.Fault
		attempts int // of the fault's class, this one included
		tries    int
		since    time.Duration
		step     ai.Step
		reason   messages.Reason
	}{
		"transient, first call":                 {fault(ai.ClassTransient), 1, 1, second, ai.StepQuick, ""},
		"transient, second call":                {fault(ai.ClassTransient), 1, 2, second, ai.StepQuick, ""},
		"transient, both quick retries used":    {fault(ai.ClassTransient), 1, 3, second, ai.StepLater, ""},
		"transient, the window is over":         {fault(ai.ClassTransient), 1, 1, 20 * second, ai.StepLater, ""},
		"transient, the provider said when":     {asked(ai.ClassTransient), 1, 1, second, ai.StepLater, ""},
		"transient, second attempt":             {fault(ai.ClassTransient), 2, 3, second, ai.StepLater, ""},
		"transient, third attempt":              {fault(ai.ClassTransient), 3, 3, second, ai.StepEnd, messages.ReasonBackendUnavailable},
		"overloaded, first call":                {fault(ai.ClassOverloaded), 1, 1, second, ai.StepQuick, ""},
		"overloaded, the provider said when":    {asked(ai.ClassOverloaded), 1, 1, second, ai.StepLater, ""},
		"overloaded burns no attempt":           {fault(ai.ClassOverloaded), 1000, 3, second, ai.StepLater, ""},
		"rate limited is never quick":           {fault(ai.ClassRateLimited), 1, 1, 0, ai.StepLater, ""},
		"rate limited burns no attempt":         {fault(ai.ClassRateLimited), 1000, 1, second, ai.StepLater, ""},
		"in doubt, first":                       {fault(ai.ClassInDoubt), 1, 1, second, ai.StepAgain, ""},
		"in doubt, as often as may be paid for": {fault(ai.ClassInDoubt), 2, 1, second, ai.StepEnd, messages.ReasonInDoubt},
		"quota":                                 {fault(ai.ClassQuota), 1, 1, 0, ai.StepEnd, messages.ReasonBackendQuota},
		"auth":                                  {fault(ai.ClassAuth), 1, 1, 0, ai.StepEnd, messages.ReasonBackendAuth},
		"refused":                               {fault(ai.ClassRefused), 1, 1, 0, ai.StepEnd, messages.ReasonBackendRefused},
		"invalid":                               {fault(ai.ClassInvalid), 1, 1, 0, ai.StepEnd, messages.ReasonBackendInvalid},
		"a class of a newer version":            {fault("strange"), 1, 1, 0, ai.StepEnd, messages.ReasonBackendInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			history := failures(c.fault.Class, c.attempts)
			step, refusal := ai.Next(history, c.fault, c.tries, c.since, 2, ai.Retry{Attempts: 3})
			if step != c.step || (refusal != nil) != (c.reason != "") {
				t.Fatalf("got step %d, %+v", step, refusal)
			}
			if refusal != nil && refusal.Reason != c.reason {
				t.Errorf("ends as %s, want %s", refusal.Reason, c.reason)
			}
			if want := c.fault.Class == ai.ClassRefused; refusal != nil && (refusal.Status == messages.StatusDenied) != want {
				t.Errorf("ends with status %s", refusal.Status)
			}
		})
	}
}

func TestOneDoubtEndsWhereRepeatsAreForbidden(t *testing.T) {
	for _, billable := range []int{1, 0} {
		if step, r := ai.Next(failures(ai.ClassInDoubt, 1), fault(ai.ClassInDoubt), 1, 0, billable, ai.Retry{}); step != ai.StepEnd || r.Reason != messages.ReasonInDoubt {
			t.Errorf("billable %d: step %d, %+v", billable, step, r)
		}
	}
}

func TestFoldedAttemptsCount(t *testing.T) {
	history := []messages.Attempt{{Class: "transient", Repeats: 2}, {Class: "in_doubt"}, {Class: "transient"}}
	if got := ai.CountClass(history, ai.ClassTransient); got != 4 {
		t.Errorf("got %d, want 4", got)
	}
}

func begun() messages.Attempt {
	return messages.Attempt{K: 1, Backend: "b", StartedAt: noon, BoundMicroUSD: 900, Billing: messages.BillingNone}
}

func TestFailedAttemptCostsItsBoundOnlyInDoubt(t *testing.T) {
	for class, want := range map[ai.Class]int64{ai.ClassInDoubt: 900, ai.ClassTransient: 0, ai.ClassRateLimited: 0, ai.ClassAuth: 0} {
		f := &ai.Fault{Class: class, Code: "529", Detail: "d", RetryAfter: 2 * time.Second}
		got := ai.Failed(begun(), f, noon.Add(1500*time.Millisecond))
		if got.CostMicroUSD != want || (got.Billing == messages.BillingInDoubt) != (want > 0) {
			t.Errorf("%s: billing %s, cost %d", class, got.Billing, got.CostMicroUSD)
		}
		if got.Class != string(class) || got.Code != "529" || got.DurationMS != 1500 || got.RetryAfterMS != 2000 {
			t.Errorf("%s: got %+v", class, got)
		}
	}
}

func TestAnswerCostsWhatTheProviderCounted(t *testing.T) {
	row := pricing.Row{Model: model, Input: 1_000_000, Output: 2_000_000}
	usage := messages.Usage{InputUncached: 10, Output: 20}
	got := ai.Answered(begun(), ai.Answer{Usage: usage}, row, noon.Add(time.Second))
	if got.Billing != messages.BillingKnown || got.CostMicroUSD != 50 || got.Usage == nil || *got.Usage != usage || got.DurationMS != 1000 || got.Class != "" {
		t.Errorf("got %+v", got)
	}
	if got = ai.Answered(begun(), ai.Answer{UsageUnknown: true}, row, noon); got.Billing != messages.BillingInDoubt || got.CostMicroUSD != 900 || got.Usage != nil {
		t.Errorf("without usage: %+v, want its bound", got)
	}
}

func TestHistoryOfLongWaitingStaysShort(t *testing.T) {
	var history []messages.Attempt
	classes := []ai.Class{ai.ClassRateLimited, ai.ClassRateLimited, ai.ClassOverloaded} // a busy provider says both
	for k := 1; k <= 10_000; k++ {
		f := fault(classes[k%len(classes)])
		history = ai.Append(history, ai.Failed(messages.Attempt{K: k, Backend: "b", StartedAt: noon, Tries: 1, Retried: map[string]int{"overloaded": 2}}, f, noon.Add(time.Millisecond)))
		if got := ai.NextAttempt(history); got != k+1 {
			t.Fatalf("after %d comes %d", k, got)
		}
	}
	if len(history) != 2 {
		t.Fatalf("10,000 attempts that waited are %d entries", len(history))
	}
	n, tries, retried, ms := 0, 0, 0, int64(0)
	for _, a := range history {
		n, tries, retried, ms = n+1+a.Repeats, tries+a.Tries, retried+a.Retried["overloaded"], ms+a.DurationMS
	}
	if n != 10_000 || tries != 10_000 || retried != 20_000 || ms != 10_000 {
		t.Errorf("the entries tell of %d attempts, %d calls, %d quick retries, %d ms", n, tries, retried, ms)
	}
}

func TestOnlyWaitingIsFolded(t *testing.T) {
	for name, pair := range map[string][2]messages.Attempt{
		"transient":                {{Class: "transient"}, {Class: "transient"}},
		"in doubt":                 {{Class: "in_doubt", CostMicroUSD: 5}, {Class: "in_doubt", CostMicroUSD: 5}},
		"another backend":          {{Class: "rate_limited", Backend: "a"}, {Class: "rate_limited", Backend: "b"}},
		"one that cost something":  {{Class: "rate_limited", CostMicroUSD: 1}, {Class: "rate_limited"}},
		"the answer after waiting": {{Class: "rate_limited"}, {}},
	} {
		pair[1].K = 1
		if got := ai.Append(pair[:1:1], pair[1]); len(got) != 2 || got[1].K != 1 || got[1].Repeats != 0 {
			t.Errorf("%s: got %+v", name, got)
		}
	}
	behind := []messages.Attempt{{K: 1, Class: "rate_limited"}, {K: 2, Class: "transient"}}
	if got := ai.Append(behind, messages.Attempt{K: 3, Class: "rate_limited"}); len(got) != 3 {
		t.Errorf("waiting before a fault was folded with waiting after it: %+v", got)
	}
}

func TestAppendLosesNoAttemptNoMoneyAndNoOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var history []messages.Attempt
		var cost int64
		n := rapid.IntRange(0, 20).Draw(t, "attempts")
		for k := 1; k <= n; k++ {
			a := messages.Attempt{
				K: k, Class: rapid.SampledFrom([]string{"rate_limited", "overloaded", "transient", "in_doubt", ""}).Draw(t, "class"),
				Backend: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "backend"), StartedAt: noon.Add(time.Duration(k)),
				CostMicroUSD: rapid.SampledFrom([]int64{0, 0, 7}).Draw(t, "cost"),
			}
			cost += a.CostMicroUSD
			before := text(t, history)
			once, twice := ai.Append(history, a), ai.Append(history, a)
			if text(t, once) != text(t, twice) || text(t, history) != before {
				t.Fatal("appending changed the history that it was given")
			}
			history = once
		}
		counted := 0
		for i, a := range history {
			counted += 1 + a.Repeats
			if i > 0 && history[i-1].K >= a.K {
				t.Fatalf("out of order: %+v", history)
			}
		}
		if counted != n || messages.Cost(history) != cost || ai.NextAttempt(history) != n+1 {
			t.Fatalf("%d attempts of %d, cost %d of %d", counted, n, messages.Cost(history), cost)
		}
	})
}

func TestFaultSaysClassCodeAndDetail(t *testing.T) {
	cause := errors.New("cause")
	f := &ai.Fault{Class: ai.ClassAuth, Code: "401", Detail: "no key", Err: cause}
	if f.Error() != "auth (401): no key" || !errors.Is(f, cause) {
		t.Errorf("got %q", f)
	}
	if f.Code = ""; f.Error() != "auth: no key" {
		t.Errorf("got %q", f)
	}
}

func text(t *rapid.T, v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestDoubtTellsWhatWasCutOffFromWhatCannotBeUsed(t *testing.T) {
	doubt := func(class, code string) messages.Attempt {
		return messages.Attempt{Class: class, Code: code, Billing: messages.BillingInDoubt}
	}
	for want, history := range map[string][]messages.Attempt{
		"1 attempts in doubt, 1 cut off after it was sent (timeout)":                                                  {doubt("in_doubt", "timeout")},
		"1 attempts in doubt, 1 cut off after it was sent (crash)":                                                    {doubt("crash", "")},
		"2 attempts in doubt, 2 whose answer came and cannot be used (bad_json, bad_vectors)":                         {doubt("in_doubt", "bad_vectors"), {Class: "transient"}, doubt("in_doubt", "bad_json")},
		"2 attempts in doubt, 1 cut off after it was sent (reset), 1 whose answer came and cannot be used (bad_json)": {doubt("in_doubt", "reset"), doubt("in_doubt", "bad_json")},
	} {
		if got := ai.DoubtRefusal(history); got.Reason != messages.ReasonInDoubt || got.Detail != want {
			t.Errorf("%+v, want %s", got, want)
		}
	}
}
