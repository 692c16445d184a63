package messages_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/invopop/jsonschema"
	validator "github.com/santhosh-tekuri/jsonschema/v6"

	"flowgate/messages"
)

var update = flag.Bool("update", false, "rewrite schemas and golden files from the Go types")

// documents are the documents of the wire that have a schema.
func documents() map[string]any {
	return map[string]any{
		"request": messages.Request{}, "replay": messages.Replay{}, // written by others: closed
		"envelope": messages.Envelope{}, "calling": messages.Calling{}, "event": messages.Event{}, "result": messages.Result{},
		"intake": messages.Intake{},
	}
}

func TestSchemasAreThoseOfTheTypes(t *testing.T) {
	for name, v := range documents() {
		t.Run(name, func(t *testing.T) {
			golden(t, schemaFile(name), generate(t, name, v))
		})
	}
}

func TestSchemasHaveNoStranger(t *testing.T) {
	files, err := filepath.Glob("schemas/*")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != len(documents()) {
		t.Errorf("schemas/ has %v, want one file for each of %d documents", files, len(documents()))
	}
}

func TestSchemasDescribeEveryField(t *testing.T) {
	for _, name := range []string{"request", "replay"} {
		var s struct {
			Properties map[string]struct {
				Description string `json:"description"`
				Ref         string `json:"$ref"`
			} `json:"properties"`
		}
		decodeFile(t, schemaFile(name), &s)
		for field, p := range s.Properties {
			if p.Description == "" {
				t.Errorf("%s: field %s has no description", name, field)
			}
		}
	}
}

func schemaFile(name string) string { return filepath.Join("schemas", name+".schema.json") }

// generate makes a schema out of a type, its comments and the rules that its decoder knows beside its type.
func generate(t *testing.T, name string, v any) []byte {
	t.Helper()
	closed := name == "request" || name == "replay"
	r := jsonschema.Reflector{ExpandedStruct: true, Anonymous: true, AllowAdditionalProperties: !closed, Mapper: words}
	if err := r.AddGoComments("flowgate/messages", ".", jsonschema.WithFullComment()); err != nil {
		t.Fatal(err)
	}
	r.LookupComment = comments(r.CommentMap)
	s := r.Reflect(v)
	s.ID = jsonschema.ID("urn:flowgate:" + name + ":" + strconv.Itoa(messages.Version))
	s.Title = "flowgate " + name
	switch name {
	case "request":
		requestRules(s)
	case "replay":
		replayRules(s)
	}
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(data, '\n')
}

// comments are those of the types, a paragraph each, about the JSON name of a field instead of its Go name.
func comments(all map[string]string) func(reflect.Type, string) string {
	return func(t reflect.Type, name string) string {
		key := t.PkgPath() + "." + t.Name()
		if name == "" {
			return strings.ReplaceAll(all[key], "\n", " ")
		}
		comment := strings.ReplaceAll(all[key+"."+name], "\n", " ")
		about, isNamed := strings.CutPrefix(comment, name+" ")
		if f, ok := t.FieldByName(name); ok && isNamed {
			tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			return tag + " " + about
		}
		return comment
	}
}

// words gives the types of words that will not grow within a wire version their lists. Reasons, verdicts, kinds of events and
// layers may grow: readers must bear new ones.
func words(t reflect.Type) *jsonschema.Schema {
	switch t {
	case reflect.TypeFor[messages.Class]():
		return list(messages.Classes())
	case reflect.TypeFor[messages.State]():
		return list(messages.States())
	case reflect.TypeFor[messages.Status]():
		return list(messages.Statuses())
	case reflect.TypeFor[messages.Priority]():
		return list([]messages.Priority{messages.PriorityLow, messages.PriorityNormal, messages.PriorityHigh})
	case reflect.TypeFor[messages.ResultState]():
		return list([]messages.ResultState{messages.ResultDone, messages.ResultPending, messages.ResultUnknown})
	case reflect.TypeFor[json.RawMessage]():
		return &jsonschema.Schema{Not: &jsonschema.Schema{Type: "null"}}
	}
	return nil
}

func list[T ~string](values []T) *jsonschema.Schema {
	s := &jsonschema.Schema{Type: "string"}
	for _, v := range values {
		s.Enum = append(s.Enum, string(v))
	}
	return s
}

// oneLine is a text without control characters, in a form that every dialect of regular expressions reads.
const oneLine = `^[^\x00-\x1f\x7f-\x9f]*$`

