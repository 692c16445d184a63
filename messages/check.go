package messages

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode"
)

// Check tells whether the request has the form that it must have. Errors are *FieldErrors.
func (r *Request) Check() error {
	checks := []func() error{
		r.checkKind, r.checkMessages, r.checkEmbedding, r.checkParameters, r.checkSampling,
		r.checkTools, r.checkTexts, r.checkWorkflow, r.checkTimes,
	}
	for _, check := range checks {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (r *Request) checkKind() error {
	asks := 0
	for _, has := range []bool{r.Prompt != "", len(r.Messages) > 0, r.Workflow != nil, len(r.Input) > 0} {
		if has {
			asks++
		}
	}
	switch {
	case asks > 1:
		return &FieldError{Field: "prompt", Rule: "only one of prompt, messages, input and workflow may be given"}
	case (r.System != "" || len(r.Tools) > 0 || r.ResponseFormat != nil) && r.Prompt == "" && len(r.Messages) == 0 && len(r.Input) == 0:
		return &FieldError{Field: "prompt", Rule: "is required, or messages, beside system, tools and response_format"}
	case r.Operation != "" && r.Workflow == nil:
		return &FieldError{Field: "workflow", Rule: "is required beside operation"}
	case r.Options != nil && r.Workflow == nil:
		return &FieldError{Field: "workflow", Rule: "is required beside options"}
	case r.Parameters != nil && r.Trigger == "":
		return &FieldError{Field: "trigger", Rule: "is required beside parameters"}
	case r.PartOf != nil && (r.Trigger == "" || !r.Kind().AsksModel()):
		return &FieldError{Field: "part_of", Rule: "is written by actions alone, beside a trigger and a question"}
	case asks == 0 && r.Trigger == "":
		return &FieldError{Field: "prompt", Rule: "one of prompt, messages, input, workflow and trigger is required"}
	case r.Workflow != nil && r.Operation == "":
		return &FieldError{Field: "operation", Rule: "is required beside workflow"}
	}
	return nil
}

func (r *Request) checkMessages() error {
	if len(r.Messages) > MaxMessages {
		return &FieldError{Field: "messages", Rule: fmt.Sprintf("must be at most %d", MaxMessages), Got: fmt.Sprint(len(r.Messages))}
	}
	asked, images := false, 0
	for i := range r.Messages {
		if fault := r.Messages[i].fault(); fault != nil {
			return fault.within("messages" + index(i))
		}
		asked = asked || r.Messages[i].Role == "user"
		images += len(r.Messages[i].Images)
	}
	if images > MaxImages {
		return &FieldError{Field: "messages", Rule: fmt.Sprintf("must have at most %d images", MaxImages), Got: fmt.Sprint(images)}
	}
	if len(r.Messages) > 0 && !asked {
		return &FieldError{Field: "messages", Rule: "must hold at least one message of role user"}
	}
	return nil
}

func (r *Request) checkParameters() error {
	if t := r.Temperature; t != nil && (math.IsNaN(*t) || *t < 0 || *t > 2) {
		return &FieldError{Field: "temperature", Rule: "must be from 0 to 2", Got: fmt.Sprint(*t)}
	}
	if n := r.MaxTokens; n != nil && (*n < 1 || *n > MaxOutputTokens) {
		return &FieldError{Field: "max_tokens", Rule: fmt.Sprintf("must be from 1 to %d", MaxOutputTokens), Got: fmt.Sprint(*n)}
	}
	switch r.Priority {
	case "", PriorityLow, PriorityNormal, PriorityHigh:
	default:
		return &FieldError{Field: "priority", Rule: "must be low, normal or high", Got: shape(string(r.Priority))}
	}
	if n := len(r.Parameters); n > MaxParameters {
		return &FieldError{Field: "parameters", Rule: fmt.Sprintf("must be at most %d", MaxParameters), Got: fmt.Sprint(n)}
	}
	for name := range r.Parameters {
		if fault := textFault("parameters", name); fault != nil {
			return fault
		}
	}
	size := 0
	for k, v := range r.Metadata {
		size += len(k) + len(v)
	}
	if size > MaxMetadataBytes {
		return &FieldError{Field: "metadata", Rule: fmt.Sprintf("must be at most %d bytes", MaxMetadataBytes), Got: fmt.Sprintf("%d bytes", size)}
	}
	return nil
}

func (r *Request) checkTexts() error {
	for _, f := range []struct{ field, value string }{
		{"audit_reason", r.AuditReason}, {"purpose", r.Purpose}, {"user_id", r.UserID}, {"department", r.Department}, {"model", r.Model}, {"trigger", r.Trigger},
	} {
		if fault := textFault(f.field, f.value); fault != nil {
			return fault
		}
	}
	return CheckCorrelationID(r.CorrelationID)
}

// textFault holds a short text to one line of at most MaxTextBytes.
func textFault(field, value string) *FieldError {
	if len(value) > MaxTextBytes {
		return &FieldError{Field: field, Rule: fmt.Sprintf("must be at most %d bytes", MaxTextBytes), Got: fmt.Sprintf("%d bytes", len(value))}
	}
	if strings.ContainsFunc(value, unicode.IsControl) {
		return &FieldError{Field: field, Rule: "must be one line without control characters"}
	}
	return nil
}

func (r *Request) checkWorkflow() error {
	if r.Operation == "" {
		return nil
	}
	if !slices.Contains(Operations(), r.Operation) {
		return &FieldError{Field: "operation", Rule: "must be one of " + strings.Join(Operations(), ", "), Got: shape(r.Operation)}
	}
	if fault := stepFault(r.Workflow.Steps); fault != nil {
		return fault.within("workflow")
	}
	return nil
}

// stepFault holds steps, and those of groups, to an id and a type each. What their graph may look like is judged where it is
// used.
func stepFault(steps []Step) *FieldError {
	for i := range steps {
		var fault *FieldError
		switch {
		case steps[i].ID == "":
			fault = &FieldError{Field: "id", Rule: "is required"}
		case steps[i].Type == "":
			fault = &FieldError{Field: "type", Rule: "is required"}
		default:
			fault = stepFault(steps[i].Steps)
		}
		if fault != nil {
			return fault.within("steps" + index(i))
		}
	}
	return nil
}

func (r *Request) checkTimes() error {
	if r.NotBefore != nil && r.NotAfter != nil && !r.NotBefore.Before(*r.NotAfter) {
		return &FieldError{Field: "not_before", Rule: "must lie before not_after"}
	}
	return nil
}
