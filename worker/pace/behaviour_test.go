package pace_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"flowgate/pipelines/ai"
	"flowgate/worker/pace"
)

func in(t *testing.T, f func(t *testing.T)) { t.Helper(); synctest.Test(t, f) }

// goes tells whether a call may go at once.
func goes(t *testing.T, p *pace.Pace, k pace.Key) bool {
	t.Helper()
	_, ok := p.Enter(t.Context(), k, pace.Ask{})
	return ok
}

func limited(after time.Duration) pace.Sign {
	return pace.Sign{Class: ai.ClassRateLimited, RetryAfter: after, Sent: time.Now()}
}

func TestNothingGoesBeforeRetryAfterAndThenByTheRate(t *testing.T) {
	in(t, func(t *testing.T) {
		p := pace.New(pace.Options{})
		for range 4 {
			goes(t, p, key)
		}
		time.Sleep(time.Millisecond)
		began := time.Now()
		p.Heard(key, limited(10*time.Second))
		if at, ok := p.Enter(t.Context(), key, pace.Ask{Patience: time.Second}); ok || time.Now() != began || at.Sub(began) < 10*time.Second {
			t.Fatalf("in the block: go %t, come back after %s, waited %s", ok, at.Sub(began), time.Since(began))
		}
		var all sync.WaitGroup
		var mu sync.Mutex
		var went []time.Duration
		for i := range 40 {
			all.Go(func() {
				since := began.Add(time.Duration(i))
				for ok := false; !ok; {
					var at time.Time
					if at, ok = p.Enter(t.Context(), key, pace.Ask{Since: since, Patience: time.Second}); !ok {
						time.Sleep(time.Until(at))
					}
				}
				mu.Lock()
				defer mu.Unlock()
				went = append(went, time.Since(began))
			})
		}
		all.Wait()
		slices.Sort(went)
		if went[0] < 10*time.Second || went[0] > 10*time.Second+100*time.Millisecond {
			t.Errorf("the first went after %s", went[0])
		}
		for i := 1; i < len(went); i++ {
			if went[i]-went[i-1] < 10*time.Millisecond { // the rate is at most half of what was tried, 16 a second
				t.Errorf("two calls went within %s when the block ended", went[i]-went[i-1])
			}
		}
	})
}

func TestTheOldestGoesFirst(t *testing.T) {
	in(t, func(t *testing.T) {
		p := pace.New(pace.Options{})
		for goes(t, p, key) {
		}
		began := time.Now()
		var mu sync.Mutex
		var order []int
		var all sync.WaitGroup
		for _, age := range []int{2, 5, 1, 4, 3} {
			all.Go(func() {
				if _, ok := p.Enter(t.Context(), key, pace.Ask{Since: began.Add(-time.Duration(age) * time.Second), Patience: time.Minute}); !ok {
					t.Error("sent away")
				}
				mu.Lock()
				defer mu.Unlock()
				order = append(order, age)
			})
			synctest.Wait()
		}
		all.Wait()
		if !slices.Equal(order, []int{5, 4, 3, 2, 1}) {
			t.Errorf("went in the order of ages %v", order)
		}
	})
}

func TestWhoCameFirstIsNotStarved(t *testing.T) {
	in(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		p := newProvider(50, 50)
		p.headers = "openai"
		c := newCrowd(p, 1_000_000, pace.New(pace.Options{})) // an endless stream of newer ones
		var all sync.WaitGroup
		all.Go(func() { c.run(ctx, 64) })
		time.Sleep(30 * time.Second)
		cancel()
		all.Wait()
		if c.longest > 25*time.Second { // 1,064 calls are ahead at most, 50 a second
			t.Errorf("a call waited %s", c.longest)
		}
	})
}

func TestPatienceEndsWithATimeToComeBack(t *testing.T) {
	in(t, func(t *testing.T) {
		p := pace.New(pace.Options{Horizon: 5 * time.Second})
		p.Heard(key, limited(0))
		var all sync.WaitGroup
		for i := range 500 {
			all.Go(func() {
				began := time.Now()
				at, ok := p.Enter(t.Context(), key, pace.Ask{Since: began.Add(time.Duration(i)), Patience: time.Second})
				if waited := time.Since(began); waited > time.Second+time.Millisecond {
					t.Errorf("waited %s", waited)
				}
				if !ok && (at.Before(time.Now()) || at.After(time.Now().Add(6*time.Second))) {
					t.Errorf("sent away until %s from now", time.Until(at))
				}
			})
		}
		all.Wait()
	})
}

