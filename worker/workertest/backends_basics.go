package workertest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"sync"
	"testing"

	"flowgate/messages"
	"flowgate/pipelines/ai"
)

func testAnswers(t *testing.T, s Stage) {
	call := NewCall("answers")
	got := answer(t, s, call)
	if got.Text == "" || got.Model == "" || got.FinishReason != s.Words.Stop || got.ProviderRequestID == "" || got.Refused || got.UsageUnknown {
		t.Errorf("answer %+v lacks something", got)
	}
	bound := int64(16)
	for _, m := range call.Messages {
		bound += int64(len(m.Content)) + 16
	}
	if got.Usage.Input() <= 0 || got.Usage.Input() > bound {
		t.Errorf("input is %d tokens, want 1 to %d", got.Usage.Input(), bound)
	}
	if got.Usage.Output <= 0 || got.Usage.Output > int64(call.MaxTokens) {
		t.Errorf("output is %d tokens, want 1 to %d", got.Usage.Output, call.MaxTokens)
	}
	if s.Backend.Name() == "" {
		t.Error("the backend has no name")
	}
	s.wantCalls(t, call, 1)
}

func testTemperature(t *testing.T, s Stage) {
	warm := NewCall("temperature")
	cold := warm
	cold.Temperature, cold.Attempt = 0, 2
	first, second := answer(t, s, warm), answer(t, s, cold)
	if first.Text == second.Text {
		t.Errorf("temperature 0 got the answer of 0.7: %q", first.Text)
	}
}

func testMaxTokens(t *testing.T, s Stage) {
	for _, most := range []int{1, 5} {
		call := NewCall(fmt.Sprintf("max-%d", most))
		call.MaxTokens = most
		got := answer(t, s, call)
		if got.Usage.Output > int64(most) || got.FinishReason != s.Words.Length {
			t.Errorf("max_tokens %d: output %d, finish reason %q", most, got.Usage.Output, got.FinishReason)
		}
	}
}

func testBadCalls(t *testing.T, s Stage) {
	for name, spoil := range map[string]func(*ai.Call){
		"model":    func(c *ai.Call) { c.Model = "" },
		"messages": func(c *ai.Call) { c.Messages = nil },
		"bound":    func(c *ai.Call) { c.MaxTokens = 0 },
		"role":     func(c *ai.Call) { c.Messages = []messages.Message{{Role: promptMarker, Content: "x"}} },
	} {
		call := NewCall("bad-" + name)
		spoil(&call)
		_, err := s.Backend.Call(t.Context(), call)
		fault := faultOf(t, err)
		if fault.Class != ai.ClassInvalid {
			t.Errorf("%s: class is %s, want invalid", name, fault.Class)
		}
		s.wantSilence(t, err)
		s.wantCalls(t, call, 0)
	}
}

func testEnded(t *testing.T, s Stage) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	call := NewCall("ended")
	_, err := s.Backend.Call(ctx, call)
	if fault := faultOf(t, err); fault.Class != ai.ClassTransient || !errors.Is(err, context.Canceled) {
		t.Errorf("fault is %v, want a transient one for the cancelled context", fault)
	}
	s.wantCalls(t, call, 0)
}

func testCancelled(t *testing.T, s Stage) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	call, arrived := s.Hold(NewCall("cancelled"))
	ended := make(chan error, 1)
	go func() {
		_, err := s.Backend.Call(ctx, call)
		ended <- err
	}()
	<-arrived
	cancel()
	want := ai.ClassTransient
	if s.Backend.Billable() {
		want = ai.ClassInDoubt
	}
	err := <-ended
	if fault := faultOf(t, err); fault.Class != want || !errors.Is(err, context.Canceled) {
		t.Errorf("fault is %v, want %s for the cancelled context", fault, want)
	}
}

func testConcurrency(t *testing.T, s Stage) {
	const n = 64
	var all sync.WaitGroup
	for i := range n {
		call := NewCall(fmt.Sprintf("at-once-%d", i))
		call.Temperature = float64(i) / n
		all.Go(func() {
			got, err := s.Backend.Call(t.Context(), call)
			if err != nil {
				t.Errorf("call %d: %v", i, err)
				return
			}
			if want := fmt.Sprintf("temperature %g", call.Temperature); !strings.Contains(got.Text, want) {
				t.Errorf("call %d got somebody else's answer %q, want one for %s", i, got.Text, want)
			}
			s.wantCalls(t, call, 1)
		})
	}
	all.Wait()
}

func testLeavesCall(t *testing.T, s Stage) {
	call := NewCall("leaves")
	before := call
	before.Messages = append([]messages.Message(nil), call.Messages...)
	before.Metadata = maps.Clone(call.Metadata)
	answer(t, s, call)
	if !reflect.DeepEqual(call, before) {
		t.Errorf("the call was changed to %+v", call)
	}
}
