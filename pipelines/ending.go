package pipelines

import (
	"errors"
	"time"

	"flowgate/messages"
	"flowgate/pipelines/compliance"
)

// Refusal is why a layer ends a request other than with success.
type Refusal struct {
	Status messages.Status `json:"status"`
	Reason messages.Reason `json:"reason"`
	// Field and Detail say what the reason leaves open; never the secret or the personal datum.
	Field  string `json:"field,omitempty"`
	Detail string `json:"detail,omitempty"`
	// RetryAt is when sending the same again has room (rate_limited).
	RetryAt time.Time `json:"retry_at,omitzero"`
}

// Deny is a refusal by a rule.
func Deny(reason messages.Reason, field, detail string) *Refusal {
	return &Refusal{Status: messages.StatusDenied, Reason: reason, Field: field, Detail: detail}
}

// Fail is a failure.
func Fail(reason messages.Reason, detail string) *Refusal {
	return &Refusal{Status: messages.StatusFailure, Reason: reason, Detail: detail}
}

// Cancelled is the failure of a request that an operator cancelled; detail says who did, and why.
func Cancelled(detail string) *Refusal { return Fail(messages.ReasonCancelled, detail) }

// Invalid is the failure of a document that breaks a rule of the wire.
func Invalid(err error) *Refusal {
	var field *messages.FieldError
	if !errors.As(err, &field) {
		field = &messages.FieldError{Field: "(document)", Rule: "must be readable"}
	}
	detail := field.Rule
	if field.Got != "" {
		detail += " (got " + field.Got + ")"
	}
	return &Refusal{Status: messages.StatusFailure, Reason: field.Code(), Field: field.Field, Detail: detail}
}

// End closes an envelope: a refusal, or success where it is nil. Failures and timeouts can be replayed, unless somebody
// cancelled the request.
func End(e *messages.Envelope, layer messages.LayerName, r *Refusal, now time.Time) {
	end := &messages.End{
		Status: messages.StatusSuccess, Reason: messages.ReasonOK, Layer: layer,
		CostMicroUSD: messages.Cost(e.History), FinishedAt: now,
	}
	if r != nil {
		end.Status, end.Reason, end.Field, end.Detail = r.Status, r.Reason, r.Field, r.Detail
		end.RetryAt = r.RetryAt
	}
	end.Compliance = compliance.Score(e.Controls())
	failed := end.Status == messages.StatusFailure || end.Status == messages.StatusTimeout
	end.Replayable = failed && end.Reason != messages.ReasonCancelled
	e.End, e.Wait, e.NotBefore = end, "", time.Time{}
}

// Cancel closes an envelope that an operator cancelled in the given state, as the layer does that has that state. What the
// request asked is dropped: nobody replays it, and the record has its hash.
func Cancel(e *messages.Envelope, at messages.State, r *Refusal, now time.Time) {
	layer := messages.LayerCorporate
	switch at {
	case messages.StateAI, messages.StateCalling:
		layer = messages.LayerAI
		e.AI = &messages.AISection{Stay: cancelledStay(e, now, r.Reason)}
		for i := range e.History {
			e.AI.Attempts += 1 + e.History[i].Repeats
		}
	case messages.StateOptimizer, messages.StateDone:
		layer = messages.LayerOptimizer
	case messages.StateHold:
		if e.Corporate != nil {
			e.Corporate.Verdict, e.Corporate.Reason, e.Corporate.FinishedAt = messages.VerdictFailed, r.Reason, now
			e.Corporate.Facts = e.Corporate.Facts.End()
		}
	}
	End(e, layer, r, now)
	e.Request, e.Malformed, e.Slept = nil, nil, nil
}

// cancelledStay is the stay of a request in layer 2 that was cancelled there: since its first attempt, if it had one.
func cancelledStay(e *messages.Envelope, now time.Time, reason messages.Reason) messages.Stay {
	since := now
	if len(e.History) > 0 {
		since = e.History[0].StartedAt
	}
	return messages.Stay{Verdict: messages.VerdictFailed, Reason: reason, StartedAt: since, FinishedAt: now}
}

// Expired is the refusal of a request whose not_after has passed, else nil.
func Expired(e *messages.Envelope, now time.Time) *Refusal {
	if e.NotAfter.IsZero() || !now.After(e.NotAfter) {
		return nil
	}
	return &Refusal{Status: messages.StatusTimeout, Reason: messages.ReasonDeadlinePassed, Field: "not_after"}
}
