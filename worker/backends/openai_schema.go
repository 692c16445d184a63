package backends

import (
	"encoding/json"
	"slices"

	"flowgate/messages"
)

// schemaName is the name that OpenAI demands of a schema.
func schemaName(f *messages.ResponseFormat) string {
	if f.Name == "" {
		return "answer"
	}
	return f.Name
}

// strictSchema tells whether a schema is one that OpenAI can hold an answer to without exception: it is that of an object, and every object in
// it forbids other fields and demands all of its own. Any other schema is a wish.
func strictSchema(raw json.RawMessage) bool {
	var root schema
	return json.Unmarshal(raw, &root) == nil && root.is("object") && root.strict()
}

type schema struct {
	Type        json.RawMessage   `json:"type"`
	Properties  map[string]schema `json:"properties"`
	Required    []string          `json:"required"`
	Additional  json.RawMessage   `json:"additionalProperties"` //nolint:tagliatelle // JSON Schema names it
	Items       *schema           `json:"items"`
	AnyOf       []schema          `json:"anyOf"` //nolint:tagliatelle // JSON Schema names it
	Definitions map[string]schema `json:"$defs"`
	OneOf       json.RawMessage   `json:"oneOf"` //nolint:tagliatelle // JSON Schema names it
	AllOf       json.RawMessage   `json:"allOf"` //nolint:tagliatelle // JSON Schema names it
}

// is tells whether a schema is of a type, or of it and others such as null.
func (s *schema) is(kind string) bool {
	var one string
	var many []string
	return json.Unmarshal(s.Type, &one) == nil && one == kind || json.Unmarshal(s.Type, &many) == nil && slices.Contains(many, kind)
}

func (s *schema) strict() bool {
	if len(s.OneOf) > 0 || len(s.AllOf) > 0 {
		return false
	}
	if s.is("object") || s.Properties != nil {
		if string(s.Additional) != "false" || len(s.Properties) != len(s.Required) {
			return false
		}
		for name := range s.Properties {
			if !slices.Contains(s.Required, name) {
				return false
			}
		}
	}
	for _, inner := range s.Properties {
		if !inner.strict() {
			return false
		}
	}
	for _, inner := range s.Definitions {
		if !inner.strict() {
			return false
		}
	}
	for i := range s.AnyOf {
		if !s.AnyOf[i].strict() {
			return false
		}
	}
	return s.Items == nil || s.Items.strict()
}
