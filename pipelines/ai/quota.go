package ai

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// Quota is what a provider told, beside an answer, of the requests and tokens that it still takes.
type Quota struct {
	Requests, Tokens Allowance
}

// Allowance is one limit: Remaining of Limit are left, and all are there again after Reset. Providers replenish steadily (a token
// bucket) or at once (a window); which of them it is they do not say.
type Allowance struct {
	Limit, Remaining int64
	Reset            time.Duration
	// Coarse is true where Reset was told in whole seconds: it may be up to one second later.
	Coarse bool
	// Known is false where the provider told nothing, or nothing that can be.
	Known bool
}

// Bounds of what a provider is believed.
const (
	maxAllowance  = 1_000_000_000_000
	maxReset      = 24 * time.Hour
	maxQuotaValue = 64 // bytes of a header's value
)

// ReadQuota reads the headers of OpenAI and of those who speak like it (x-ratelimit-limit-requests, …, the reset as a duration such as
// 6m0s), else those of Anthropic (anthropic-ratelimit-requests-limit, …, the reset as RFC 3339, against now). get gives a header's
// value, empty for none. Of several limits on tokens the one counts of which the least part is left. What is no number, negative, or
// beyond every bound is not known; it never fails.
func ReadQuota(get func(name string) string, now time.Time) Quota {
	openai := func(what string) Allowance {
		return allowance(get("x-ratelimit-limit-"+what), get("x-ratelimit-remaining-"+what), func() (time.Duration, bool) {
			return resetIn(get("x-ratelimit-reset-" + what))
		})
	}
	anthropic := func(what string) Allowance {
		name := "anthropic-ratelimit-" + what
		told := allowance(get(name+"-limit"), get(name+"-remaining"), func() (time.Duration, bool) { return resetAt(get(name+"-reset"), now) })
		return told.coarse(!strings.Contains(get(name+"-reset"), "."))
	}
	q := Quota{Requests: openai("requests"), Tokens: openai("tokens")}
	if !q.Requests.Known {
		q.Requests = anthropic("requests")
	}
	if !q.Tokens.Known {
		q.Tokens = scarcest(anthropic("tokens"), anthropic("input-tokens"), anthropic("output-tokens"))
	}
	return q
}

func scarcest(all ...Allowance) (least Allowance) {
	for _, a := range all {
		if a.Known && (!least.Known || a.part() < least.part()) {
			least = a
		}
	}
	return least
}

// part is how much of the limit is left, 0 to 1.
func (a Allowance) part() float64 { return float64(a.Remaining) / float64(a.Limit) }

func (a Allowance) coarse(is bool) Allowance {
	a.Coarse = is && a.Known
	return a
}

func allowance(limit, remaining string, reset func() (time.Duration, bool)) (a Allowance) {
	var ok bool
	if a.Limit, ok = whole(limit); !ok || a.Limit == 0 {
		return Allowance{}
	}
	if a.Remaining, ok = whole(remaining); !ok {
		return Allowance{}
	}
	if a.Reset, ok = reset(); !ok {
		return Allowance{}
	}
	a.Remaining, a.Known = min(a.Remaining, a.Limit), true
	return a
}

// whole reads a number from 0 on; what is larger than can be is the largest.
func whole(value string) (int64, bool) {
	value = strings.TrimSpace(value)
	if value == "" || len(value) > maxQuotaValue {
		return 0, false
	}
	n, err := strconv.ParseFloat(value, 64) // some write 1e6 or 60.0
	if err != nil || math.IsNaN(n) || n < 0 {
		return 0, false
	}
	return int64(min(n, maxAllowance)), true
}

// resetIn reads a duration such as 6m0s, 120ms or 1.5 (seconds).
func resetIn(value string) (time.Duration, bool) {
	value = strings.TrimSpace(value)
	if value == "" || len(value) > maxQuotaValue {
		return 0, false
	}
	if seconds, err := strconv.ParseFloat(value, 64); err == nil {
		if math.IsNaN(seconds) || seconds < 0 {
			return 0, false
		}
		return time.Duration(min(seconds, maxReset.Seconds()) * float64(time.Second)), true
	}
	d, err := time.ParseDuration(value)
	if err != nil || d < 0 {
		return 0, false
	}
	return min(d, maxReset), true
}

// resetAt reads a time; one that has passed is now.
func resetAt(value string, now time.Time) (time.Duration, bool) {
	value = strings.TrimSpace(value)
	if value == "" || len(value) > maxQuotaValue {
		return 0, false
	}
	at, err := time.Parse(time.RFC3339, value)
	if err != nil {
		return 0, false
	}
	return min(max(at.Sub(now), 0), maxReset), true
}