func TestWhoeverIsCutOffLeavesTheQueue(t *testing.T) {
	in(t, func(t *testing.T) {
		p := pace.New(pace.Options{})
		for goes(t, p, key) {
		}
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() {
			if _, ok := p.Enter(ctx, key, pace.Ask{Patience: time.Minute}); ok {
				t.Error("a call that was cut off goes")
			}
		})
		synctest.Wait()
		cancel()
		all.Wait()
		if s := p.State(); s[0].Waiting != 0 {
			t.Errorf("%d wait", s[0].Waiting)
		}
	})
}

func TestTokensCount(t *testing.T) {
	in(t, func(t *testing.T) {
		p := pace.New(pace.Options{})
		told := pace.Sign{Sent: time.Now(), Quota: ai.Quota{Tokens: ai.Allowance{Limit: 60_000, Remaining: 30_000, Reset: 30 * time.Second, Known: true}}}
		p.Heard(key, told)
		began := time.Now()
		for range 20 { // 20,000 tokens at 1,000 a second
			for ok := false; !ok; {
				var at time.Time
				if at, ok = p.Enter(t.Context(), key, pace.Ask{Tokens: 1000, Patience: time.Second}); !ok {
					time.Sleep(time.Until(at))
				}
			}
		}
		if took := time.Since(began); took < 15*time.Second || took > 25*time.Second {
			t.Errorf("20,000 tokens went in %s", took)
		}
		if _, ok := p.Enter(t.Context(), key, pace.Ask{Tokens: 1 << 50}); ok {
			t.Error("more than the limit goes beside others")
		}
		time.Sleep(5 * time.Minute)
		if !goes(t, p, key) {
			t.Error("nothing goes after all is there again")
		}
		time.Sleep(5 * time.Minute)
		if _, ok := p.Enter(t.Context(), key, pace.Ask{Tokens: 1 << 50, Patience: 2 * time.Minute}); !ok {
			t.Error("more than the limit never goes: the provider has to say so")
		}
	})
}

func TestAnEmptyWindowIsWaitedFor(t *testing.T) {
	in(t, func(t *testing.T) {
		p := pace.New(pace.Options{})
		empty := ai.Quota{Requests: ai.Allowance{Limit: 10, Reset: 20 * time.Second, Known: true}}
		s := limited(0)
		s.Quota = empty
		p.Heard(key, s)
		at, ok := p.Enter(t.Context(), key, pace.Ask{})
		if left := time.Until(at); ok || left < 20*time.Second || left > 25*time.Second {
			t.Errorf("goes %t, come back in %s", ok, left)
		}
		time.Sleep(20*time.Second + time.Millisecond)
		if !goes(t, p, key) {
			t.Error("nothing goes when the window is full again")
		}
	})
}

func TestHeadersThatEndLiftTheLimit(t *testing.T) {
	in(t, func(t *testing.T) {
		p := pace.New(pace.Options{})
		p.Heard(key, pace.Sign{Sent: time.Now(), Quota: ai.Quota{Requests: ai.Allowance{Limit: 100, Remaining: 50, Reset: time.Second, Known: true}}})
		for range 3 {
			time.Sleep(time.Millisecond)
			p.Heard(key, pace.Sign{Sent: time.Now()})
		}
		if s := p.State()[0]; s.Source != pace.SourceNone || s.Rate < 40 {
			t.Errorf("got %+v", s)
		}
	})
}

func TestAnUnreasonableRetryAfterIsTriedAgain(t *testing.T) {
	in(t, func(t *testing.T) {
		p := pace.New(pace.Options{LongestBlock: time.Minute})
		p.Heard(key, limited(24*time.Hour))
		if until := p.State()[0].BlockedUntil; until == nil || time.Until(*until) != time.Minute {
			t.Errorf("blocked until %v", until)
		}
		time.Sleep(time.Minute)
		if !goes(t, p, key) {
			t.Error("nothing tries")
		}
		if goes(t, p, key) {
			t.Error("more than one tries")
		}
	})
}

func TestKeysAreApart(t *testing.T) {
	in(t, func(t *testing.T) {
		p := pace.New(pace.Options{})
		p.Heard(key, limited(time.Minute))
		if !goes(t, p, pace.Key{Backend: key.Backend, Model: "another"}) || !goes(t, p, pace.Key{Backend: "another", Model: key.Model}) {
			t.Error("another key is blocked")
		}
	})
}

