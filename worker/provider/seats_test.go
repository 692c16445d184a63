package provider

import (
	"context"
	"fmt"
	"sync"
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

func TestASeatIsFreeAgainWhenItsCallerHasGone(t *testing.T) {
	s := begin(t, Options{AtOnce: 1, Script: func(a Ask) Reply {
		if a.Key == "t/slow" {
			return Reply{Outcome: Success, After: time.Hour}
		}
		return Reply{Outcome: Success}
	}})
	slow, leave := context.WithCancel(t.Context())
	var calls sync.WaitGroup
	for i := range 2 { // one sits, one waits; both go
		calls.Go(func() {
			if _, _, err := ask(slow, s, fmt.Sprintf("t/slow/%d/1", i)); err == nil {
				t.Error("a call of an hour was answered")
			}
		})
	}
	for s.Totals("t/slow").Open < 2 {
		time.Sleep(time.Millisecond) // no signal tells
	}
	leave()
	calls.Wait()
	if status, _, err := ask(t.Context(), s, "t/r/0/1"); status != 200 || err != nil {
		t.Errorf("the next call is answered with %d %v", status, err)
	}
}
