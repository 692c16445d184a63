package messages

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Replay is the document that an operator publishes to have a failed request done again as a new epoch. Earlier sections
// never come from it, only from flowgate's own store.
type Replay struct {
	// V is the wire version; left out it is 1.
	V int `json:"v,omitempty"`
	// Reason says why. An auditor reads it.
	Reason string `json:"reason"`
	// By names the operator.
	By string `json:"by,omitempty"`
	// ResumeAt is the state to go on from: "hold" (restart at layer 1), "ai" or "optimizer"; left out, the layer in
	// which the request died.
	ResumeAt State `json:"resume_at,omitempty"`
	// Request replaces the request, where given.
	Request json.RawMessage `json:"request,omitempty"`
}

// DecodeReplay reads a replay strictly. Every error is a *FieldError.
func DecodeReplay(data []byte) (Replay, error) {
	var r Replay
	if len(data) > MaxRequestBytes {
		return r, &FieldError{Field: document, Rule: fmt.Sprintf("must be at most %d bytes", MaxRequestBytes)}
	}
	if err := decodeVersioned(data, &r, &r.V); err != nil {
		return r, err
	}
	switch {
	case strings.TrimSpace(r.Reason) == "":
		return r, &FieldError{Field: "reason", Rule: "is required: say why the request is done again"}
	case len(r.Reason) > MaxReplayReason:
		return r, &FieldError{Field: "reason", Rule: fmt.Sprintf("must be at most %d bytes", MaxReplayReason), Got: fmt.Sprintf("%d bytes", len(r.Reason))}
	case len(r.Request) > 0 && r.Request[0] != '{':
		return r, &FieldError{Field: "request", Rule: "must be an object"}
	}
	if fault := textFault("by", r.By); fault != nil {
		return r, fault
	}
	switch r.ResumeAt {
	case "", StateHold, StateAI, StateOptimizer:
		return r, nil
	case StateCalling, StateDone:
	}
	return r, &FieldError{Field: "resume_at", Rule: "must be hold, ai or optimizer", Got: shape(string(r.ResumeAt))}
}
