package provider

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestCallsBeyondTheSeatsWaitForTheirTurn(t *testing.T) {
	const each = 30 * time.Millisecond
	s := begin(t, Options{AtOnce: 2, Script: func(Ask) Reply { return Reply{Outcome: Success, After: each} }})
	began := time.Now()
	var calls sync.WaitGroup
	for i := range 6 {
		calls.Go(func() {
			if status, _, err := ask(t.Context(), s, fmt.Sprintf("t/r%d/0/1", i)); status != 200 || err != nil {
				t.Errorf("call %d is answered with %d %v", i, status, err)
			}
		})
	}
	calls.Wait()
	if took := time.Since(began); took < 3*each {
		t.Errorf("six calls took %s: more than two were worked on at once", took)
	}
}

// until waits for what another goroutine brings about.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("never: " + what)
		}
	}
}

func TestASeatIsFreeAgainWhenItsCallerHasGone(t *testing.T) {
	s := begin(t, Options{AtOnce: 1, Script: func(a Ask) Reply {
		if a.Key == "t/slow" {
			return Reply{Outcome: Success, After: time.Hour}
		}
		return Reply{Outcome: Success}
	}})
	var calls sync.WaitGroup
	defer calls.Wait()
	slow, leave := context.WithCancel(t.Context())
	defer leave()
	impatient, giveUp := context.WithCancel(t.Context())
	defer giveUp()
	gone := func(ctx context.Context, id string) {
		if _, _, err := ask(ctx, s, id); err == nil {
			t.Errorf("%s was answered", id)
		}
	}
	calls.Go(func() { gone(slow, "t/slow/0/1") })
	until(t, "the seat is taken", func() bool { return len(*s.seats.taken.Load()) == 1 })
	calls.Go(func() { gone(impatient, "t/gone/0/1") })
	until(t, "one waits", func() bool { return s.Totals("t/gone").Open == 1 })
	giveUp()
	until(t, "who waited has gone", func() bool { return s.Totals("t/gone").Open == 0 })

	var left atomic.Bool
	calls.Go(func() {
		status, _, err := ask(t.Context(), s, "t/next/0/1")
		if status != 200 || err != nil || !left.Load() {
			t.Errorf("the next call is answered with %d %v, the seat before was left: %t", status, err, left.Load())
		}
	})
	until(t, "the next waits", func() bool { return s.Totals("t/next").Open == 1 })
	left.Store(true)
	leave()
	calls.Wait()
}
