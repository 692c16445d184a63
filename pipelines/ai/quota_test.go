package ai_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"flowgate/pipelines/ai"
)

func headers(pairs ...string) func(string) string {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Set(pairs[i], pairs[i+1])
	}
	return h.Get
}

func openaiHeaders(limit, remaining, reset string) func(string) string {
	return headers("x-ratelimit-limit-requests", limit, "x-ratelimit-remaining-requests", remaining, "x-ratelimit-reset-requests", reset)
}

func TestQuotaOfOpenAI(t *testing.T) {
	got := ai.ReadQuota(headers("x-ratelimit-limit-requests", "500", "x-ratelimit-remaining-requests", "499", "x-ratelimit-reset-requests", "120ms",
		"x-ratelimit-limit-tokens", "30000", "x-ratelimit-remaining-tokens", "100", "x-ratelimit-reset-tokens", "6m0s"), noon)
	want := ai.Quota{
		Requests: ai.Allowance{Limit: 500, Remaining: 499, Reset: 120 * time.Millisecond, Known: true},
		Tokens:   ai.Allowance{Limit: 30000, Remaining: 100, Reset: 6 * time.Minute, Known: true},
	}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestQuotaOfAnthropic(t *testing.T) {
	at := noon.Add(30 * time.Second).Format(time.RFC3339)
	got := ai.ReadQuota(headers("anthropic-ratelimit-requests-limit", "50", "anthropic-ratelimit-requests-remaining", "0", "anthropic-ratelimit-requests-reset", at,
		"anthropic-ratelimit-input-tokens-limit", "1000", "anthropic-ratelimit-input-tokens-remaining", "900", "anthropic-ratelimit-input-tokens-reset", at,
		"anthropic-ratelimit-output-tokens-limit", "200", "anthropic-ratelimit-output-tokens-remaining", "10", "anthropic-ratelimit-output-tokens-reset", at), noon)
	want := ai.Quota{
		Requests: ai.Allowance{Limit: 50, Reset: 30 * time.Second, Coarse: true, Known: true},
		Tokens:   ai.Allowance{Limit: 200, Remaining: 10, Reset: 30 * time.Second, Coarse: true, Known: true}, // the scarcest
	}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestQuotaThatCannotBeIsNotKnown(t *testing.T) {
	for name, get := range map[string]func(string) string{
		"none":             headers(),
		"no reset":         headers("x-ratelimit-limit-requests", "5", "x-ratelimit-remaining-requests", "5"),
		"limit of zero":    openaiHeaders("0", "0", "1s"),
		"negative":         openaiHeaders("5", "-1", "1s"),
		"negative reset":   openaiHeaders("5", "1", "-1s"),
		"NaN":              openaiHeaders("NaN", "1", "1s"),
		"NaN reset":        openaiHeaders("5", "1", "NaN"),
		"words":            openaiHeaders("five", "1", "1s"),
		"endless":          openaiHeaders(strings.Repeat("9", 1000), "1", "1s"),
		"reset of garbage": openaiHeaders("5", "1", "soon"),
		"time of garbage": headers("anthropic-ratelimit-requests-limit", "5", "anthropic-ratelimit-requests-remaining", "5",
			"anthropic-ratelimit-requests-reset", "tomorrow"),
	} {
		if got := ai.ReadQuota(get, noon); got != (ai.Quota{}) {
			t.Errorf("%s: got %+v", name, got)
		}
	}
}

func TestQuotaIsBounded(t *testing.T) {
	for name, c := range map[string]struct {
		get  func(string) string
		want ai.Allowance
	}{
		"more left than the limit": {openaiHeaders("5", "7", "1s"), ai.Allowance{Limit: 5, Remaining: 5, Reset: time.Second, Known: true}},
		"a huge limit":             {openaiHeaders("1e30", "1e30", "1s"), ai.Allowance{Limit: 1e12, Remaining: 1e12, Reset: time.Second, Known: true}},
		"a reset in years":         {openaiHeaders("5", "1", "100000h"), ai.Allowance{Limit: 5, Remaining: 1, Reset: 24 * time.Hour, Known: true}},
		"a reset in endless time":  {openaiHeaders("5", "1", "Inf"), ai.Allowance{Limit: 5, Remaining: 1, Reset: 24 * time.Hour, Known: true}},
		"seconds without a unit":   {openaiHeaders("5", "1", "1.5"), ai.Allowance{Limit: 5, Remaining: 1, Reset: 1500 * time.Millisecond, Known: true}},
		"a reset that has passed": {headers("anthropic-ratelimit-requests-limit", "5", "anthropic-ratelimit-requests-remaining", "4",
			"anthropic-ratelimit-requests-reset", "2001-01-01T00:00:00Z"), ai.Allowance{Limit: 5, Remaining: 4, Coarse: true, Known: true}},
	} {
		if got := ai.ReadQuota(c.get, noon); got.Requests != c.want || got.Tokens.Known {
			t.Errorf("%s: got %+v, want %+v", name, got, c.want)
		}
	}
}

func FuzzQuota(f *testing.F) {
	f.Add("500", "499", "6m0s")
	f.Add("1e309", "-0", "2026-01-01T00:00:00Z")
	f.Fuzz(func(t *testing.T, limit, remaining, reset string) {
		values := map[string]string{"limit": limit, "remaining": remaining, "reset": reset}
		q := ai.ReadQuota(func(name string) string {
			for part, v := range values {
				if strings.Contains(name, "-"+part) {
					return v
				}
			}
			return ""
		}, noon)
		for _, a := range []ai.Allowance{q.Requests, q.Tokens} {
			if a.Known != (a.Limit > 0) || a.Remaining < 0 || a.Remaining > a.Limit || a.Limit > 1e12 || a.Reset < 0 || a.Reset > 24*time.Hour {
				t.Errorf("%q %q %q: %+v", limit, remaining, reset, a)
			}
		}
	})
}
