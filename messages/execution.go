package messages

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"
)

// ExecutionMode says how the action of an agreement was carried out.
type ExecutionMode string

// The modes.
const (
	// ExecutionReal measured now; ExecutionFallback stands in with the newest measured result that the agreement allows.
	ExecutionReal     ExecutionMode = "real"
	ExecutionFallback ExecutionMode = "fallback"
	// ExecutionFailed has no result, ExecutionDenied was not carried out at all.
	ExecutionFailed ExecutionMode = "failed"
	ExecutionDenied ExecutionMode = "denied"
)

// Execution is what came of the action of an agreement.
type Execution struct {
	Action string `json:"action"`
	// Version is that of the agreement under which it was carried out.
	Version string        `json:"version,omitempty"`
	Mode    ExecutionMode `json:"execution_mode"`
	// Fallback is the action that stood in; empty where an older result does.
	Fallback string `json:"fallback,omitempty"`
	// Because says why it is not real.
	Because string `json:"because,omitempty"`
	// Reason is the code of why its agreement let it go no further.
	Reason Reason `json:"reason,omitempty"`
	// ParametersDigest tells what parameters the action was given from others, and not what they are: see flow.Seal. Empty: none.
	ParametersDigest string `json:"parameters_digest,omitempty"`
	// Samples are what the result rests on, Confidence says how far, from 0 to 1: see flow.Confidence.
	Samples    int64   `json:"samples"`
	Confidence float64 `json:"confidence"`
	// MeasuredAt is when the result was measured; AgeSeconds is how old a fallback's was.
	MeasuredAt time.Time `json:"measured_at,omitzero"`
	AgeSeconds float64   `json:"age_seconds,omitempty"`
	// Seconds is how long it took.
	Seconds float64 `json:"seconds"`
	// Result is the action's own document.
	Result json.RawMessage `json:"result,omitempty"`
	// Figures says that the document has figures alone. One of which that is not said may have what models answered: the record keeps it
	// as it keeps answers, for a while.
	Figures bool `json:"figures,omitempty"`
	// ResultBytes is how long a document is that the record keeps apart, ResultSHA256 its SHA-256 in hexadecimal digits.
	ResultBytes  int    `json:"result_bytes,omitempty"`
	ResultSHA256 string `json:"result_sha256,omitempty"`
}

// Apart says that there is a document which is not here: the record keeps it apart, or did.
func (x *Execution) Apart() bool { return x != nil && len(x.Result) == 0 && x.ResultBytes > 0 }

// Bare is an execution without a document that may have text; one of figures stays in it.
func (x *Execution) Bare() *Execution {
	if x == nil || x.Figures || len(x.Result) == 0 {
		return x
	}
	sum := sha256.Sum256(x.Result)
	bare := *x
	bare.Result, bare.ResultBytes, bare.ResultSHA256 = nil, len(x.Result), hex.EncodeToString(sum[:])
	return &bare
}

// execution is what a result shows of the action that a request asked for; nil: it asked for none.
func execution(e *Envelope) *Execution {
	switch {
	case e.Kind != KindAction:
		return nil
	case e.Optimizer != nil && e.Optimizer.Execution != nil:
		return e.Optimizer.Execution
	case e.End.Status == StatusDenied || e.End.Status == StatusRateLimited:
		return &Execution{Mode: ExecutionDenied, Because: string(e.End.Reason)}
	}
	return &Execution{Mode: ExecutionFailed, Because: string(e.End.Reason)}
}