func TestMemoryIsBounded(t *testing.T) {
	in(t, func(t *testing.T) {
		p := pace.New(pace.Options{})
		for i := range 3 * pace.MaxKeys {
			if !goes(t, p, pace.Key{Backend: "b", Model: fmt.Sprint(i)}) {
				t.Fatal("a call of one key too many does not go")
			}
		}
		if n := len(p.State()); n != pace.MaxKeys {
			t.Errorf("%d keys", n)
		}
		time.Sleep(11 * time.Minute)
		goes(t, p, key)
		if n := len(p.State()); n != 1 {
			t.Errorf("%d keys after ten idle minutes", n)
		}
	})
}

func TestWhatIsGivenBackGoes(t *testing.T) {
	in(t, func(t *testing.T) {
		p := pace.New(pace.Options{})
		for goes(t, p, key) {
		}
		p.Leave(key, 0)
		if !goes(t, p, key) || goes(t, p, key) {
			t.Error("what was given back is not one call")
		}
		p.Leave(pace.Key{Backend: "never", Model: "asked"}, 1)
	})
}

func TestWhoGoesElsewhereLeavesNoPromise(t *testing.T) {
	in(t, func(t *testing.T) {
		p := pace.New(pace.Options{})
		p.Heard(key, limited(time.Minute))
		began := time.Now()
		for i := range 3 {
			if _, ok := p.Enter(t.Context(), key, pace.Ask{Since: began.Add(-time.Duration(i) * time.Second), Patience: time.Second}); ok {
				t.Fatal("it goes in the block")
			}
		}
		p.Forgo(key, began.Add(-time.Second))
		p.Forgo(key, began.Add(-time.Second)) // once more says nothing
		p.Forgo(pace.Key{Backend: "never", Model: "asked"}, began)
		if n := p.Away(key); n != 2 {
			t.Errorf("%d are to come back, want 2", n)
		}
	})
}

func TestGarbageIsDropped(t *testing.T) {
	p := pace.New(pace.Options{Worker: "me"})
	good := `{"v":1,"worker":"w","keys":[{"backend":"b","model":"m","sent":1,"demand":2,"learnt":{"rate":50,"known":true,"gen":3}}]}`
	if err := p.Hear([]byte(good)); err != nil {
		t.Fatal(err)
	}
	if s := p.State(); len(s) != 1 || s[0].Rate != 50 {
		t.Errorf("got %+v", s)
	}
	for _, bad := range []string{
		"", "{", "null", `"text"`, "\x00\xff", strings.Repeat("x", 1<<20), `{"v":0,"worker":"w"}`, `{"v":1}`, `{"v":1,"worker":"a\nb"}`,
		strings.Replace(good, `"rate":50`, `"rate":0`, 1), strings.Replace(good, `"rate":50`, `"rate":-1`, 1), strings.Replace(good, `"rate":50`, `"rate":1e300`, 1),
		strings.Replace(good, `"demand":2`, `"demand":-2`, 1), strings.Replace(good, `"gen":3`, `"gen":18446744073709551615`, 1),
		strings.Replace(good, `"backend":"b"`, `"backend":""`, 1), strings.Replace(good, `"sent":1`, `"sent":1,"blocked_ms":9223372036854775807`, 1),
		`{"v":1,"worker":"w","keys":[` + strings.Repeat(`{},`, 100) + `{}]}`,
	} {
		if err := p.Hear([]byte(bad)); err == nil {
			t.Errorf("believed: %.100s", bad)
		}
	}
	if s := p.State(); len(s) != 1 {
		t.Errorf("garbage left %+v", s)
	}
}

func FuzzHear(f *testing.F) {
	f.Add([]byte(`{"v":1,"worker":"w","keys":[{"backend":"b","model":"m","sent":1,"held":3,"demand":2,"learnt":{"rate":50,"known":true,"gen":3},"blocked_ms":5}]}`))
	f.Add([]byte(`{"v":1,"worker":"w","keys":[{"backend":"b","model":"m","learnt":{"rate":0.001,"early":99,"streak":4,"held":1e5}}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		p := pace.New(pace.Options{Worker: "me", LongestBlock: time.Minute})
		k := pace.Key{Backend: "b", Model: "m"}
		goes(t, p, k)
		_ = p.Hear(data)
		p.Heard(k, limited(time.Second))
		p.Heard(k, pace.Sign{Sent: time.Now()})
		_ = p.Hear(data)
		for _, s := range p.State() {
			if !(s.Rate >= 0 && s.Rate < 1e9) || !(s.Share > 0 && s.Share <= 1) || s.BlockedUntil != nil && time.Until(*s.BlockedUntil) > time.Minute {
				t.Errorf("got %+v", s)
			}
		}
	})
}
