package messages

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
)

// Priority chooses the class in our own clients; in the document it is information.
type Priority string

// The priorities.
const (
	PriorityLow    Priority = "low"
	PriorityNormal Priority = "normal"
	PriorityHigh   Priority = "high"
)

// Kind is what a request asks for.
type Kind string

// The kinds of a request.
const (
	// KindPrompt asks a model.
	KindPrompt Kind = "prompt"
	// KindWorkflow asks for an operation on a workflow.
	KindWorkflow Kind = "workflow"
	// KindAction asks for the action of a FLOW agreement.
	KindAction Kind = "action"
	// KindUnknown is the kind of a document that could not be read.
	KindUnknown Kind = "unknown"
)

// Request is the one JSON document that a producer publishes. Required are audit_reason and one of prompt, messages,
// input, workflow and trigger; everything else has a default.
type Request struct {
	// V is the wire version; left out it is 1.
	V int `json:"v,omitempty"`
	// Tenant may repeat what the subject says and must then agree with it.
	Tenant string `json:"tenant,omitempty"`
	// ID may repeat what the subject says and must then agree with it.
	ID string `json:"id,omitempty"`
	// Class may repeat what the subject says and must then agree with it.
	Class Class `json:"class,omitempty"`

	// Prompt is one message of a user. Only one of prompt, messages, input and workflow may be given.
	Prompt string `json:"prompt,omitempty"`
	// Messages is a conversation with at least one message of role user.
	Messages []Message `json:"messages,omitempty"`
	// Input are texts whose vectors are asked for: an embedding.
	Input []string `json:"input,omitempty"`
	// System tells the model what it is, before everything else of the conversation.
	System string `json:"system,omitempty"`
	// Model is an exact id or an alias; left out it is the deployment's default.
	Model string `json:"model,omitempty"`
	// Temperature is 0 to 2; 0 is a value, left out it is 0.7.
	Temperature *float64 `json:"temperature,omitempty"`
	// MaxTokens bounds the answer, in tokens; left out it is 2000.
	MaxTokens *int `json:"max_tokens,omitempty"`
	// TopP is above 0 and at most 1: the part of the likeliest tokens that is sampled from; left out it is the backend's own.
	TopP *float64 `json:"top_p,omitempty"`
	// TopK is how many of the likeliest tokens are sampled from; left out it is the backend's own.
	TopK *int `json:"top_k,omitempty"`
	// Stop are texts at which the answer ends.
	Stop []string `json:"stop,omitempty"`
	// Seed makes sampling repeatable, where a backend can.
	Seed *int64 `json:"seed,omitempty"`
	// Tools are functions that the model may ask for.
	Tools []Tool `json:"tools,omitempty"`
	// ToolChoice is auto, none, required or the name of a tool; left out it is auto.
	ToolChoice string `json:"tool_choice,omitempty"`
	// ResponseFormat is the form of the answer; left out it is text.
	ResponseFormat *ResponseFormat `json:"response_format,omitempty"`
	// Dimensions are those of the vectors of input; left out they are the model's own.
	Dimensions *int `json:"dimensions,omitempty"`
	// Cache says what the request thinks of answers that are there already.
	Cache *CacheControl `json:"cache,omitempty"`

	// Operation is what to do with the workflow.
	Operation string `json:"operation,omitempty"`
	// Workflow is what the operation is for.
	Workflow *Workflow `json:"workflow,omitempty"`
	// Options say how the operation is done.
	Options *Options `json:"options,omitempty"`

	// Trigger names the FLOW agreement that the request runs under, such as "[Cost Analysis]". Alone it asks for the
	// agreement's action.
	Trigger string `json:"trigger,omitempty"`
	// Parameters are those of the agreement's action.
	Parameters map[string]json.RawMessage `json:"parameters,omitempty"`
	// PartOf names the request whose action asks this one, under the same trigger. flowgate alone writes it.
	PartOf *PartOf `json:"part_of,omitempty"`

	// AuditReason says why the model is asked. An auditor reads it.
	AuditReason string `json:"audit_reason"`
	// Purpose says what the answer is for, in a word that the deployment's rules know, such as customer_support.
	Purpose string `json:"purpose,omitempty"`
	// CorrelationID joins requests that belong together, such as the steps of one piece of work: the record has them in one trail.
	// It has the form of an id.
	CorrelationID string `json:"correlation_id,omitempty"`
	// UserID names who asks; left out it is unknown, where the settings allow that.
	UserID string `json:"user_id,omitempty"`
	// Department names whose request it is; left out it is unknown, where the settings allow that.
	Department string `json:"department,omitempty"`
	// Priority chooses the class in flowgate's own clients; left out it is normal.
	Priority Priority `json:"priority,omitempty"`
	// Metadata is the producer's own, of any form, and is kept with the request.
	Metadata map[string]json.RawMessage `json:"metadata,omitempty"`

	// NotBefore is the first moment at which the request may be processed.
	NotBefore *time.Time `json:"not_before,omitempty"`
	// NotAfter ends the request with status timeout; left out it is 24 h after submission, or not_before where that is
	// later, and 72 h for class batch.
	NotAfter *time.Time `json:"not_after,omitempty"`
}

