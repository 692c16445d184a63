package handlers_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"flowgate/messages"
	"flowgate/pipelines/ai"
	"flowgate/worker"
	"flowgate/worker/breaker"
)

func failing(name string, class ai.Class) scripted {
	return scripted{called: called{name: name}, answer: func(ai.Call) (ai.Answer, error) {
		return ai.Answer{}, &ai.Fault{Class: class, Code: "x", Detail: "as the script says", RetryAfter: time.Second} // no quick retries
	}}
}

func breakers(t *testing.T, change ...func(*breaker.Options)) *breaker.Breakers {
	t.Helper()
	o := breaker.DefaultOptions()
	for _, f := range change {
		f(&o)
	}
	b, err := breaker.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestWhereEveryBackendFailsTheRequestWaits(t *testing.T) {
	e, v := handled(t, alone(t, failing("a", ai.ClassTransient), failing("b", ai.ClassTransient)), messages.Request{Prompt: "hi"})
	if v.Action != worker.ActionAdvance || v.Next.State != messages.StateAI || len(e.History) != 2 || e.History[0].Backend != "a" || e.History[1].Backend != "b" {
		t.Errorf("%+v after %+v", v, e.History)
	}
}

func TestWhatOneRefusesForGoodWaitsForAnotherThatIsHeld(t *testing.T) {
	for _, class := range []ai.Class{ai.ClassAuth, ai.ClassQuota} {
		layer := alone(t, failing("a", class), failing("b", ai.ClassTransient))
		layer.Breakers = breakers(t)
		for range 5 {
			permit, refused := layer.Breakers.Allow("b", model)
			if refused != nil {
				t.Fatal(refused)
			}
			permit.Done(&ai.Fault{Class: ai.ClassTransient})
		}
		e, v := handled(t, layer, messages.Request{Prompt: "hi"})
		if v.Action != worker.ActionAdvance || v.Next.State != messages.StateAI || !e.NotBefore.After(time.Now()) || e.End != nil {
			t.Errorf("%s: %+v, end %+v", class, v, e.End)
		}
		if e, _ = handled(t, layer, messages.Request{Prompt: "again"}); len(e.History) != 0 {
			t.Errorf("%s: a moment later it is asked again: %+v", class, e.History)
		}
	}
}

func TestHeldBackendIsNamedToWhoAsksMeanwhile(t *testing.T) {
	layer := alone(t, failing("a", ai.ClassAuth))
	layer.Breakers = breakers(t)
	handled(t, layer, messages.Request{Prompt: "hi"})
	e, _ := handled(t, layer, messages.Request{Prompt: "again"})
	if end := e.End; end == nil || end.Reason != messages.ReasonBackendAuth || !strings.Contains(end.Detail, "a is unhealthy after auth (x); one call tries again in ") {
		t.Errorf("end %+v", end)
	}
}

// cutting waits for the end of its context.
type cutting struct{ scripted }

func (cutting) Call(ctx context.Context, _ ai.Call) (ai.Answer, error) {
	<-ctx.Done()
	return ai.Answer{}, &ai.Fault{Class: ai.ClassInDoubt, Code: "timeout", Detail: "the request was sent and no whole answer came"}
}

func TestDeadlinesOfRequestsAreNoFaultOfTheBackend(t *testing.T) {
	layer := alone(t, cutting{scripted{called: called{name: "a"}}})
	layer.Breakers = breakers(t)
	for range 6 {
		document := strings.Repeat("x", 10)
		e, _ := handledUntil(t, layer, messages.Request{Prompt: document}, time.Now().Add(20*time.Millisecond))
		if len(e.History) != 1 || e.History[0].Class != string(ai.ClassInDoubt) {
			t.Fatalf("history %+v", e.History)
		}
	}
	if r := layer.Breakers.Check("a", model); r != nil {
		t.Errorf("%v", r)
	}
}

func TestPanicLeavesTheBreakerToTheNextCall(t *testing.T) {
	layer := alone(t, scripted{called: called{name: "a"}, answer: func(ai.Call) (ai.Answer, error) { panic("a bug") }})
	layer.Breakers = breakers(t, func(o *breaker.Options) {
		o.Failures, o.Open, o.MaxOpen = 1, 100*time.Millisecond, 100*time.Millisecond
	})
	permit, refused := layer.Breakers.Allow("a", model)
	if refused != nil {
		t.Fatal(refused)
	}
	permit.Done(&ai.Fault{Class: ai.ClassTransient})
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for range 2 { // the second finds it as the first did
		for late := time.After(10 * time.Second); layer.Breakers.Check("a", model) != nil; {
			select {
			case <-tick.C:
			case <-late:
				t.Fatal("the breaker lets nobody try any more")
			}
		}
		func() {
			defer func() {
				if recover() == nil {
					t.Error("nothing panicked")
				}
			}()
			handled(t, layer, messages.Request{Prompt: "hi"})
		}()
	}
}
