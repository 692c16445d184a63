package messages

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Bounds of the schema of an answer.
const (
	// MaxSchemaDepth bounds how deep schemas lie in schemas, MaxSchemas how many there are.
	MaxSchemaDepth = 32
	MaxSchemas     = 2000
)

func schemaTypes() []string {
	return []string{"null", "boolean", "object", "array", "number", "string", "integer"}
}

// schemaReader holds a JSON Schema to what JSON Schema lets it be, as far as that can be told without a dialect.
type schemaReader struct{ seen int }

// answerSchemaFault holds the schema of an answer to being one: names of types that there are, schemas where schemas have to stand, references
// into itself alone, and no more of it than an answer can need.
func answerSchemaFault(field string, schema json.RawMessage) *FieldError {
	if fault := schemaFault(field, schema); fault != nil {
		return fault
	}
	if fault := new(schemaReader).schema(schema, 1); fault != nil {
		return fault.within(field)
	}
	return nil
}

// schema reads a schema, or true or false, which let everything or nothing be.
func (r *schemaReader) schema(raw json.RawMessage, depth int) *FieldError {
	if r.seen++; r.seen > MaxSchemas {
		return &FieldError{Rule: fmt.Sprintf("must have at most %d schemas in it", MaxSchemas)}
	}
	if depth > MaxSchemaDepth {
		return &FieldError{Rule: fmt.Sprintf("must not lie deeper than %d schemas", MaxSchemaDepth)}
	}
	if word := string(bytes.TrimSpace(raw)); depth > 1 && (word == "true" || word == "false") {
		return nil
	}
	var keys map[string]json.RawMessage
	if json.Unmarshal(raw, &keys) != nil || keys == nil {
		return &FieldError{Rule: "must be a JSON Schema, an object"}
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if fault := r.keyword(key, keys[key], depth+1); fault != nil {
			return fault.within(schemaName(key))
		}
	}
	return nil
}

// keyword reads what stands at a keyword; those that are not known may have anything.
func (r *schemaReader) keyword(key string, raw json.RawMessage, depth int) *FieldError {
	switch key {
	case "type":
		return typeFault(raw)
	case "$ref", "$dynamicRef", "$recursiveRef":
		var ref string
		if json.Unmarshal(raw, &ref) != nil || !strings.HasPrefix(ref, "#") {
			return &FieldError{Rule: "must lead to a place in the schema itself, such as #/$defs/name"}
		}
	case "required":
		var names []string
		if json.Unmarshal(raw, &names) != nil || names == nil {
			return &FieldError{Rule: "must be an array of names"}
		}
	case "enum":
		var values []json.RawMessage
		if json.Unmarshal(raw, &values) != nil || len(values) == 0 {
			return &FieldError{Rule: "must be an array of at least one value"}
		}
	case "allOf", "anyOf", "oneOf", "prefixItems":
		return r.schemas(raw, depth)
	case "properties", "patternProperties", "$defs", "definitions", "dependentSchemas":
		return r.named(raw, depth)
	case "items":
		if bytes.HasPrefix(bytes.TrimSpace(raw), []byte("[")) { // as older dialects have it
			return r.schemas(raw, depth)
		}
		return r.schema(raw, depth)
	case "additionalProperties", "propertyNames", "contains", "not", "if", "then", "else", "unevaluatedItems", "unevaluatedProperties", "additionalItems":
		return r.schema(raw, depth)
	}
	return nil
}

// typeFault holds a type to the names that there are: one, or several of them.
func typeFault(raw json.RawMessage) *FieldError {
	var names []string
	if json.Unmarshal(raw, &names) != nil {
		var name string
		if json.Unmarshal(raw, &name) != nil {
			name = ""
		}
		names = []string{name}
	}
	for _, name := range names {
		if !slices.Contains(schemaTypes(), name) {
			names = nil
		}
	}
	if len(names) == 0 {
		return &FieldError{Rule: "must be " + strings.Join(schemaTypes(), ", ") + ", or an array of these"}
	}
	return nil
}

func (r *schemaReader) schemas(raw json.RawMessage, depth int) *FieldError {
	var all []json.RawMessage
	if json.Unmarshal(raw, &all) != nil || len(all) == 0 {
		return &FieldError{Rule: "must be an array of at least one schema"}
	}
	for i := range all {
		if fault := r.schema(all[i], depth); fault != nil {
			return fault.within(index(i))
		}
	}
	return nil
}

func (r *schemaReader) named(raw json.RawMessage, depth int) *FieldError {
	var all map[string]json.RawMessage
	if json.Unmarshal(raw, &all) != nil || all == nil {
		return &FieldError{Rule: "must be an object of schemas"}
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if fault := r.schema(all[name], depth); fault != nil {
			return fault.within(schemaName(name))
		}
	}
	return nil
}

// schemaName is a name of a schema as a fault may show it.
func schemaName(name string) string {
	if named(strings.TrimPrefix(name, "$")) {
		return name
	}
	return "*"
}
