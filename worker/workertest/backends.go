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
	"time"

	"flowgate/messages"
	"flowgate/pipelines/ai"
	"flowgate/worker"
)

// Stage is a backend with the provider behind it, as RunBackendTests plays on it.
type Stage struct {
	Backend worker.Backend
	// Fault makes the provider meet call with a fault of class and, where it is above 0, ask to wait retryAfter. It returns
	// the call to be made, since a script may travel in it.
	Fault func(call ai.Call, class ai.Class, retryAfter time.Duration) ai.Call
	// Hold makes the provider sit on call. It returns the call to be made and what yields once the provider has it.
	Hold func(call ai.Call) (held ai.Call, arrived <-chan struct{})
	// Calls is how many calls of call's key the provider saw; nil where there is no provider.
	Calls func(call ai.Call) int
	// Secrets are what no error may say, such as the key.
	Secrets []string
}

// RunBackendTests holds a backend to the contract of worker.Backend. Stage is called once for every test and frees what it
// made with the test's Cleanup.
func RunBackendTests(t *testing.T, stage func(t *testing.T) Stage) {
	t.Helper()
	tests := []struct {
		name string
		run  func(t *testing.T, s Stage)
	}{
		{"answers with text, model, reason and usage within its bound", testAnswers},
		{"takes temperature 0 as a value", testTemperature},
		{"obeys max_tokens", testMaxTokens},
		{"refuses a call that cannot be asked", testBadCalls},
		{"makes every fault one of its class after one call", testClasses},
		{"takes a refusal for a result", testRefusal},
		{"hands on how long the provider asks to wait", testRetryAfter},
		{"sends nothing for a context that has ended", testEnded},
		{"lets go of a call when its context ends", testCancelled},
		{"answers 64 calls at once", testConcurrency},
		{"leaves the call as it was", testLeavesCall},
		{"says nothing of prompt or secrets in errors", testSilence},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { test.run(t, stage(t)) })
	}
}

// promptMarker is in every prompt and must be in no error.
const promptMarker = "wisteria-7741"

// NewCall is a call that every backend can answer, under an id of its own.
func NewCall(id string) ai.Call {
	return ai.Call{
		Key: messages.Key{Tenant: "acme", ID: id}, Attempt: 1, Model: "test-model", Temperature: 0.7, MaxTokens: 200,
		Question: messages.Question{Messages: []messages.Message{
			{Role: "system", Content: "You are terse."},
			{Role: "user", Content: "Who keeps the " + promptMarker + "?"},
		}},
		Metadata: map[string][]byte{"ticket": []byte(`"T-1"`)},
	}
}

func answer(t *testing.T, s Stage, call ai.Call) ai.Answer {
	t.Helper()
	got, err := s.Backend.Call(t.Context(), call)
	if err != nil {
		t.Fatalf("Call: %v", err)
	}
	return got
}

// faultOf is the fault of an error, which every error of a backend must be.
func faultOf(t *testing.T, err error) *ai.Fault {
	t.Helper()
	var fault *ai.Fault
	if !errors.As(err, &fault) {
		t.Fatalf("error is %T (%v), want *ai.Fault", err, err)
	}
	if fault == nil || fault.Class == "" || fault.Detail == "" {
		t.Fatalf("fault %+v has no class or no detail", fault)
	}
	return fault
}

func (s Stage) wantCalls(t *testing.T, call ai.Call, want int) {
	t.Helper()
	if s.Calls == nil {
		return
	}
	if got := s.Calls(call); got != want {
		t.Errorf("the provider saw %d calls, want %d", got, want)
	}
}

func testAnswers(t *testing.T, s Stage) {
	call := NewCall("answers")
	got := answer(t, s, call)
	if got.Text == "" || got.Model == "" || got.FinishReason != "stop" || got.ProviderRequestID == "" || got.Refused || got.UsageUnknown {
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
		if got.Usage.Output > int64(most) || got.FinishReason != "length" {
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

// faultClasses are the classes that are errors; refused is a result.
func faultClasses() []ai.Class {
	return []ai.Class{
		ai.ClassRateLimited, ai.ClassOverloaded, ai.ClassTransient, ai.ClassQuota, ai.ClassAuth, ai.ClassInvalid, ai.ClassInDoubt,
	}
}

func testClasses(t *testing.T, s Stage) {
	for _, class := range faultClasses() {
		call := s.Fault(NewCall("class-"+string(class)), class, 0)
		_, err := s.Backend.Call(t.Context(), call)
		if fault := faultOf(t, err); fault.Class != class || fault.Code == "" {
			t.Errorf("class is %s with code %q, want %s with a code", fault.Class, fault.Code, class)
		}
		s.wantCalls(t, call, 1)
	}
}

func testRefusal(t *testing.T, s Stage) {
	call := s.Fault(NewCall("refusal"), ai.ClassRefused, 0)
	got := answer(t, s, call)
	if !got.Refused {
		t.Errorf("answer %+v is not marked as refused", got)
	}
	s.wantCalls(t, call, 1)
}

func testRetryAfter(t *testing.T, s Stage) {
	call := s.Fault(NewCall("retry-after"), ai.ClassRateLimited, 1500*time.Millisecond)
	_, err := s.Backend.Call(t.Context(), call)
	if got := faultOf(t, err).RetryAfter; got != 1500*time.Millisecond {
		t.Errorf("RetryAfter is %s, want 1.5s", got)
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

func testSilence(t *testing.T, s Stage) {
	for _, class := range faultClasses() {
		_, err := s.Backend.Call(t.Context(), s.Fault(NewCall("silence-"+string(class)), class, 0))
		_ = faultOf(t, err)
		s.wantSilence(t, err)
	}
}

// wantSilence looks through an error and all that it wraps.
func (s Stage) wantSilence(t *testing.T, err error) {
	t.Helper()
	for ; err != nil; err = errors.Unwrap(err) {
		said := fmt.Sprintf("%v\n%+v\n%#v", err, err, err)
		for _, secret := range append([]string{promptMarker}, s.Secrets...) {
			if strings.Contains(said, secret) {
				t.Errorf("an error says %q: %s", secret, said)
			}
		}
	}
}
