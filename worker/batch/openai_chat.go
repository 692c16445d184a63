package batch

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"flowgate/messages"
)

// Parameters of a body that the conversion knows.
const (
	paramModel          = "model"
	paramMessages       = "messages"
	paramTemperature    = "temperature"
	paramMaxTokens      = "max_tokens"
	paramMaxCompletion  = "max_completion_tokens"
	paramMetadata       = "metadata"
	paramChoices        = "n"
	paramStream         = "stream"
	paramTopP           = "top_p"
	paramStop           = "stop"
	paramSeed           = "seed"
	paramTools          = "tools"
	paramToolChoice     = "tool_choice"
	paramResponseFormat = "response_format"
)

// Members of the parts of a body that hold others.
const (
	memberType       = "type"
	memberFunction   = "function"
	memberName       = "name"
	memberStrict     = "strict"
	memberJSONSchema = "json_schema"
	memberText       = "text"
)

// convertChat converts the body of a chat completion.
func convertChat(body, request map[string]json.RawMessage, from map[string]string) error {
	err := only(body, "", paramModel, paramMessages, paramTemperature, paramMaxTokens, paramMaxCompletion, paramMetadata, paramChoices, paramStream,
		paramTopP, paramStop, paramSeed, paramTools, paramToolChoice, paramResponseFormat)
	if err != nil {
		return err
	}
	if n := body[paramChoices]; !isNull(n) && string(n) != "1" {
		return &messages.FieldError{Field: paramChoices, Rule: "must be 1", Got: shape(n)}
	}
	if s := body[paramStream]; !isNull(s) && string(s) != "false" {
		return &messages.FieldError{Field: paramStream, Rule: "is not supported in a batch", Got: shape(s)}
	}
	copied(request, body, paramModel, paramTemperature, paramTopP, paramSeed)
	for _, put := range []func(request, body map[string]json.RawMessage) error{putStop, putTools, putToolChoice, putFormat} {
		if err := put(request, body); err != nil {
			return err
		}
	}
	if err := putMaxTokens(request, body, from); err != nil {
		return err
	}
	request[paramMessages], err = conversation(body[paramMessages])
	return err
}

func putMaxTokens(request, body map[string]json.RawMessage, from map[string]string) error {
	old, current := body[paramMaxTokens], body[paramMaxCompletion]
	switch {
	case isNull(current) && isNull(old):
	case isNull(current):
		request[paramMaxTokens] = old
	case isNull(old) || string(old) == string(current):
		request[paramMaxTokens] = current
		from[paramMaxTokens] = paramMaxCompletion
	default:
		return &messages.FieldError{Field: paramMaxTokens, Rule: "must agree with max_completion_tokens, or be left out"}
	}
	return nil
}

// putStop takes one text or an array of texts.
func putStop(request, body map[string]json.RawMessage) error {
	stop := body[paramStop]
	switch shape(stop) {
	case "string":
		request[paramStop] = slices.Concat([]byte("["), stop, []byte("]"))
	case "array":
		request[paramStop] = stop
	case "nothing", "null":
	default:
		return &messages.FieldError{Field: paramStop, Rule: "must be a string or an array of strings", Got: shape(stop)}
	}
	return nil
}

// putTools takes functions; other tools are the provider's own, and nobody here could call them.
func putTools(request, body map[string]json.RawMessage) error {
	if isNull(body[paramTools]) {
		return nil
	}
	all, err := array(body[paramTools], paramTools, "tools", messages.MaxTools)
	if err != nil {
		return err
	}
	tools := make([]messages.Tool, len(all))
	for i, raw := range all {
		where := fmt.Sprintf("%s[%d]", paramTools, i)
		function, err := functionOf(raw, where, memberName, "description", "parameters", memberStrict)
		if err != nil {
			return err
		}
		where += "." + memberFunction + "."
		if tools[i].Name, err = text(function[memberName], where+memberName); err != nil {
			return err
		}
		if d := function["description"]; !isNull(d) {
			if tools[i].Description, err = text(d, where+"description"); err != nil {
				return err
			}
		}
		if p := function["parameters"]; !isNull(p) {
			tools[i].Parameters = p
		}
		if s := function[memberStrict]; !isNull(s) && string(s) != "false" {
			return &messages.FieldError{Field: where + memberStrict, Rule: "must be false or left out: not every backend can hold arguments to the schema", Got: shape(s)}
		}
	}
	if len(tools) > 0 {
		request[paramTools], err = encode(tools)
	}
	return err
}

