package pace_test

import (
	"context"
	"math"
	"strconv"
	"sync"
	"time"

	"flowgate/pipelines/ai"
	"flowgate/worker/pace"
)

// provider is a token bucket as providers have it.
type provider struct {
	rate, burst float64
	headers     string // whose quota headers it sends: openai, anthropic, none
	whole       bool   // Retry-After in whole seconds, as most send it
	mute        bool   // no Retry-After
	latency     time.Duration

	mu     sync.Mutex
	level  float64
	last   time.Time
	calls  int
	denied int
	at     []time.Time       // of the answers that were given
	told   map[string]string // headers of the newest answer

	call func(ctx context.Context) pace.Sign
}

func newProvider(rate, burst float64) *provider {
	p := &provider{rate: rate, burst: burst, level: burst, last: time.Now(), latency: 5 * time.Millisecond}
	p.call = p.simulated
	return p
}

func (p *provider) limit(rate, burst float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refill()
	p.rate, p.burst, p.level = rate, burst, min(p.level+burst-p.burst, burst)
}

func (p *provider) refill() {
	now := time.Now()
	p.level = min(p.burst, p.level+now.Sub(p.last).Seconds()*p.rate)
	p.last = now
}

// take answers a call. It is called with the lock.
func (p *provider) take() pace.Sign {
	p.refill()
	p.calls++
	s := pace.Sign{}
	if p.level >= 1 {
		p.level--
		p.at = append(p.at, p.last)
	} else {
		p.denied++
		s.Class = ai.ClassRateLimited
		s.RetryAfter = time.Duration((1 - p.level) / p.rate * float64(time.Second))
		if p.whole {
			s.RetryAfter = time.Duration(math.Ceil(s.RetryAfter.Seconds())) * time.Second
		}
	}
	if p.mute {
		s.RetryAfter = 0
	}
	full := time.Duration((p.burst - p.level) / p.rate * float64(time.Second))
	limit, left := strconv.Itoa(int(p.burst)), strconv.Itoa(int(p.level))
	told := map[string]string{
		"x-ratelimit-limit-requests": limit, "x-ratelimit-remaining-requests": left, "x-ratelimit-reset-requests": full.Round(time.Millisecond).String(),
	}
	switch p.headers {
	case "":
		told = nil
	case "anthropic":
		name := "anthropic-ratelimit-requests-"
		told = map[string]string{name + "limit": limit, name + "remaining": left, name + "reset": p.last.Add(full).UTC().Format(time.RFC3339)}
	}
	p.told = told
	s.Quota = ai.ReadQuota(func(name string) string { return told[name] }, p.last)
	return s
}

// simulated is a call over a network of that latency.
func (p *provider) simulated(context.Context) pace.Sign {
	sent := time.Now()
	time.Sleep(p.latency / 2)
	p.mu.Lock()
	s := p.take()
	p.mu.Unlock()
	time.Sleep(p.latency / 2)
	s.Sent = sent
	return s
}

// answered counts the answers of a time, a second.
func (p *provider) answered(from, to time.Time) float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, at := range p.at {
		if !at.Before(from) && at.Before(to) {
			n++
		}
	}
	return float64(n) / to.Sub(from).Seconds()
}

func (p *provider) share() float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return float64(p.denied) / float64(p.calls)
}

var key = pace.Key{Backend: "openai", Model: "gpt-5"}

// crowd makes calls until so many are answered, in so many slots; calls that are refused are made again. A call that has to come back
// holds no slot meanwhile. It returns the longest that a call took from when a slot first took it up until it was answered.
type crowd struct {
	p     *provider
	paces []*pace.Pace

	mu      sync.Mutex
	woken   *sync.Cond
	back    []time.Time // calls that came back, by when they first wanted to go
	fresh   int         // calls that nobody took up yet
	open    int         // calls that are not answered
	parked  int         // how often a call was told to come back
	away    int         // calls that are to come back
	longest time.Duration
	timers  sync.WaitGroup
}

func newCrowd(p *provider, calls int, paces ...*pace.Pace) *crowd {
	c := &crowd{p: p, paces: paces, fresh: calls, open: calls}
	c.woken = sync.NewCond(&c.mu)
	return c
}

// run works in so many slots until all calls are answered, or ctx ends.
func (c *crowd) run(ctx context.Context, slots int) {
	defer context.AfterFunc(ctx, c.woken.Broadcast)()
	var all sync.WaitGroup
	for i := range slots {
		all.Go(func() {
			for {
				since, some := c.take(ctx)
				if !some {
					return
				}
				c.one(ctx, since, c.paces[i%len(c.paces)])
			}
		})
	}
	all.Wait()
	c.timers.Wait()
}

func (c *crowd) take(ctx context.Context) (time.Time, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.open > 0 && ctx.Err() == nil {
		if len(c.back) > 0 {
			since := c.back[0]
			c.back = c.back[1:]
			return since, true
		}
		if c.fresh > 0 && c.away < 1000 {
			c.fresh--
			return time.Now().Add(-time.Duration(c.fresh)), true // no two at the same time
		}
		c.woken.Wait()
	}
	return time.Time{}, false
}

// one takes a call up.
func (c *crowd) one(ctx context.Context, since time.Time, at *pace.Pace) {
	back, ok := at.Enter(ctx, key, pace.Ask{Since: since, Patience: time.Second})
	if ok {
		s := c.p.call(ctx)
		at.Heard(key, s)
		c.mu.Lock()
		defer c.mu.Unlock()
		if s.Class == "" {
			c.longest = max(c.longest, time.Since(since))
			if c.open--; c.open == 0 {
				c.woken.Broadcast()
			}
			return
		}
		c.back = append(c.back, since)
		c.woken.Signal()
		return
	}
	c.mu.Lock()
	c.parked++
	c.away++
	c.mu.Unlock()
	c.timers.Go(func() {
		select {
		case <-ctx.Done():
		case <-time.After(time.Until(back)):
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.away--
		c.back = append(c.back, since)
		c.woken.Signal()
	})
}

// close lets it refuse all calls for a while, and tells until when.
func (p *provider) close(d time.Duration) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refill()
	p.level = 1 - d.Seconds()*p.rate
	return p.last.Add(d)
}

func (p *provider) refused() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.denied
}
