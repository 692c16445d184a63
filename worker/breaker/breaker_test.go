package breaker_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"flowgate/pipelines/ai"
	"flowgate/worker/breaker"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is breakers and what they told.
type bench struct {
	*breaker.Breakers

	t    *testing.T
	mu   sync.Mutex
	told []breaker.Change
}

func setup(t *testing.T, change ...func(*breaker.Options)) *bench {
	t.Helper()
	b := &bench{t: t}
	o := breaker.DefaultOptions()
	o.OnChange = func(c breaker.Change) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.told = append(b.told, c)
	}
	for _, f := range change {
		f(&o)
	}
	var err error
	if b.Breakers, err = breaker.New(o); err != nil {
		t.Fatal(err)
	}
	return b
}

func fault(class ai.Class) *ai.Fault { return &ai.Fault{Class: class, Code: "x"} }

// call makes a call that comes to f, and tells whether it was let through.
func (b *bench) call(model string, f *ai.Fault) *breaker.Refusal {
	p, refused := b.Allow("openai", model)
	if refused == nil {
		p.Done(f)
	}
	return refused
}

func (b *bench) calls(n int, model string, f *ai.Fault) {
	b.t.Helper()
	for i := range n {
		if r := b.call(model, f); r != nil {
			b.t.Fatalf("call %d is refused: %v", i, r)
		}
	}
}

func (b *bench) stands(model string, want breaker.Position) {
	b.t.Helper()
	for _, s := range b.State() {
		if s.Model == model {
			if s.State != want {
				b.t.Errorf("%q is %s, want %s", model, s.State, want)
			}
			return
		}
	}
	b.t.Errorf("%q has no breaker", model)
}

func in(t *testing.T, f func(t *testing.T)) { t.Helper(); synctest.Test(t, f) }

func TestFailuresInARowOpenAndOneCallTries(t *testing.T) {
	in(t, func(t *testing.T) {
		b := setup(t)
		b.calls(4, "m", fault(ai.ClassTransient))
		b.calls(1, "m", nil) // an answer between
		b.calls(5, "m", fault(ai.ClassOverloaded))
		r := b.call("m", nil)
		if r == nil || r.State != breaker.Open || r.Class != ai.ClassOverloaded || r.Code != "x" || r.Model != "m" || !r.Next.Equal(time.Now().Add(5*time.Second)) {
			t.Fatalf("after five failures: %+v", r)
		}
		if r = b.call("other", nil); r != nil {
			t.Fatalf("another model is refused: %v", r)
		}
		time.Sleep(5*time.Second + time.Millisecond)
		trial, refused := b.Allow("openai", "m")
		if refused != nil {
			t.Fatalf("no trial: %v", refused)
		}
		if _, second := b.Allow("openai", "m"); second == nil || second.State != breaker.HalfOpen || !second.Next.After(time.Now()) {
			t.Fatalf("a second trial beside the first: %+v", second)
		}
		trial.Done(nil)
		b.stands("m", breaker.Closed)
		b.calls(20, "m", nil)
		var moves []string
		for _, c := range b.told {
			moves = append(moves, fmt.Sprintf("%s:%s>%s", c.Model, c.From, c.To))
		}
		if got, want := strings.Join(moves, " "), "m:closed>open m:open>half_open m:half_open>closed"; got != want {
			t.Errorf("told %s, want %s", got, want)
		}
	})
}

func TestEachTrialThatFailsDoublesTheWait(t *testing.T) {
	in(t, func(t *testing.T) {
		b := setup(t)
		b.calls(5, "m", fault(ai.ClassInDoubt))
		for _, want := range []int{5, 10, 20, 40, 60, 60} {
			r := b.call("m", nil)
			if r == nil || int(time.Until(r.Next).Seconds()+0.5) != want {
				t.Fatalf("want to wait %d s: %+v", want, r)
			}
			time.Sleep(time.Until(r.Next) - time.Second)
			if b.call("m", nil) == nil {
				t.Fatal("let through a second too early")
			}
			time.Sleep(time.Second + time.Millisecond)
			if r := b.call("m", fault(ai.ClassTransient)); r != nil {
				t.Fatalf("no trial after %d s: %v", want, r)
			}
		}
		time.Sleep(time.Minute + time.Millisecond)
		b.calls(1, "m", nil)
		b.calls(5, "m", fault(ai.ClassTransient))
		if r := b.call("m", nil); r == nil || time.Until(r.Next) > 5*time.Second {
			t.Errorf("after it was closed: %+v", r)
		}
	})
}