// Message is one turn of a conversation.
type Message struct {
	// Role is system, developer, user, assistant or tool.
	Role string `json:"role"`
	// Content is the turn's text. It may be left out beside images and tool_calls.
	Content string `json:"content,omitempty"`
	// Name tells speakers of one role apart.
	Name string `json:"name,omitempty"`
	// Images are those of a user's turn.
	Images []Image `json:"images,omitempty"`
	// ToolCalls are what an assistant's turn asked of tools.
	ToolCalls []ToolCall `json:"tool_calls,omitempty"`
	// ToolCallID names the tool call whose result a turn of role tool is.
	ToolCallID string `json:"tool_call_id,omitempty"`
}

// Workflow is the user's description of a pipeline of steps, in its full or in one of its short forms.
type Workflow struct {
	Name string `json:"name,omitempty"`
	// Type is hierarchical_dag.
	Type string `json:"type,omitempty"`
	// Steps are the nodes of the full form.
	Steps []Step `json:"steps,omitempty"`
	// FlowAgreements are the workflow's own terms.
	FlowAgreements *FlowAgreements `json:"flow_agreements,omitempty"`
	// DataSource is the data_input of the short form of a chain.
	DataSource string `json:"data_source,omitempty"`
	// ProcessingSteps are the steps of the short form of a chain, in order.
	ProcessingSteps []string `json:"processing_steps,omitempty"`
	// ComplianceRequirements names control sets.
	ComplianceRequirements []string `json:"compliance_requirements,omitempty"`
	// SLATarget is performance_sla in the short form of a chain, in seconds.
	SLATarget *float64 `json:"sla_target,omitempty"`
	// AnalysisInput is what is analysed, such as a model's answer, of any form.
	AnalysisInput json.RawMessage `json:"analysis_input,omitempty"`
	// OptimizationTarget says what AnalysisInput is optimized for.
	OptimizationTarget string `json:"optimization_target,omitempty"`
}

// Step is one node of a workflow; a group has steps of its own.
type Step struct {
	// ID names the step within its workflow.
	ID string `json:"id"`
	// Type is what the step does, such as data_input or ai_processing.
	Type string `json:"type"`
	// Config is the step's own, of any form.
	Config json.RawMessage `json:"config,omitempty"`
	// DependsOn has the ids of the steps that must come before.
	DependsOn []string `json:"depends_on,omitempty"`
	// Optional lets the workflow go on without the step.
	Optional bool `json:"optional,omitempty"`
	// Steps are those of a group.
	Steps []Step `json:"steps,omitempty"`
}

