package workertest

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"flowgate/pipelines/ai"
	"flowgate/worker/provider"
)

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
	if s.Provider != nil && !slices.Contains(s.Tells, TellsRetry) {
		t.Skip("the provider tells nothing of it")
	}
	call := s.Fault(NewCall("retry-after"), ai.ClassRateLimited, 1500*time.Millisecond)
	_, err := s.Backend.Call(t.Context(), call)
	if got := faultOf(t, err).RetryAfter; got != 1500*time.Millisecond {
		t.Errorf("RetryAfter is %s, want 1.5s", got)
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

// testStatuses plays what classes do not: the statuses of each class, and whether another backend may have what this one has not.
func testStatuses(t *testing.T, s Stage) {
	for _, test := range []struct {
		outcome   provider.Outcome
		class     ai.Class
		elsewhere bool
	}{
		{provider.Unavailable, ai.ClassOverloaded, false},
		{provider.Timeout, ai.ClassTransient, false},
		{provider.BadGateway, ai.ClassTransient, false},
		{provider.Billing, ai.ClassQuota, false},
		{provider.Forbidden, ai.ClassAuth, false},
		{provider.Missing, ai.ClassInvalid, true},
		{provider.TooLarge, ai.ClassInvalid, false},
		{provider.Conflict, ai.ClassInvalid, false},
	} {
		call := NewCall("status-" + string(test.outcome))
		s.Provider.Reply(call, provider.Reply{Outcome: test.outcome})
		_, err := s.Backend.Call(t.Context(), call)
		if fault := faultOf(t, err); fault.Class != test.class || fault.Elsewhere != test.elsewhere {
			t.Errorf("%s: %+v, want %s, elsewhere %v", test.outcome, fault, test.class, test.elsewhere)
		}
		s.wantSilence(t, err)
		s.wantCalls(t, call, 1)
	}
}

// testFilters plays filters on the answer and on the question.
func testFilters(t *testing.T, s Stage) {
	for _, outcome := range []provider.Outcome{provider.Filtered, provider.FilteredInput} {
		if outcome == provider.FilteredInput && !slices.Contains(s.Tells, TellsFilter) {
			continue
		}
		call := NewCall("filter-" + string(outcome))
		s.Provider.Reply(call, provider.Reply{Outcome: outcome})
		if got := answer(t, s, call); !got.Refused || got.FinishReason == "" {
			t.Errorf("%s: %+v is not refused, or does not say why", outcome, got)
		}
		s.wantCalls(t, call, 1)
	}
}

// testNoSecondRequest plays a redirect to an address that would answer, and an error that asks to be tried again at once.
func testNoSecondRequest(t *testing.T, s Stage) {
	for name, reply := range map[string]provider.Reply{
		"redirect": {Outcome: provider.Raw, Status: http.StatusTemporaryRedirect, Header: http.Header{"Location": {s.Provider.Root() + "/v1/elsewhere"}}},
		"hint":     {Outcome: provider.Failed, Header: http.Header{"X-Should-Retry": {"true"}}},
	} {
		call := NewCall("second-" + name)
		s.Provider.Reply(call, reply)
		_, err := s.Backend.Call(t.Context(), call)
		_ = faultOf(t, err)
		s.wantCalls(t, call, 1)
	}
}

// testQuota demands what the provider says of its limits, in answers and faults.
func testQuota(t *testing.T, s Stage) {
	if !slices.Contains(s.Tells, TellsQuota) {
		t.Skip("the provider tells nothing of it")
	}
	s.Provider.SetLimit(0.001, 1)
	good := answer(t, s, NewCall("quota-good")).Quota.Requests
	if !good.Known || good.Limit != 1 || good.Remaining != 0 {
		t.Errorf("an answer's quota is %+v, want 0 of 1", good)
	}
	_, err := s.Backend.Call(t.Context(), NewCall("quota-bad"))
	if fault := faultOf(t, err); fault.Class != ai.ClassRateLimited || !fault.Quota.Requests.Known || fault.RetryAfter <= 0 {
		t.Errorf("a fault's quota is %+v", fault)
	}
}