func TestAShareOfAWindowOpens(t *testing.T) {
	in(t, func(t *testing.T) {
		b := setup(t)
		for i := range 40 { // three in four answer
			if i%4 == 0 {
				b.calls(1, "m", fault(ai.ClassTransient))
			} else {
				b.calls(1, "m", nil)
			}
		}
		time.Sleep(40 * time.Second) // another window
		opened := 0
		for i := range 40 {
			f := fault(ai.ClassTransient)
			if i%2 == 0 {
				f = nil
			}
			if b.call("m", f) != nil {
				opened = i
				break
			}
		}
		if opened != 20 {
			t.Errorf("half of the calls fail: it opened after %d", opened)
		}
	})
}

func TestWhatIsNoFailure(t *testing.T) {
	for _, class := range []ai.Class{ai.ClassRateLimited, ai.ClassInvalid, ai.ClassRefused, ai.ClassDrained} {
		in(t, func(t *testing.T) {
			b := setup(t)
			b.calls(100, "m", fault(class))
			b.stands("m", breaker.Closed)
			b.stands("", breaker.Closed)
		})
	}
	in(t, func(t *testing.T) {
		b := setup(t)
		b.calls(100, "m", &ai.Fault{Class: ai.ClassInDoubt, Code: "cancelled"})
		b.stands("m", breaker.Closed)
	})
}

func TestATrialThatCountsForNothingLetsAnotherTry(t *testing.T) {
	in(t, func(t *testing.T) {
		b := setup(t)
		b.calls(5, "m", fault(ai.ClassTransient))
		time.Sleep(6 * time.Second)
		b.calls(3, "m", fault(ai.ClassRateLimited))
		b.stands("m", breaker.HalfOpen)
		b.calls(1, "m", fault(ai.ClassInvalid)) // it answers
		b.stands("m", breaker.Closed)
	})
}

func TestFailuresOfSeveralModelsOpenTheBackend(t *testing.T) {
	in(t, func(t *testing.T) {
		b := setup(t)
		for i := range 5 {
			b.calls(1, fmt.Sprint("m", i%3), fault(ai.ClassTransient))
		}
		r := b.call("never asked", nil)
		if r == nil || r.State != breaker.Open || r.Model != "" {
			t.Fatalf("after failures of three models: %+v", r)
		}
		time.Sleep(6 * time.Second)
		b.calls(1, "never asked", nil)
		b.stands("", breaker.Closed)
		b.calls(1, "m0", nil)
	})
}

func TestRefusedCredentialsHoldTheBackendForAWhile(t *testing.T) {
	in(t, func(t *testing.T) {
		b := setup(t)
		b.calls(1, "m", &ai.Fault{Class: ai.ClassAuth, Code: "401"})
		if r := b.call("other", nil); r == nil || r.State != breaker.Unhealthy || time.Until(r.Next) != time.Minute {
			t.Fatalf("at once: %+v", r)
		}
		time.Sleep(time.Minute)
		b.calls(1, "m", nil)
		b.stands("", breaker.Closed)
	})
}

func TestRefusedCredentialsHoldTheBackendUntilTheyAreOthers(t *testing.T) {
	in(t, func(t *testing.T) {
		b := setup(t, func(o *breaker.Options) { o.AuthHold = 0 })
		b.calls(1, "m", &ai.Fault{Class: ai.ClassAuth, Code: "401"})
		time.Sleep(24 * time.Hour)
		r := b.call("other", nil)
		if r == nil || r.State != breaker.Unhealthy || !r.Next.IsZero() || r.Class != ai.ClassAuth {
			t.Fatalf("a day later: %+v", r)
		}
		b.Renewed("another backend")
		if b.Check("openai", "m") == nil {
			t.Fatal("the credentials of another backend let calls through")
		}
		b.Renewed("openai")
		b.calls(1, "m", nil)
		b.stands("", breaker.Closed)
		if last := b.told[len(b.told)-1]; last.From != breaker.Unhealthy || last.To != breaker.Closed {
			t.Errorf("told last %+v", last)
		}
	})
}

