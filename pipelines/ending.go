package pipelines

import (
	"errors"
	"time"

	"flowgate/messages"
)

// Refusal is why a layer ends a request other than with success.
type Refusal struct {
	Status messages.Status `json:"status"`
	Reason messages.Reason `json:"reason"`
	// Field and Detail say what the reason leaves open; never the secret or the personal datum.
	Field  string `json:"field,omitempty"`
	Detail string `json:"detail,omitempty"`
}

// Deny is a refusal by a rule.
func Deny(reason messages.Reason, field, detail string) *Refusal {
	return &Refusal{Status: messages.StatusDenied, Reason: reason, Field: field, Detail: detail}
}

// Fail is a failure.
func Fail(reason messages.Reason, detail string) *Refusal {
	return &Refusal{Status: messages.StatusFailure, Reason: reason, Detail: detail}
}

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
	}
	failed := end.Status == messages.StatusFailure || end.Status == messages.StatusTimeout
	end.Replayable = failed && end.Reason != messages.ReasonCancelled
	e.End, e.Wait, e.NotBefore = end, "", time.Time{}
}

// Expired is the refusal of a request whose not_after has passed, else nil.
func Expired(e *messages.Envelope, now time.Time) *Refusal {
	if e.NotAfter.IsZero() || !now.After(e.NotAfter) {
		return nil
	}
	return &Refusal{Status: messages.StatusTimeout, Reason: messages.ReasonDeadlinePassed, Field: "not_after"}
}
