package ai

import (
	"fmt"
	"time"

	"flowgate/messages"
)

// Call is one question to one backend.
type Call struct {
	// Key and Epoch travel in the provider's metadata, so that its logs and its bill can be joined with our record.
	messages.Key

	Epoch   int
	Attempt int // counts the calls of the epoch from 1
	// Kind is prompt or embedding; empty is prompt.
	Kind messages.Kind
	// Model is the exact model id, as the backend that is asked knows it.
	Model string
	// Question is what is asked: the messages of a prompt, the texts of an embedding.
	messages.Question

	Temperature float64
	// DefaultTemperature is set where nobody asked for it: models that take none are then asked without.
	DefaultTemperature bool
	// MaxTokens bounds the answer of a prompt.
	MaxTokens int
	// TopP, TopK and Seed are nil where nothing is said.
	TopP *float64
	TopK *int
	Seed *int64
	Stop []string
	// Dimensions are those of an embedding's vectors; 0: the model's own.
	Dimensions int
	// Means is what of the backend's settings changes answers, such as a guardrail or a server of one's own, as a short digest; empty: nothing.
	Means string
	// InputBound is how many tokens the input can be: what a provider tells above it is not believed.
	InputBound int64
	// Metadata is the request's, for backends that read it (the offline backend's script).
	Metadata map[string][]byte
}

// Answer is what a backend answered.
type Answer struct {
	Text string
	// Model is the model that answered, as the provider names it.
	Model string
	// FinishReason is the provider's word.
	FinishReason      string
	ProviderRequestID string
	// ToolCalls are what the model asks of tools.
	ToolCalls []messages.ToolCall
	// Embeddings are the vectors of an embedding, in the order of its texts.
	Embeddings [][]float32
	Usage      messages.Usage
	// UsageUnknown is true where the provider did not tell what the answer used, or told what cannot be: Usage is then zero,
	// and the answer costs its bound.
	UsageUnknown bool
	// Refused is true where the provider's filter or the model refused: a result, not an error.
	Refused bool
	// Quota is what the provider told, beside the answer, of what it still takes.
	Quota Quota
}

// Class sorts faults of backends by what has to happen next.
type Class string

// The classes of faults.
const (
	ClassRateLimited Class = "rate_limited"
	ClassOverloaded  Class = "overloaded"
	ClassTransient   Class = "transient"
	ClassQuota       Class = "quota"
	ClassAuth        Class = "auth"
	ClassInvalid     Class = "invalid"
	ClassRefused     Class = "refused"
	// ClassDrained: our own process stopped before anything was billed; it counts for nothing.
	ClassDrained Class = "drained"
	// ClassInDoubt: the request was sent and no answer came that can be used; it may have been billed.
	ClassInDoubt Class = "in_doubt"
)

// Fault is the only error that a backend returns for a call that it made or tried.
type Fault struct {
	Class Class
	// Code is the provider's own code or HTTP status.
	Code string
	// Detail never holds prompt, answer, secret or personal data.
	Detail string
	// RetryAfter is what the provider asked for; 0 where it did not.
	RetryAfter time.Duration
	// Elsewhere is set where the fault lies between this backend and the question: it has no such model, or cannot do what is asked.
	// Another backend may. It goes with the class invalid.
	Elsewhere bool
	// Quota is what the provider told, beside the error, of what it still takes.
	Quota Quota
	// Err is the cause, for logs of the process's own trouble; may be nil.
	Err error
}

func (f *Fault) Error() string {
	if f.Code == "" {
		return fmt.Sprintf("%s: %s", f.Class, f.Detail)
	}
	return fmt.Sprintf("%s (%s): %s", f.Class, f.Code, f.Detail)
}

func (f *Fault) Unwrap() error { return f.Err }
