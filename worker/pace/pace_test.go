package pace_test

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"flowgate/worker/pace"
)

// long tells whether the long form is asked for: 10,000 calls.
func long() bool { return os.Getenv("FLOWGATE_LONG") != "" }

func calls() int {
	if long() {
		return 10_000
	}
	return 500
}

// kind is a provider, and what calls to it must come to.
type kind struct {
	name    string
	burst   float64
	headers string // of whom
	whole   bool   // Retry-After in whole seconds
	mute    bool   // no Retry-After
	used    float64
	longer  float64 // used over 10,000 calls
	spare   int     // so many more may be refused while little is known: of 500 calls each is a fifth of what may be
}

func kinds() []kind {
	return []kind{
		{name: "Retry-After in seconds", burst: 50, whole: true, used: 0.9, longer: 0.95},
		{name: "Retry-After in milliseconds", burst: 50, used: 0.9, longer: 0.95},
		{name: "no Retry-After", burst: 50, mute: true, used: 0.9, longer: 0.95},
		{name: "headers of OpenAI", burst: 50, headers: "openai", whole: true, used: 0.9, longer: 0.95},
		{name: "headers of OpenAI, a small burst", burst: 10, headers: "openai", whole: true, used: 0.9, longer: 0.95},
		{name: "headers of Anthropic, a minute's burst", burst: 3000, headers: "anthropic", whole: true},
		// A block of a second costs a small bucket most of that second, and nobody says how large it is.
		{name: "a small burst", burst: 10, whole: true, used: 0.4, longer: 0.8},
		{name: "headers of Anthropic, a small burst", burst: 10, headers: "anthropic", whole: true, used: 0.4, longer: 0.8},
		{name: "a small burst, Retry-After in milliseconds", burst: 10, used: 0.85, longer: 0.95},
	}
}

func (k kind) provider() *provider {
	p := newProvider(50, k.burst)
	p.headers, p.whole, p.mute = k.headers, k.whole, k.mute
	return p
}

// judge holds what came of calls against what must.
func (k kind) judge(t *testing.T, c *crowd, began time.Time) {
	t.Helper()
	p, took := c.p, time.Since(began)
	used := float64(calls()) / (k.burst + p.rate*took.Seconds())
	t.Logf("%d of %d calls are refused (%.2f %%), %.1f %% of the limit is used, the slowest call took %s, %d came back", p.denied, p.calls, 100*p.share(), 100*used,
		c.longest.Round(time.Millisecond), c.parked)
	if (p.denied-k.spare)*100 > p.calls {
		t.Errorf("%.2f %% of the calls are refused", 100*p.share())
	}
	if least := map[bool]float64{false: k.used, true: k.longer}[long()]; used < least {
		t.Errorf("%.1f %% of the limit is used", 100*used)
	}
}

func TestAtMostOneCallInAHundredIsRefused(t *testing.T) {
	for _, k := range kinds() {
		t.Run(k.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCrowd(k.provider(), calls(), pace.New(pace.Options{}))
				began := time.Now()
				c.run(t.Context(), 64)
				k.judge(t, c, began)
			})
		})
	}
}

// recovery is how long after a limit was lifted that is noticed, and then until the provider is asked at nine tenths of what it
// takes, or of what 64 slots can. The limit is lifted when so many calls were refused.
func recovery(t *testing.T, k kind, workers, refusals int, after time.Duration, rate float64) (noticed, full time.Duration) {
	t.Helper()
	p := k.provider()
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	paces := []*pace.Pace{pace.New(pace.Options{})}
	if workers > 1 {
		paces = (&bus{}).join(ctx, &all, workers)
	}
	c := newCrowd(p, 1_000_000, paces...)
	all.Go(func() { c.run(ctx, 64) })
	defer all.Wait()
	defer cancel()
	for p.refused() < refusals {
		time.Sleep(5 * time.Millisecond)
	}
	time.Sleep(after)
	lifted := time.Now()
	p.limit(rate, rate)
	most := min(rate, 64/p.latency.Seconds())
	for time.Since(lifted) < time.Minute {
		time.Sleep(50 * time.Millisecond)
		now := time.Now()
		got := p.answered(now.Add(-100*time.Millisecond), now)
		if noticed == 0 && got > 150 {
			noticed = now.Sub(lifted)
		}
		if got >= 0.9*most {
			return noticed, now.Sub(lifted) - noticed
		}
	}
	t.Fatalf("%s after the limit was lifted the provider is not asked for more", time.Since(lifted))
	return 0, 0
}

