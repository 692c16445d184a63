package provider

import (
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// limiter gives each model a bucket of tokens.
type limiter struct {
	mu      sync.Mutex
	rate    float64 // tokens a second; 0: no limit
	burst   float64
	untold  bool // no headers tell of it
	buckets map[string]*bucket
}

type bucket struct {
	tokens float64
	at     time.Time
}

// quota is how a limit stands after a call was counted in it.
type quota struct {
	limited   bool // there is a limit
	untold    bool // only a refusal tells of it
	refused   bool // there was no room
	limit     int
	remaining int
	wait      time.Duration // until there is room for a call
	full      time.Duration // until all of it is free
}

// maxBuckets bounds how many models have one; those beyond it share one.
const maxBuckets = 1024

func (l *limiter) set(rate float64, burst int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rate, l.burst, l.buckets = max(rate, 0), math.Max(float64(burst), 1), make(map[string]*bucket)
}

func (l *limiter) tell(does bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.untold = !does
}

// take counts a call.
func (l *limiter) take(model string, now time.Time) quota {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rate == 0 {
		return quota{}
	}
	b := l.buckets[model]
	if b == nil {
		if len(l.buckets) >= maxBuckets {
			model = ""
			b = l.buckets[model]
		}
		if b == nil {
			b = &bucket{tokens: l.burst, at: now}
			l.buckets[model] = b
		}
	}
	if passed := now.Sub(b.at); passed > 0 {
		b.tokens, b.at = min(l.burst, b.tokens+passed.Seconds()*l.rate), now
	}
	q := quota{limited: true, untold: l.untold, limit: int(l.burst)}
	if b.tokens >= 1 {
		b.tokens--
	} else {
		q.refused = true
	}
	q.remaining = int(b.tokens)
	q.wait = seconds(max(0, 1-b.tokens) / l.rate)
	q.full = seconds((l.burst - b.tokens) / l.rate)
	return q
}

func seconds(s float64) time.Duration { return time.Duration(math.Ceil(s * float64(time.Second))) }

// say writes the headers of Anthropic's and OpenAI's limits, which stand on every answer.
func (q quota) say(h http.Header, p Protocol, now time.Time) {
	if !q.limited || q.untold {
		return
	}
	limit, remaining := strconv.Itoa(q.limit), strconv.Itoa(q.remaining)
	switch p {
	case Anthropic:
		h.Set("Anthropic-Ratelimit-Requests-Limit", limit)
		h.Set("Anthropic-Ratelimit-Requests-Remaining", remaining)
		h.Set("Anthropic-Ratelimit-Requests-Reset", now.Add(q.full).UTC().Format(time.RFC3339))
	case Chat, Responses, Embed, MLflow:
		h.Set("X-Ratelimit-Limit-Requests", limit)
		h.Set("X-Ratelimit-Remaining-Requests", remaining)
		h.Set("X-Ratelimit-Reset-Requests", q.full.Round(time.Millisecond).String())
	case Converse, Invoke: // Bedrock says nothing
	}
}

// retry writes when there is room again, as each provider does: Anthropic in seconds, OpenAI in milliseconds too.
func (q quota) retry(h http.Header, p Protocol) {
	if p == Converse || p == Invoke {
		return
	}
	h.Set("Retry-After", strconv.Itoa(int(math.Ceil(q.wait.Seconds()))))
	if p != Anthropic {
		h.Set("Retry-After-Ms", strconv.FormatInt(int64(math.Ceil(float64(q.wait)/float64(time.Millisecond))), 10))
	}
}
