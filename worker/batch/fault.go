package batch

import (
	"errors"
	"fmt"
	"strings"

	"flowgate/messages"
)

var (
	// ErrNoRequests says that a file has no lines but blank ones.
	ErrNoRequests = errors.New("has no requests")
	// ErrTooLarge says that a file is over MaxLines or MaxFileBytes.
	ErrTooLarge = errors.New("is too large for one batch")
	// ErrStalled says that no request of a job has ended for its Patience.
	ErrStalled = errors.New("no request has ended")
)

// LineError says which line of a file breaks which rule. Got shows the value's shape or a harmless part of it, never a
// prompt, a secret or personal data.
type LineError struct {
	// Line counts from 1.
	Line int
	// CustomID is the line's own id, where it could be read.
	CustomID string
	Field    string
	Rule     string
	Got      string
	// Reason is the code with which the gateway would have ended the request.
	Reason messages.Reason
}

func (e *LineError) Error() string {
	return fmt.Sprintf("line %d: %s", e.Line, e.fieldError().Error())
}

// Unwrap gives the fault without its line.
func (e *LineError) Unwrap() error { return e.fieldError() }

func (e *LineError) fieldError() *messages.FieldError {
	return &messages.FieldError{Field: e.Field, Rule: e.Rule, Got: e.Got, Reason: e.Reason}
}

// lineError places a fault of the line's content.
func lineError(line int, customID string, err error) *LineError {
	var f *messages.FieldError
	if !errors.As(err, &f) {
		f = &messages.FieldError{Field: document, Rule: "must be a request", Got: err.Error()}
	}
	got := strings.Replace(f.Got, "a fault at line 1, column", "a fault at column", 1) // a line has no lines
	return &LineError{Line: line, CustomID: customID, Field: f.Field, Rule: f.Rule, Got: got, Reason: f.Code()}
}

// document is the field of faults that concern no single field.
const document = "(document)"
