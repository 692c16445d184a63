package messages

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Bounds of what a model is asked.
const (
	// MaxTools bounds the tools of one request, MaxToolCalls the calls of one message.
	MaxTools     = 128
	MaxToolCalls = 128
	// MaxSchemaBytes bounds the parameters of a tool, and the schema of an answer.
	MaxSchemaBytes = 64 << 10
	// MaxStops bounds the stop sequences, of MaxStopBytes each.
	MaxStops     = 16
	MaxStopBytes = 256
	// MaxImages bounds the images of one request.
	MaxImages = 100
	// MaxInputs bounds the texts of an embedding.
	MaxInputs = 2048
	// MaxDimensions bounds the dimensions of a vector.
	MaxDimensions = 16_384
	// maxName bounds the name of a tool or schema, and the id of a tool call.
	maxName = 64
)

func mediaTypes() []string { return []string{"image/png", "image/jpeg", "image/gif", "image/webp"} }

// checkSampling holds the parameters of sampling to what any model takes.
func (r *Request) checkSampling() error {
	if p := r.TopP; p != nil && (math.IsNaN(*p) || *p <= 0 || *p > 1) {
		return &FieldError{Field: "top_p", Rule: "must be above 0 and at most 1", Got: fmt.Sprint(*p)}
	}
	if k := r.TopK; k != nil && (*k < 1 || *k > 1_000_000) {
		return &FieldError{Field: "top_k", Rule: "must be from 1 to 1000000", Got: fmt.Sprint(*k)}
	}
	if len(r.Stop) > MaxStops {
		return &FieldError{Field: "stop", Rule: fmt.Sprintf("must be at most %d", MaxStops), Got: fmt.Sprint(len(r.Stop))}
	}
	for i, s := range r.Stop {
		if s == "" || len(s) > MaxStopBytes {
			return &FieldError{Field: "stop" + index(i), Rule: fmt.Sprintf("must be from 1 to %d bytes", MaxStopBytes), Got: fmt.Sprintf("%d bytes", len(s))}
		}
	}
	if c := r.Cache; c != nil && c.MaxAge != nil && (math.IsNaN(*c.MaxAge) || *c.MaxAge < 0 || *c.MaxAge > 1e9) {
		return &FieldError{Field: "cache.max_age", Rule: "must be from 0 to 1000000000 seconds", Got: fmt.Sprint(*c.MaxAge)}
	}
	return nil
}

// checkTools holds tools, the choice among them and the form of the answer to what can be asked.
func (r *Request) checkTools() error {
	if len(r.Tools) > MaxTools {
		return &FieldError{Field: "tools", Rule: fmt.Sprintf("must be at most %d", MaxTools), Got: fmt.Sprint(len(r.Tools))}
	}
	var names []string
	for i := range r.Tools {
		t := &r.Tools[i]
		var fault *FieldError
		switch {
		case !named(t.Name):
			fault = &FieldError{Field: "name", Rule: nameRule}
		case slices.Contains(names, t.Name):
			fault = &FieldError{Field: "name", Rule: "must be another than that of the tools before it"}
		default:
			fault = schemaFault("parameters", t.Parameters)
		}
		if fault != nil {
			return fault.within("tools" + index(i))
		}
		names = append(names, t.Name)
	}
	if c := r.ToolChoice; c != "" && !slices.Contains([]string{ToolChoiceAuto, ToolChoiceNone, ToolChoiceRequired}, c) && !slices.Contains(names, c) {
		return &FieldError{Field: "tool_choice", Rule: "must be auto, none, required or the name of one of the tools", Got: shape(c)}
	}
	if r.ToolChoice != "" && len(r.Tools) == 0 {
		return &FieldError{Field: "tools", Rule: "is required beside tool_choice"}
	}
	if r.ResponseFormat == nil {
		return nil
	}
	if fault := r.ResponseFormat.fault(); fault != nil {
		return fault.within("response_format")
	}
	return nil
}

const nameRule = "must be of letters, digits, _ and -, from 1 to 64"

func named(name string) bool {
	return name != "" && len(name) <= maxName && !strings.ContainsFunc(name, func(c rune) bool {
		return c != '_' && c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z')
	})
}

func (f *ResponseFormat) fault() *FieldError {
	switch f.Type {
	case FormatText, FormatJSONObject:
		if len(f.Schema) > 0 {
			return &FieldError{Field: "schema", Rule: "belongs to the type json_schema"}
		}
		return nil
	case FormatJSONSchema:
	default:
		return &FieldError{Field: "type", Rule: "must be text, json_object or json_schema", Got: shape(f.Type)}
	}
	switch {
	case !named(f.Name):
		return &FieldError{Field: "name", Rule: nameRule}
	case len(f.Schema) == 0:
		return &FieldError{Field: "schema", Rule: "is required beside the type json_schema"}
	}
	return answerSchemaFault("schema", f.Schema)
}

func schemaFault(field string, schema json.RawMessage) *FieldError {
	switch {
	case len(schema) > MaxSchemaBytes:
		return &FieldError{Field: field, Rule: fmt.Sprintf("must be at most %d bytes", MaxSchemaBytes), Got: fmt.Sprintf("%d bytes", len(schema))}
	case len(schema) > 0 && !bytes.HasPrefix(bytes.TrimSpace(schema), []byte("{")):
		return &FieldError{Field: field, Rule: "must be a JSON Schema, an object"}
	}
	return nil
}