// functionOf takes the function out of {"type":"function","function":{…}}, with no other members than those known.
func functionOf(raw json.RawMessage, where string, known ...string) (map[string]json.RawMessage, error) {
	members, err := inner(raw, where)
	if err != nil {
		return nil, err
	}
	if err := exactly(members[memberType], where+"."+memberType, memberFunction); err != nil {
		return nil, err
	}
	if err := only(members, where+".", memberType, memberFunction); err != nil {
		return nil, err
	}
	function, err := inner(members[memberFunction], where+"."+memberFunction)
	if err != nil {
		return nil, err
	}
	return function, only(function, where+"."+memberFunction+".", known...)
}

// putToolChoice takes a word, or the function that is to be called.
func putToolChoice(request, body map[string]json.RawMessage) error {
	raw := body[paramToolChoice]
	if isNull(raw) {
		return nil
	}
	words := []string{messages.ToolChoiceAuto, messages.ToolChoiceNone, messages.ToolChoiceRequired}
	rule := "must be " + strings.Join(words, ", ") + " or a function"
	if shape(raw) == "string" {
		word, err := text(raw, paramToolChoice)
		if err == nil && !slices.Contains(words, word) {
			err = &messages.FieldError{Field: paramToolChoice, Rule: rule, Got: clip(word)}
		}
		request[paramToolChoice] = raw
		return err
	}
	if shape(raw) != "object" {
		return &messages.FieldError{Field: paramToolChoice, Rule: rule, Got: shape(raw)}
	}
	function, err := functionOf(raw, paramToolChoice, memberName)
	if err != nil {
		return err
	}
	where := paramToolChoice + "." + memberFunction + "." + memberName
	name, err := text(function[memberName], where)
	if err == nil && slices.Contains(words, name) {
		err = &messages.FieldError{Field: where, Rule: "must be another than the words of tool_choice", Got: clip(name)}
	}
	request[paramToolChoice] = function[memberName]
	return err
}

// putFormat takes text, json_object, or a json_schema within its own member. Strictness is the backend's: whoever can hold an answer to
// the schema does.
func putFormat(request, body map[string]json.RawMessage) error {
	if isNull(body[paramResponseFormat]) {
		return nil
	}
	members, err := inner(body[paramResponseFormat], paramResponseFormat)
	if err != nil {
		return err
	}
	var f messages.ResponseFormat
	if f.Type, err = text(members[memberType], paramResponseFormat+"."+memberType); err != nil {
		return err
	}
	if f.Type != messages.FormatJSONSchema {
		if err := only(members, paramResponseFormat+".", memberType); err != nil {
			return err
		}
		request[paramResponseFormat], err = encode(f)
		return err
	}
	if err := only(members, paramResponseFormat+".", memberType, memberJSONSchema); err != nil {
		return err
	}
	where := paramResponseFormat + "." + memberJSONSchema
	schema, err := inner(members[memberJSONSchema], where)
	if err != nil {
		return err
	}
	if err := only(schema, where+".", memberName, "schema", memberStrict); err != nil {
		return err
	}
	if f.Name, err = text(schema[memberName], where+"."+memberName); err != nil {
		return err
	}
	if s := schema[memberStrict]; !isNull(s) && shape(s) != "bool" {
		return &messages.FieldError{Field: where + "." + memberStrict, Rule: "must be true or false", Got: shape(s)}
	}
	if s := schema["schema"]; !isNull(s) {
		f.Schema = s
	}
	request[paramResponseFormat], err = encode(f)
	return err
}

// array reads an array of at most so many.
func array(raw json.RawMessage, field, of string, most int) ([]json.RawMessage, error) {
	var all []json.RawMessage
	if shape(raw) != "array" || json.Unmarshal(raw, &all) != nil {
		return nil, &messages.FieldError{Field: field, Rule: "must be an array of " + of, Got: shape(raw)}
	}
	if len(all) > most {
		return nil, &messages.FieldError{Field: field, Rule: fmt.Sprintf("must be at most %d", most), Got: fmt.Sprint(len(all))}
	}
	return all, nil
}

var (
	ofTool   = regexp.MustCompile(`^(tools\[\d+\]|messages\[\d+\]\.tool_calls\[\d+\])\.(name|description|parameters|arguments)$`)
	ofFormat = regexp.MustCompile(`^response_format\.(name|schema)$`)
	ofImage  = regexp.MustCompile(`^(messages\[\d+\])\.images.*$`)
)

// openAIField is where a field of a request stands in the body that it was made from.
func openAIField(field string) string {
	field = ofTool.ReplaceAllString(field, "$1.function.$2")
	field = ofFormat.ReplaceAllString(field, "response_format.json_schema.$1")
	return ofImage.ReplaceAllString(field, "$1.content")
}