// FlowAgreements are a workflow's own terms.
type FlowAgreements struct {
	// PerformanceSLA is in seconds.
	PerformanceSLA *float64 `json:"performance_sla,omitempty"`
	// ComplianceLevel names a set of control sets, such as standard, enterprise or sox.
	ComplianceLevel string `json:"compliance_level,omitempty"`
}

// Options say how an operation on a workflow is done.
type Options struct {
	// IncludeSuggestions adds what could be better.
	IncludeSuggestions bool `json:"include_suggestions,omitempty"`
	// GenerateAudit adds an audit trail.
	GenerateAudit bool `json:"generate_audit,omitempty"`
	// ParallelProcessing lets steps run side by side.
	ParallelProcessing bool `json:"parallel_processing,omitempty"`
	// CacheIntermediate keeps what steps give each other.
	CacheIntermediate bool `json:"cache_intermediate,omitempty"`
	// MaxParallel bounds how many steps run side by side.
	MaxParallel *int `json:"max_parallel,omitempty"`
	// OptimizationLevel says how far to go.
	OptimizationLevel *int `json:"optimization_level,omitempty"`
}

// Operations lists the operations on a workflow.
func Operations() []string {
	return []string{
		"analyze_bottlenecks", "optimize_performance", "fix_errors", "validate_compliance", "suggest_improvements",
		"generate_audit_trail", "add_error_handling", "parallelize_tasks",
	}
}

// DecodeRequest reads a request strictly and checks its form. Every error is a *FieldError. What needs settings to judge
// (the audit reason's length, the model) is left to layer 1.
func DecodeRequest(data []byte) (Request, error) {
	var r Request
	if len(data) > MaxRequestBytes {
		return r, &FieldError{Field: document, Rule: fmt.Sprintf("must be at most %d bytes", MaxRequestBytes), Got: fmt.Sprintf("%d bytes", len(data))}
	}
	if err := decodeVersioned(data, &r, &r.V); err != nil {
		return r, err
	}
	return r, r.Check()
}

// ReadAdmittedRequest reads a request that DecodeRequest accepted before: what cannot be wrong any more is not looked for
// again. Errors are *FieldErrors.
func ReadAdmittedRequest(data []byte) (*Request, error) {
	r := new(Request)
	if err := json.Unmarshal(data, r); err != nil {
		return nil, fieldError(data, err, r, true)
	}
	return r, nil
}

// decodeVersioned reads a document strictly whose version may be left out. A version that this build does not read comes
// before every other fault, since it explains them.
func decodeVersioned(data []byte, v any, version *int) error {
	err := decodeStrict(data, v)
	if err == nil && (*version == Version || *version == 0 && !bytes.Contains(data, []byte(`"v"`))) {
		return nil
	}
	if unread := statedVersion(data); unread != nil {
		return unread
	}
	return err
}

// Kind is what the request asks for.
func (r *Request) Kind() Kind {
	switch {
	case r.Workflow != nil || r.Operation != "":
		return KindWorkflow
	case r.Prompt != "" || len(r.Messages) > 0:
		return KindPrompt
	case len(r.Input) > 0:
		return KindEmbedding
	case r.Trigger != "":
		return KindAction
	}
	return KindUnknown
}

// CheckAgainst tells whether identity repeated in the document agrees with the subject's.
func (r *Request) CheckAgainst(a Address) error {
	mismatch := func(field, body, subject string) error {
		if body == "" || body == subject {
			return nil
		}
		return &FieldError{
			Field: field, Rule: fmt.Sprintf("must be %q as in the subject, or be left out", subject), Got: shape(body),
			Reason: ReasonIDMismatch,
		}
	}
	if err := mismatch("tenant", r.Tenant, a.Tenant); err != nil {
		return err
	}
	if err := mismatch("id", r.ID, a.ID); err != nil {
		return err
	}
	return mismatch("class", string(r.Class), string(a.Class))
}