// checkEmbedding holds the texts of an embedding to what can be asked, and keeps away from it what is for answers.
func (r *Request) checkEmbedding() error {
	if len(r.Input) == 0 {
		if r.Dimensions != nil {
			return &FieldError{Field: "input", Rule: "is required beside dimensions"}
		}
		return nil
	}
	if len(r.Input) > MaxInputs {
		return &FieldError{Field: "input", Rule: fmt.Sprintf("must be at most %d", MaxInputs), Got: fmt.Sprint(len(r.Input))}
	}
	for i, text := range r.Input {
		if text == "" {
			return &FieldError{Field: "input" + index(i), Rule: "must not be empty"}
		}
	}
	if d := r.Dimensions; d != nil && (*d < 1 || *d > MaxDimensions) {
		return &FieldError{Field: "dimensions", Rule: fmt.Sprintf("must be from 1 to %d", MaxDimensions), Got: fmt.Sprint(*d)}
	}
	for _, f := range []struct {
		field string
		has   bool
	}{
		{"system", r.System != ""},
		{"temperature", r.Temperature != nil},
		{"max_tokens", r.MaxTokens != nil},
		{"top_p", r.TopP != nil},
		{"top_k", r.TopK != nil},
		{"stop", len(r.Stop) > 0},
		{"seed", r.Seed != nil},
		{"tools", len(r.Tools) > 0},
		{"response_format", r.ResponseFormat != nil},
	} {
		if f.has {
			return &FieldError{Field: f.field, Rule: "does not belong to a request with input: vectors are not sampled"}
		}
	}
	return nil
}

// fault holds a message to what its role may have.
func (m *Message) fault() *FieldError {
	switch m.Role {
	case "system", "developer", "user", "assistant", RoleTool:
	default:
		return &FieldError{Field: "role", Rule: "must be system, developer, user, assistant or tool", Got: shape(m.Role)}
	}
	switch {
	case len(m.Images) > 0 && m.Role != "user":
		return &FieldError{Field: "images", Rule: "belong to messages of role user"}
	case len(m.ToolCalls) > 0 && m.Role != "assistant":
		return &FieldError{Field: "tool_calls", Rule: "belong to messages of role assistant"}
	case m.ToolCallID != "" && m.Role != RoleTool:
		return &FieldError{Field: "tool_call_id", Rule: "belongs to messages of role tool"}
	case m.Role == RoleTool && (m.ToolCallID == "" || len(m.ToolCallID) > 4*maxName):
		return &FieldError{Field: "tool_call_id", Rule: "is required, of at most 256 bytes: it names the tool call whose result this is"}
	case m.Content == "" && len(m.Images) == 0 && len(m.ToolCalls) == 0 && m.Role != RoleTool:
		return &FieldError{Field: "content", Rule: "is required"}
	case len(m.ToolCalls) > MaxToolCalls:
		return &FieldError{Field: "tool_calls", Rule: fmt.Sprintf("must be at most %d", MaxToolCalls), Got: fmt.Sprint(len(m.ToolCalls))}
	}
	for i := range m.Images {
		if fault := m.Images[i].fault(); fault != nil {
			return fault.within("images" + index(i))
		}
	}
	for i := range m.ToolCalls {
		if fault := m.ToolCalls[i].fault(); fault != nil {
			return fault.within("tool_calls" + index(i))
		}
	}
	return textFault("name", m.Name)
}

func (c *ToolCall) fault() *FieldError {
	switch {
	case c.ID == "" || len(c.ID) > 4*maxName:
		return &FieldError{Field: "id", Rule: "is required, of at most 256 bytes"}
	case !named(c.Name):
		return &FieldError{Field: "name", Rule: nameRule}
	case !json.Valid([]byte(c.Arguments)):
		return &FieldError{Field: "arguments", Rule: "must be a text with JSON"}
	}
	return textFault("id", c.ID)
}

// secureURL tells whether a text is an https URL with a host and without credentials.
func secureURL(text string) bool {
	rest, secure := strings.CutPrefix(text, "https://")
	host, _, _ := strings.Cut(rest, "/")
	return secure && host != "" && !strings.ContainsAny(text, " \"<>\\^`{|}") && !strings.ContainsAny(host, "@?#") && !strings.HasPrefix(host, ":")
}

func (i *Image) fault() *FieldError {
	if i.URL != "" {
		switch {
		case i.Data != "" || i.MediaType != "":
			return &FieldError{Field: "url", Rule: "must stand alone"}
		case !secureURL(i.URL):
			return &FieldError{Field: "url", Rule: "must be an https URL without credentials"}
		}
		return textFault("url", i.URL)
	}
	if !slices.Contains(mediaTypes(), i.MediaType) {
		return &FieldError{Field: "media_type", Rule: "must be " + strings.Join(mediaTypes(), ", "), Got: shape(i.MediaType)}
	}
	if data, err := base64.StdEncoding.DecodeString(i.Data); err != nil || len(data) == 0 {
		return &FieldError{Field: "data", Rule: "must be an image in standard base64"}
	}
	return nil
}
