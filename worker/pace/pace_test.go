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
	learns  int     // calls beyond one in a hundred that may be refused while the limit is learnt
}

func kinds() []kind {
	return []kind{
		{name: "Retry-After in seconds", burst: 50, whole: true, used: 0.9, longer: 0.95},
		{name: "Retry-After in milliseconds", burst: 50, used: 0.9, longer: 0.95, learns: 3},
		{name: "no Retry-After", burst: 50, mute: true, used: 0.9, longer: 0.95, learns: 3},
		{name: "headers of OpenAI", burst: 50, headers: "openai", whole: true, used: 0.9, longer: 0.95},
		{name: "headers of OpenAI, a small burst", burst: 10, headers: "openai", whole: true, used: 0.9, longer: 0.95, learns: 1},
		{name: "headers of Anthropic, a minute's burst", burst: 3000, headers: "anthropic", whole: true},
		// A block of a second costs a small bucket most of that second, and nobody says how large it is.
		{name: "a small burst", burst: 10, whole: true, used: 0.4, longer: 0.8, learns: 2},
		{name: "headers of Anthropic, a small burst", burst: 10, headers: "anthropic", whole: true, used: 0.4, longer: 0.8, learns: 2},
		{name: "a small burst, Retry-After in milliseconds", burst: 10, used: 0.9, longer: 0.9, learns: 3},
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
	if p.denied > calls()/100+k.learns {
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
// takes, or of what 64 slots can.
func recovery(t *testing.T, k kind, after time.Duration, rate float64) (noticed, full time.Duration) {
	t.Helper()
	p := k.provider()
	ctx, cancel := context.WithCancel(t.Context())
	c := newCrowd(p, 1_000_000, pace.New(pace.Options{}))
	var all sync.WaitGroup
	all.Go(func() { c.run(ctx, 64) })
	defer all.Wait()
	defer cancel()
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

func TestThroughputIsFullWithinASecondOfALiftedLimit(t *testing.T) {
	afters, tried := []time.Duration{31 * time.Second}, []kind{kinds()[0], kinds()[3]}
	if long() {
		tried = kinds()[:5]
		for s := range 10 {
			afters = append(afters, time.Duration(20+7*s)*time.Second)
		}
	}
	for _, k := range tried {
		for _, rate := range []float64{500, 1e6} {
			for _, after := range afters {
				t.Run(fmt.Sprintf("%s, to %g after %s", k.name, rate, after), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						noticed, full := recovery(t, k, after, rate)
						t.Logf("noticed after %s, full after %s more", noticed, full)
						if full > time.Second {
							t.Errorf("full %s after it was noticed", full)
						}
						if k.headers != "" && noticed+full > time.Second {
							t.Errorf("full after %s, although headers told of it", noticed+full)
						}
						if noticed > 20*time.Second {
							t.Errorf("noticed after %s", noticed)
						}
					})
				})
			}
		}
	}
}
