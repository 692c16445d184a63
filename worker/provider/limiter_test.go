package provider

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// clock stands until it is moved.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func TestALimitIsABucketForEachModel(t *testing.T) {
	c := newClock()
	s := begin(t, Options{Rate: 10, Burst: 3, Now: c.now})
	taken := func(model string, n int) (ok, refused int) {
		for range n {
			if got := post(t.Context(), s, "/v1/chat/completions", `{"model":"`+model+`","messages":[{"role":"user","content":"a"}]}`); got.status == 200 {
				ok++
			} else if got.status == 429 {
				refused++
			}
		}
		return ok, refused
	}
	for _, step := range []struct {
		model     string
		ok, no    int
		afterward time.Duration
	}{
		{"m", 3, 2, 100 * time.Millisecond},
		{"m", 1, 1, 0},
		{"n", 3, 1, 10 * time.Second},
		{"m", 3, 1, 0},
	} {
		if ok, no := taken(step.model, step.ok+step.no); ok != step.ok || no != step.no {
			t.Errorf("%s: %d are let through and %d refused, want %d and %d", step.model, ok, no, step.ok, step.no)
		}
		c.pass(step.afterward)
	}
	s.SetLimit(0, 0)
	if ok, _ := taken("m", 20); ok != 20 {
		t.Errorf("%d of 20 are let through without a limit", ok)
	}
	s.SetLimit(10, 0)
	if ok, no := taken("m", 5); ok != 2 || no != 3 {
		t.Errorf("%d are let through and %d refused: the burst is a fifth of the rate", ok, no)
	}
	if totals := s.Totals(""); totals.Outcomes[RateLimited] != 2+1+1+1+3 || totals.Billed != totals.Calls-8 {
		t.Errorf("%+v", totals)
	}
}

// TestALimitIsSaidAsEachProviderDoes on answers, and on refusals with the time to come back.
func TestALimitIsSaidAsEachProviderDoes(t *testing.T) {
	names := []string{
		"Anthropic-Ratelimit-Requests-Limit", "Anthropic-Ratelimit-Requests-Remaining", "Anthropic-Ratelimit-Requests-Reset",
		"X-Ratelimit-Limit-Requests", "X-Ratelimit-Remaining-Requests", "X-Ratelimit-Reset-Requests", "Retry-After", "Retry-After-Ms",
	}
	openai := []string{
		"X-Ratelimit-Limit-Requests=2 X-Ratelimit-Remaining-Requests=1 X-Ratelimit-Reset-Requests=400ms",
		"X-Ratelimit-Limit-Requests=2 X-Ratelimit-Remaining-Requests=0 X-Ratelimit-Reset-Requests=800ms",
		"X-Ratelimit-Limit-Requests=2 X-Ratelimit-Remaining-Requests=0 X-Ratelimit-Reset-Requests=800ms Retry-After=1 Retry-After-Ms=400",
	}
	want := map[Protocol][]string{
		Anthropic: {
			"Anthropic-Ratelimit-Requests-Limit=2 Anthropic-Ratelimit-Requests-Remaining=1 Anthropic-Ratelimit-Requests-Reset=2026-03-01T12:00:00Z",
			"Anthropic-Ratelimit-Requests-Limit=2 Anthropic-Ratelimit-Requests-Remaining=0 Anthropic-Ratelimit-Requests-Reset=2026-03-01T12:00:00Z",
			"Anthropic-Ratelimit-Requests-Limit=2 Anthropic-Ratelimit-Requests-Remaining=0 Anthropic-Ratelimit-Requests-Reset=2026-03-01T12:00:00Z Retry-After=1",
		},
		Chat: openai, Responses: openai, Embed: openai, MLflow: openai, Converse: {"", "", ""}, Invoke: {"", "", ""},
	}
	for _, q := range questions {
		c := newClock()
		s := begin(t, Options{Rate: 2.5, Burst: 2, Now: c.now})
		for i := range 3 {
			got := post(t.Context(), s, q.path, q.body)
			var said []string
			for _, name := range names {
				if v := got.header.Get(name); v != "" {
					said = append(said, name+"="+v)
				}
			}
			if text := strings.Join(said, " "); text != want[q.protocol][i] || (got.status == http.StatusOK) != (i < 2) {
				t.Errorf("%s, call %d: %d, it says %q, want %q", q.protocol, i, got.status, text, want[q.protocol][i])
			}
		}
	}
}

func TestALimitThatIsNotToldIsKnownByRefusalsAlone(t *testing.T) {
	s := begin(t, Options{Rate: 2.5, Burst: 1, Now: newClock().now})
	s.TellLimit(false)
	for i := range 2 {
		got := post(t.Context(), s, "/v1/chat/completions", `{"model":"m","messages":[{"role":"user","content":"a"}]}`)
		told, again := got.header.Get("X-Ratelimit-Limit-Requests"), got.header.Get("Retry-After")
		if told != "" || (got.status == http.StatusTooManyRequests) != (i == 1) || (again == "1") != (i == 1) {
			t.Errorf("call %d: %d, limit %q, Retry-After %q", i, got.status, told, again)
		}
	}
}

func TestBucketsAreBounded(t *testing.T) {
	var l limiter
	l.set(1, 1)
	now := newClock().at
	for i := range 3 * maxBuckets {
		l.take("model-"+strconv.Itoa(i), now)
	}
	if len(l.buckets) > maxBuckets+1 {
		t.Errorf("%d buckets", len(l.buckets))
	}
}