func TestOtherCredentialsEndNothingElse(t *testing.T) {
	in(t, func(t *testing.T) {
		b := setup(t)
		b.calls(1, "m", fault(ai.ClassQuota))
		b.Renewed("openai")
		if r := b.Check("openai", "m"); r == nil || r.State != breaker.Held {
			t.Errorf("a quota that is used up: %+v", r)
		}
	})
}

func TestAccessToOneModelIsThatModelsAlone(t *testing.T) {
	in(t, func(t *testing.T) {
		b := setup(t)
		b.calls(1, "m", &ai.Fault{Class: ai.ClassAuth, Code: "AccessDeniedException"})
		if r := b.call("m", nil); r == nil || r.State != breaker.Unhealthy || r.Model != "m" {
			t.Errorf("the model: %+v", r)
		}
		b.calls(10, "other", nil)
	})
}

func TestAUsedUpQuotaHoldsTheBackendForAWhile(t *testing.T) {
	in(t, func(t *testing.T) {
		b := setup(t)
		b.calls(1, "m", fault(ai.ClassQuota))
		r := b.call("other", nil)
		if r == nil || r.State != breaker.Held || !r.Next.Equal(time.Now().Add(5*time.Minute)) {
			t.Fatalf("got %+v", r)
		}
		time.Sleep(5 * time.Minute)
		trial, refused := b.Allow("openai", "m")
		if refused != nil {
			t.Fatal(refused)
		}
		if r := b.call("m", nil); r == nil || r.State != breaker.HalfOpen {
			t.Errorf("beside the trial: %+v", r)
		}
		trial.Done(fault(ai.ClassQuota))
		if r := b.call("m", nil); r == nil || r.State != breaker.Held {
			t.Errorf("after a trial that met the same: %+v", r)
		}
		time.Sleep(5 * time.Minute)
		b.calls(5, "m", nil)
		b.stands("", breaker.Closed)
	})
}

func TestStateSaysClassAndCodeAlone(t *testing.T) {
	in(t, func(t *testing.T) {
		b := setup(t)
		f := &ai.Fault{Class: ai.ClassTransient, Code: "500", Detail: "SECRET", Err: errors.New("SECRET")}
		b.calls(5, "m", f)
		for _, s := range b.State() {
			if s.Model == "m" && (s.Class != ai.ClassTransient || s.Code != "500" || s.Next == nil || s.State != breaker.Open) {
				t.Errorf("got %+v", s)
			}
		}
		if text := fmt.Sprintf("%+v %+v %v", b.State(), b.told, b.call("m", nil)); strings.Contains(text, "SECRET") {
			t.Error(text)
		}
	})
}

func TestMemoryIsBounded(t *testing.T) {
	in(t, func(t *testing.T) {
		b := setup(t)
		for i := range 5000 {
			b.calls(1, fmt.Sprint("model-", i), nil)
		}
		if n := len(b.State()); n > 1000 {
			t.Errorf("%d breakers", n)
		}
		time.Sleep(11 * time.Minute)
		b.calls(1, "one more", nil)
		if n := len(b.State()); n > 10 {
			t.Errorf("%d breakers after ten idle minutes", n)
		}
	})
}

func TestManyAtOnce(t *testing.T) {
	b := setup(t, func(o *breaker.Options) { o.Open = 100 * time.Millisecond; o.MaxOpen = 100 * time.Millisecond })
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			for k := range 500 {
				var f *ai.Fault
				if k%3 != 0 {
					f = fault(ai.ClassTransient)
				}
				_ = b.call(fmt.Sprint(i%3), f)
				b.State()
			}
		})
	}
	all.Wait()
}

func TestOptionsTellEveryFaultAtOnce(t *testing.T) {
	_, err := breaker.New(breaker.Options{})
	for _, field := range []string{"failures", "share", "calls", "window", "open", "quota_hold"} {
		if err == nil || !strings.Contains(err.Error(), field+":") {
			t.Errorf("%s is not named: %v", field, err)
		}
	}
}
