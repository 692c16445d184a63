package pipelines_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"flowgate/messages"
	"flowgate/pipelines"
)

var noon = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

func TestOnlyFailuresAndTimeoutsNobodyCancelledCanBeReplayed(t *testing.T) {
	for name, c := range map[string]struct {
		refusal    *pipelines.Refusal
		status     messages.Status
		replayable bool
	}{
		"success":   {nil, messages.StatusSuccess, false},
		"failure":   {pipelines.Fail(messages.ReasonCrash, "x"), messages.StatusFailure, true},
		"timeout":   {pipelines.Expired(&messages.Envelope{NotAfter: noon.Add(-1)}, noon), messages.StatusTimeout, true},
		"denial":    {pipelines.Deny(messages.ReasonModelNotAllowed, "model", ""), messages.StatusDenied, false},
		"cancelled": {pipelines.Fail(messages.ReasonCancelled, ""), messages.StatusFailure, false},
		"malformed": {pipelines.Invalid(errors.New("x")), messages.StatusFailure, true},
	} {
		t.Run(name, func(t *testing.T) {
			e := &messages.Envelope{
				Wait: messages.ReasonNotBefore, NotBefore: noon,
				History: []messages.Attempt{{CostMicroUSD: 5}, {CostMicroUSD: 7}},
			}
			pipelines.End(e, messages.LayerAI, c.refusal, noon)
			if e.End.Status != c.status || e.End.Replayable != c.replayable {
				t.Errorf("got %+v", e.End)
			}
			if e.End.CostMicroUSD != 12 || !e.End.FinishedAt.Equal(noon) || e.End.Layer != messages.LayerAI {
				t.Errorf("cost, moment or layer is missing: %+v", e.End)
			}
			if e.Wait != "" || !e.NotBefore.IsZero() {
				t.Error("what has ended still waits")
			}
		})
	}
}

func TestRequestExpiresAfterItsLastMomentNotAtIt(t *testing.T) {
	for now, want := range map[time.Time]bool{noon.Add(-1): false, noon: false, noon.Add(1): true} {
		if got := pipelines.Expired(&messages.Envelope{NotAfter: noon}, now) != nil; got != want {
			t.Errorf("at %s: expired is %v", now, got)
		}
	}
	if pipelines.Expired(&messages.Envelope{}, noon) != nil {
		t.Error("a request without not_after expired")
	}
}

func TestInvalidKeepsFieldRuleAndReasonOfTheFault(t *testing.T) {
	fault := &messages.FieldError{Field: "v", Rule: "must be 1", Got: "2", Reason: messages.ReasonUnsupportedVersion}
	got := pipelines.Invalid(fmt.Errorf("reading: %w", fault))
	want := pipelines.Refusal{Status: messages.StatusFailure, Reason: messages.ReasonUnsupportedVersion, Field: "v", Detail: "must be 1 (got 2)"}
	if *got != want {
		t.Errorf("got %+v", got)
	}
	if got := pipelines.Invalid(errors.New("secret")); got.Reason != messages.ReasonMalformed || got.Detail != "must be readable" {
		t.Errorf("an error of another kind became %+v", got)
	}
}