func requestRules(s *jsonschema.Schema) {
	version(s)
	field(s, "tenant").Pattern = `^[a-z0-9_-]{1,63}$`
	field(s, "id").Pattern = `^[A-Za-z0-9_-]{1,128}$`
	field(s, "correlation_id").Pattern = `^[A-Za-z0-9_-]{0,128}$`
	field(s, "prompt").MinLength = new(uint64(1))
	turns := field(s, "messages")
	turns.MinItems, turns.MaxItems = new(uint64(1)), new(uint64(messages.MaxMessages))
	turns.Contains = &jsonschema.Schema{Properties: jsonschema.NewProperties(), Required: []string{"role"}}
	turns.Contains.Properties.Set("role", &jsonschema.Schema{Const: "user"})
	for _, name := range []string{"model", "trigger", "audit_reason", "purpose", "user_id", "department"} {
		text(field(s, name))
	}
	field(s, "audit_reason").MinLength = new(uint64(1))
	temperature, tokens := field(s, "temperature"), field(s, "max_tokens")
	temperature.Minimum, temperature.Maximum, temperature.Default = "0", "2", messages.DefaultTemperature
	tokens.Minimum, tokens.Maximum, tokens.Default = "1", number(messages.MaxOutputTokens), messages.DefaultMaxTokens
	field(s, "priority").Default = string(messages.PriorityNormal)
	field(s, "operation").Enum = list(messages.Operations()).Enum

	message := s.Definitions["Message"]
	field(message, "role").Enum = []any{"system", "developer", "user", "assistant", messages.RoleTool}
	text(field(message, "name"))
	for _, one := range []string{"content", "images", "tool_calls", "tool_call_id"} {
		message.AnyOf = append(message.AnyOf, &jsonschema.Schema{Required: []string{one}})
	}
	questionRules(s)
	for _, name := range []string{"id", "type"} {
		field(s.Definitions["Step"], name).MinLength = new(uint64(1))
	}

	s.DependentRequired = map[string][]string{
		"workflow": {"operation"}, "operation": {"workflow"}, "options": {"workflow"}, "parameters": {"trigger"},
		"tool_choice": {"tools"}, "dimensions": {"input"},
	}
	for _, one := range []string{"prompt", "messages", "input", "workflow", "trigger"} {
		s.AnyOf = append(s.AnyOf, &jsonschema.Schema{Required: []string{one}})
	}
	for _, both := range [][]string{
		{"prompt", "messages"}, {"prompt", "workflow"}, {"messages", "workflow"}, {"prompt", "input"}, {"messages", "input"}, {"workflow", "input"},
	} {
		s.AllOf = append(s.AllOf, &jsonschema.Schema{Not: &jsonschema.Schema{Required: both}})
	}
}

// questionRules are those of what a model is asked beside a conversation.
func questionRules(s *jsonschema.Schema) {
	topP, topK, dimensions := field(s, "top_p"), field(s, "top_k"), field(s, "dimensions")
	topP.ExclusiveMinimum, topP.Maximum = "0", "1"
	topK.Minimum, topK.Maximum = "1", "1000000"
	dimensions.Minimum, dimensions.Maximum = "1", number(messages.MaxDimensions)
	for name, most := range map[string]int{"stop": messages.MaxStops, "tools": messages.MaxTools, "input": messages.MaxInputs} {
		field(s, name).MaxItems = new(uint64(most))
	}
	field(s, "input").Items.MinLength = new(uint64(1))
	stop := field(s, "stop").Items
	stop.MinLength, stop.MaxLength = new(uint64(1)), new(uint64(messages.MaxStopBytes))
	for _, of := range []string{"Tool", "ToolCall", "ResponseFormat"} {
		field(s.Definitions[of], "name").Pattern = `^[A-Za-z0-9_-]{1,64}$`
	}
	field(s.Definitions["ResponseFormat"], "type").Enum = []any{messages.FormatText, messages.FormatJSONObject, messages.FormatJSONSchema}
	field(s.Definitions["Image"], "media_type").Enum = []any{"image/png", "image/jpeg", "image/gif", "image/webp"}
	field(s.Definitions["Image"], "url").Pattern = `^https://`
	age := field(s.Definitions["CacheControl"], "max_age")
	age.Minimum, age.Maximum = "0", "1000000000"
}

func replayRules(s *jsonschema.Schema) {
	version(s)
	reason := field(s, "reason")
	reason.Pattern, reason.MaxLength = `\S`, new(uint64(messages.MaxReplayReason))
	text(field(s, "by"))
	field(s, "resume_at").Enum = []any{string(messages.StateHold), string(messages.StateAI), string(messages.StateOptimizer)}
	request := field(s, "request")
	request.Type, request.Not = "object", nil
}

func version(s *jsonschema.Schema) {
	v := field(s, "v")
	v.Minimum, v.Maximum, v.Default = "1", number(messages.Version), 1
}

// text bounds a short text. A schema counts characters, the decoder bytes: the schema is looser for other scripts.
func text(s *jsonschema.Schema) {
	s.MaxLength, s.Pattern = new(uint64(messages.MaxTextBytes)), oneLine
}

func field(s *jsonschema.Schema, name string) *jsonschema.Schema {
	p, ok := s.Properties.Get(name)
	if !ok {
		panic("no field " + name)
	}
	return p
}

func number(n int) json.Number { return json.Number(strconv.Itoa(n)) }

// golden compares with a file of the tree, or rewrites it under -update.
func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what the types say; look at it with: go test ./messages -run '%s' -update && git diff", file, t.Name())
	}
}

// compiled is a schema of the tree, formats included.
func compiled(t testing.TB, name string) *validator.Schema {
	t.Helper()
	c := validator.NewCompiler()
	c.DefaultDraft(validator.Draft2020)
	c.AssertFormat()
	s, err := c.Compile(schemaFile(name))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// valid tells what a schema says about a document; false for what is no JSON.
func valid(s *validator.Schema, data []byte) error {
	v, err := validator.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		return err
	}
	return s.Validate(v)
}

func decodeFile(t *testing.T, file string, v any) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, v); err != nil {
		t.Fatalf("decoding %s: %v", file, err)
	}
}
