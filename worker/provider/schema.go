package provider

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// jsonSchema is what the generator understands of a JSON Schema.
type jsonSchema struct {
	Type       any                    `json:"type"` // a name or a list of names
	Enum       []any                  `json:"enum"`
	Const      any                    `json:"const"`
	Properties map[string]*jsonSchema `json:"properties"`
	Required   []string               `json:"required"`
	Items      *jsonSchema            `json:"items"`
	MinItems   int                    `json:"minItems"`
	MinLength  int                    `json:"minLength"`
	MaxLength  *int                   `json:"maxLength"`
	Minimum    *float64               `json:"minimum"`
	Maximum    *float64               `json:"maximum"`
	AnyOf      []*jsonSchema          `json:"anyOf"`
	OneOf      []*jsonSchema          `json:"oneOf"`
	Ref        string                 `json:"$ref"`
	Defs       map[string]*jsonSchema `json:"$defs"`
}

// sample is a document that satisfies a schema: all its properties, the shortest arrays, values that depend on seed alone. A
// schema that the generator does not understand is refused by its name.
func sample(schema json.RawMessage, seed uint64) (json.RawMessage, *fault) {
	if len(schema) == 0 {
		return json.RawMessage(fmt.Sprintf(`{"answer":"%08x"}`, uint32(seed))), nil //nolint:gosec // the lower half
	}
	var s jsonSchema
	if err := json.Unmarshal(schema, &s); err != nil {
		return nil, invalid("schema: is no JSON Schema that this provider understands")
	}
	g := generator{root: &s, seed: seed}
	v, f := g.value(&s, 0)
	if f != nil {
		return nil, f
	}
	data, err := json.Marshal(v)
	if err != nil {
		return nil, invalid("schema: has values that are no JSON")
	}
	return data, nil
}

type generator struct {
	root *jsonSchema
	seed uint64
	made int
}

// mostValues and mostDepth bound what a schema can make.
const (
	mostValues = 10_000
	mostDepth  = 32
)

func (g *generator) value(s *jsonSchema, depth int) (any, *fault) {
	g.made++
	switch {
	case s == nil:
		return "any", nil
	case depth > mostDepth || g.made > mostValues:
		return nil, invalid("schema: is too deep or too large")
	case s.Const != nil:
		return s.Const, nil
	case len(s.Enum) > 0:
		return s.Enum[g.seed%uint64(len(s.Enum))], nil
	case s.Ref != "":
		def, ok := g.root.Defs[strings.TrimPrefix(s.Ref, "#/$defs/")]
		if !ok {
			return nil, invalid("schema: $ref must name one of $defs")
		}
		return g.value(def, depth+1)
	case len(s.AnyOf) > 0:
		return g.value(s.AnyOf[0], depth+1)
	case len(s.OneOf) > 0:
		return g.value(s.OneOf[0], depth+1)
	}
	switch kind(s) {
	case "object":
		return g.object(s, depth)
	case "array":
		return g.array(s, depth)
	case "string":
		return g.text(s), nil
	case "integer":
		return g.number(s, true), nil
	case "number":
		return g.number(s, false), nil
	case "boolean":
		return g.seed%2 == 0, nil
	case "null":
		return nil, nil //nolint:nilnil // null it is
	}
	return nil, invalid("schema: type %v is not understood", s.Type)
}

// kind is the first type that a schema names, else the one that its members say.
func kind(s *jsonSchema) string {
	switch t := s.Type.(type) {
	case string:
		return t
	case []any:
		if len(t) > 0 {
			if name, ok := t[0].(string); ok {
				return name
			}
		}
	}
	if s.Items != nil {
		return "array"
	}
	if s.Properties != nil || s.Type == nil {
		return "object"
	}
	return ""
}

func (g *generator) object(s *jsonSchema, depth int) (any, *fault) {
	made := make(map[string]any, len(s.Properties))
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		if !slices.Contains(s.Required, name) && depth > 2 { // what need not be ends somewhere
			continue
		}
		v, f := g.value(s.Properties[name], depth+1)
		if f != nil {
			return nil, f
		}
		made[name] = v
	}
	for _, name := range s.Required {
		if _, ok := made[name]; !ok {
			made[name] = "any"
		}
	}
	return made, nil
}

func (g *generator) array(s *jsonSchema, depth int) (any, *fault) {
	made := []any{}
	for len(made) < max(s.MinItems, 1) {
		v, f := g.value(s.Items, depth+1)
		if f != nil {
			return nil, f
		}
		made = append(made, v)
	}
	return made, nil
}

func (g *generator) text(s *jsonSchema) string {
	text := fmt.Sprintf("text-%04x", g.seed&0xffff)
	if n := min(s.MinLength, mostValues); len(text) < n {
		text += strings.Repeat("x", n-len(text))
	}
	if s.MaxLength != nil && *s.MaxLength >= 0 && len(text) > *s.MaxLength {
		text = text[:*s.MaxLength]
	}
	return text
}

func (g *generator) number(s *jsonSchema, whole bool) any {
	n := float64(g.seed % 100)
	if s.Minimum != nil {
		n = max(n, *s.Minimum)
	}
	if s.Maximum != nil {
		n = min(n, *s.Maximum)
	}
	if whole {
		return int64(n)
	}
	return n
}