// TestThroughputIsFullSoonAfterALiftedLimit: where headers tell of it, within a second. Where nothing but a refused call tells that a
// limit still stands, one call in a hundred pays for a probe each two seconds at 50 calls a second, at best: here it is each two and a
// half, of 125 calls, and half a second more until a probe is more than the bucket can have held.
func TestThroughputIsFullSoonAfterALiftedLimit(t *testing.T) {
	type lift struct {
		kind     kind
		workers  int
		refusals int // none: headers tell
		after    time.Duration
		rate     float64
	}
	var lifts []lift
	afters := []time.Duration{10 * time.Millisecond, 1800 * time.Millisecond} // the worst moment is that after a refusal
	workers := []int{1}
	if long() {
		afters = nil
		for s := range 12 {
			afters = append(afters, 10*time.Millisecond+time.Duration(s)*210*time.Millisecond)
		}
		workers = []int{1, 3}
	}
	for _, after := range afters {
		for _, rate := range []float64{500, 1e6} {
			for _, n := range workers {
				lifts = append(lifts, lift{kinds()[0], n, 5, after, rate}, lift{kinds()[1], n, 5, after, rate})
			}
			lifts = append(lifts, lift{kinds()[3], 1, 0, 5*time.Second + after, rate})
		}
	}
	var all, n time.Duration
	for _, l := range lifts {
		t.Run(fmt.Sprintf("%s, %d workers, to %g after %s", l.kind.name, l.workers, l.rate, l.after), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				noticed, full := recovery(t, l.kind, l.workers, l.refusals, l.after, l.rate)
				t.Logf("noticed after %s, full after %s more", noticed, full)
				if full > time.Second {
					t.Errorf("full %s after it was noticed", full)
				}
				if l.refusals == 0 && noticed+full > time.Second {
					t.Errorf("full after %s, although headers told of it", noticed+full)
				}
				if noticed > 6*time.Second { // where two calls were refused at once, the next probe waits for twice as many
					t.Errorf("noticed after %s", noticed)
				}
				if l.refusals > 0 {
					all, n = all+noticed, n+1
				}
			})
		})
	}
	if mean := all / n; mean > 3200*time.Millisecond {
		t.Errorf("noticed after %s on average", mean)
	}
}

// TestThroughputIsFullWhenTheNamedTimeHasPassed: the provider refuses all calls for a while and says until when, then it takes what it
// took before.
func TestThroughputIsFullWhenTheNamedTimeHasPassed(t *testing.T) {
	for _, k := range kinds()[:2] {
		for _, closed := range []time.Duration{3 * time.Second, 20 * time.Second} {
			t.Run(fmt.Sprintf("%s, closed for %s", k.name, closed), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					p := k.provider()
					ctx, cancel := context.WithCancel(t.Context())
					w := pace.New(pace.Options{})
					c := newCrowd(p, 1_000_000, w)
					var all sync.WaitGroup
					all.Go(func() { c.run(ctx, 64) })
					defer all.Wait()
					defer cancel()
					time.Sleep(10 * time.Second)
					opens := p.close(closed)
					var until time.Time
					for until.Before(opens) {
						time.Sleep(time.Millisecond)
						if named := w.State()[0].BlockedUntil; named != nil {
							until = *named
						}
					}
					refused := p.refused()
					time.Sleep(time.Until(until) - time.Millisecond)
					if got := p.refused() - refused; got > 0 {
						t.Errorf("%d calls were sent before the time that it named", got)
					}
					time.Sleep(2*time.Second + time.Millisecond)
					first, second := p.answered(until, until.Add(time.Second)), p.answered(until.Add(time.Second), until.Add(2*time.Second))
					t.Logf("%.0f calls in the first second, %.0f in the second one", first, second)
					if first < 45 || second < 45 || p.refused() > refused {
						t.Errorf("%.0f calls are answered in the first second and %.0f in the second one, and %d refused", first, second, p.refused()-refused)
					}
				})
			})
		}
	}
}

// TestAProviderThatRefusedAllIsAskedAgain: it refuses everything for a while and does not say for how long. That no call came through
// says nothing of how many will.
func TestAProviderThatRefusedAllIsAskedAgain(t *testing.T) {
	for _, workers := range []int{1, 3} {
		for _, after := range []time.Duration{0, time.Second, 10 * time.Second} {
			t.Run(fmt.Sprintf("%d workers, after %s", workers, after), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					p := kinds()[2].provider()
					ctx, cancel := context.WithCancel(t.Context())
					var all sync.WaitGroup
					c := newCrowd(p, 1_000_000, (&bus{}).join(ctx, &all, workers)...)
					all.Go(func() { c.run(ctx, 64) })
					defer all.Wait()
					defer cancel()
					time.Sleep(after)
					p.close(4 * time.Second)
					time.Sleep(14 * time.Second)
					now := time.Now()
					if got := p.answered(now.Add(-3*time.Second), now); got < 12 {
						t.Errorf("ten seconds after it takes calls again %.1f a second are answered", got)
					}
				})
			})
		}
	}
}
