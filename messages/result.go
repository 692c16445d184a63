package messages

import (
	"encoding/json"
	"time"
)

// ResultState says whether a result is there.
type ResultState string

// The states of a result.
const (
	ResultDone    ResultState = "done"
	ResultPending ResultState = "pending"
	ResultUnknown ResultState = "unknown"
)

// Result is what a producer gets: a projection of the envelope that never shows facts of policy.
type Result struct {
	V int `json:"v"`
	Key
	// State is done, pending (At says where the request stands) or unknown (no such request is known).
	State ResultState `json:"state"`
	At    string      `json:"at,omitempty"`
	Epoch int         `json:"epoch"`

	Status Status `json:"status,omitempty"`
	Reason Reason `json:"reason,omitempty"`
	// Message says in words what the reason means, Field which field it is about.
	Message string `json:"message,omitempty"`
	Field   string `json:"field,omitempty"`
	// Retry is true where sending the same again later can help.
	Retry bool `json:"retry"`
	// RetryAt is when that has room (rate_limited), or when a request that waits for room is looked at again (waiting_rate).
	RetryAt time.Time `json:"retry_at,omitzero"`
	// Answer is the model's text.
	Answer string `json:"answer,omitempty"`
	// ToolCalls are what the model asks of tools.
	ToolCalls []ToolCall `json:"tool_calls,omitempty"`
	// Embeddings are the vectors of an embedding, in the order of its texts: an array of arrays of numbers.
	Embeddings json.RawMessage `json:"embeddings,omitempty"`
	Metadata   *ResultMetadata `json:"metadata,omitempty"`
	// Execution is what came of the action of an agreement, where the request asked for one.
	Execution *Execution `json:"execution,omitempty"`
	// Findings count the personal data and secrets of the request, and say what was done with them.
	Findings []Finding `json:"findings,omitempty"`
	// AnswerFindings are those of the answer.
	AnswerFindings []Finding `json:"answer_findings,omitempty"`
	// Compliance shows every control's state and evidence, by framework.
	Compliance *ResultCompliance `json:"compliance,omitempty"`

	// CorrelationID joins the request with others that belong to the same.
	CorrelationID string `json:"correlation_id,omitempty"`
	// TraceID is the W3C trace of the epoch, 32 hexadecimal digits.
	TraceID     string    `json:"trace_id,omitempty"`
	SubmittedAt time.Time `json:"submitted_at,omitzero"`
	FinishedAt  time.Time `json:"finished_at,omitzero"`
}

// ResultMetadata says how an answer came about.
type ResultMetadata struct {
	Backend  string `json:"backend"`
	Model    string `json:"model"`
	CacheHit bool   `json:"cache_hit"`
	// ProcessingTime is the seconds of the call that answered.
	ProcessingTime float64 `json:"processing_time"`
	// ResponseLength is in characters.
	ResponseLength int    `json:"response_length"`
	Tokens         Tokens `json:"tokens"`
	// CostUSD is CostMicroUSD in dollars.
	CostUSD      float64 `json:"cost_usd"`
	CostMicroUSD int64   `json:"cost_microusd"`
	Attempts     int     `json:"attempts"`
	FinishReason string  `json:"finish_reason,omitempty"`
	// Reused says where an answer came from that no call of this request brought.
	Reused *Reused `json:"reused,omitempty"`
}

// Tokens counts tokens of a whole answer.
type Tokens struct {
	Input  int64 `json:"input"`
	Output int64 `json:"output"`
	Total  int64 `json:"total"`
}

// Project makes the producer's result of a done envelope whose bodies are inline.
func Project(k Key, e *Envelope) Result {
	r := Result{V: Version, Key: k, State: ResultDone, Epoch: e.Epoch, SubmittedAt: e.SubmittedAt, TraceID: e.TraceID}
	if e.End == nil {
		r.State = ResultPending
		return r
	}
	info := Explain(e.End.Reason)
	r.Status, r.Reason, r.Field, r.Retry = e.End.Status, e.End.Reason, e.End.Field, info.Retry
	r.FinishedAt, r.RetryAt = e.End.FinishedAt, e.End.RetryAt
	r.Message = e.End.Message()
	r.Compliance, r.Execution = compliance(e), execution(e)
	if e.Corporate != nil {
		r.Findings, r.CorrelationID = e.Corporate.Findings, e.Corporate.CorrelationID
	}
	if e.AI != nil && e.AI.Findings != nil { // they are for the backend that was asked
		r.Findings = e.AI.Findings
	}
	if e.AI != nil {
		r.AnswerFindings = e.AI.AnswerFindings
	}
	if ai := e.AI; ai != nil && (ai.Backend != "" || e.End.CostMicroUSD > 0) {
		r.Metadata = &ResultMetadata{
			Backend: ai.Backend, Model: ai.Model, CacheHit: ai.CacheHit,
			ProcessingTime: ai.ProcessingSeconds, ResponseLength: ai.AnswerLength,
			Tokens:  Tokens{Input: ai.Usage.Input(), Output: ai.Usage.Output, Total: ai.Usage.Input() + ai.Usage.Output},
			CostUSD: float64(e.End.CostMicroUSD) / 1e6, CostMicroUSD: e.End.CostMicroUSD,
			Attempts: ai.Attempts, FinishReason: ai.FinishReason, Reused: ai.Reused,
		}
	}
	if e.End.Status == StatusSuccess || e.End.Status == StatusPartial {
		r.answer(e)
	}
	return r
}

// answer puts in what the model answered.
func (r *Result) answer(e *Envelope) {
	switch {
	case e.AI == nil:
	case e.Kind != KindEmbedding:
		r.Answer, r.ToolCalls = e.AI.Answer, e.AI.ToolCalls
	case json.Valid([]byte(e.AI.Answer)):
		r.Embeddings = json.RawMessage(e.AI.Answer)
	}
}
