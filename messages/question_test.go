package messages_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"flowgate/messages"
)

func TestDecoderAndSchemaAgreeOnQuestions(t *testing.T) {
	agree(t, questionDocuments())
}

// questionDocuments are those of tools, images, forms of answers, vectors and the cache.
func questionDocuments() map[string]requestCase {
	good := func(document string) requestCase {
		return requestCase{document: document, decoder: accepted, schema: accepted}
	}
	bad := func(document, field string) requestCase { return requestCase{document: document, field: field} }
	differ := func(document, field, why string) requestCase {
		return requestCase{document: document, decoder: refused, schema: accepted, field: field, why: why}
	}
	conversation := func(message string) string {
		return `{"messages":[{"role":"user","content":"x"},` + message + `],"audit_reason":"t"}`
	}
	form := func(schema string) string {
		return `"response_format":{"type":"json_schema","name":"out","schema":` + schema + `}`
	}
	const aSchema = "a schema does not read schemas"
	const tool = `{"name":"get_weather","description":"d","parameters":{"type":"object","properties":{"city":{"type":["string","null"]}}}}`
	const onePixel = `iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==`
	return map[string]requestCase{
		"sampling":          good(with(`"system":"s","top_p":0.5,"top_k":40,"stop":["END","\n"],"seed":-7`)),
		"tools":             good(with(`"tools":[` + tool + `],"tool_choice":"get_weather"`)),
		"a choice required": good(with(`"tools":[{"name":"a"}],"tool_choice":"required"`)),
		"a tool's turn":     good(conversation(`{"role":"assistant","tool_calls":[{"id":"c1","name":"get_weather","arguments":"{\"city\":null}"}]},{"role":"tool","tool_call_id":"c1","content":"12 C"}`)),
		"a form":            good(with(`"response_format":{"type":"json_schema","name":"out","schema":{"type":"object","properties":{"a":{"default":null}}}}`)),
		"any JSON":          good(with(`"response_format":{"type":"json_object"}`)),
		"an image":          good(`{"messages":[{"role":"user","content":"what?","images":[{"media_type":"image/png","data":"` + onePixel + `"},{"url":"https://x.example/a.png"}]}],"audit_reason":"t"}`),
		"an image alone":    good(`{"messages":[{"role":"user","images":[{"url":"https://x.example/a.png"}]}],"audit_reason":"t"}`),
		"vectors":           good(`{"input":["a","b"],"dimensions":256,"model":"m","audit_reason":"t"}`),
		"the cache":         good(with(`"cache":{"no_cache":true,"no_store":true,"max_age":60.5,"refresh":true}`)),

		"top_p of 0":             bad(with(`"top_p":0`), "top_p"),
		"top_k of 0":             bad(with(`"top_k":0`), "top_k"),
		"an empty stop":          bad(with(`"stop":[""]`), "stop[0]"),
		"too many stops":         bad(with(`"stop":[`+strings.TrimSuffix(strings.Repeat(`"a",`, messages.MaxStops+1), ",")+`]`), "stop"),
		"a tool's bad name":      bad(with(`"tools":[{"name":"a b"}]`), "tools[0].name"),
		"a tool of no name":      bad(with(`"tools":[{}]`), "tools[0].name"),
		"a choice of nothing":    bad(with(`"tool_choice":"auto"`), "tools"),
		"an unknown form":        bad(with(`"response_format":{"type":"xml"}`), "response_format.type"),
		"a form of no name":      differ(with(`"response_format":{"type":"json_schema","schema":{}}`), "response_format.name", "a schema of this draft would need a condition"),
		"a recursive form":       good(with(form(`{"$ref":"#/$defs/a","$defs":{"a":{"type":["object","null"],"properties":{"b":{"$ref":"#/$defs/a"},"c":true},"additionalProperties":false}}}`))),
		"a form, unknown type":   differ(with(form(`{"type":"object","properties":{"a":{"type":"text"}}}`)), "response_format.schema.properties.a.type", aSchema),
		"a form, type of none":   differ(with(form(`{"type":[]}`)), "response_format.schema.type", aSchema),
		"a form, type a number":  differ(with(form(`{"anyOf":[{},{"type":5}]}`)), "response_format.schema.anyOf[1].type", aSchema),
		"a form elsewhere":       differ(with(form(`{"items":{"$ref":"https://x.example/s.json"}}`)), "response_format.schema.items.$ref", aSchema),
		"a form, no properties":  differ(with(form(`{"properties":["a"]}`)), "response_format.schema.properties", aSchema),
		"a form, a strange name": differ(with(form(`{"properties":{"a b\u001b":{"required":"x"}}}`)), "response_format.schema.properties.*.required", aSchema),
		"a form, no value":       differ(with(form(`{"enum":[]}`)), "response_format.schema.enum", aSchema),
		"a form, no array":       differ(with(form(`{"not":{"oneOf":{}}}`)), "response_format.schema.not.oneOf", aSchema),
		"a form without end":     differ(with(form(strings.Repeat(`{"items":`, 40)+`{}`+strings.Repeat(`}`, 40))), "response_format.schema"+strings.Repeat(".items", 32), aSchema),
		"a form of too much":     differ(with(form(`{"anyOf":[`+strings.Repeat(`{},`, 2000)+`{}]}`)), "response_format.schema.anyOf[1999]", aSchema),
		"a form, no schema":      differ(with(`"response_format":{"type":"json_schema","name":"a"}`), "response_format.schema", "a schema of this draft would need a condition"),
		"a negative age":         bad(with(`"cache":{"max_age":-1}`), "cache.max_age"),
		"a choice of none":       differ(with(`"tools":[{"name":"a"}],"tool_choice":"b"`), "tool_choice", "a schema compares no fields"),
		"tools twice":            differ(with(`"tools":[{"name":"a"},{"name":"a"}]`), "tools[1].name", "a schema compares no fields"),
		"parameters, a list":     differ(with(`"tools":[{"name":"a","parameters":[]}]`), "tools[0].parameters", "what is of any form has no type"),
		"an assistant's image":   differ(conversation(`{"role":"assistant","images":[{"url":"https://x.example/a"}]}`), "messages[1].images", "a schema compares no fields"),
		"a user's tool call":     differ(conversation(`{"role":"user","tool_calls":[{"id":"c","name":"a","arguments":"{}"}]}`), "messages[1].tool_calls", "a schema compares no fields"),
		"a result of nothing":    differ(conversation(`{"role":"tool","content":"x"}`), "messages[1].tool_call_id", "a schema compares no fields"),
		"arguments, no JSON":     differ(conversation(`{"role":"assistant","tool_calls":[{"id":"c","name":"a","arguments":"{"}]}`), "messages[1].tool_calls[0].arguments", "a schema does not read texts"),
		"an image of text":       bad(conversation(`{"role":"user","images":[{"media_type":"text/plain","data":"YQ=="}]}`), "messages[1].images[0].media_type"),
		"no base64":              differ(conversation(`{"role":"user","images":[{"media_type":"image/png","data":"a b"}]}`), "messages[1].images[0].data", "a schema does not decode"),
		"an image over http":     bad(conversation(`{"role":"user","images":[{"url":"http://x.example/a"}]}`), "messages[1].images[0].url"),
		"credentials in a url":   differ(conversation(`{"role":"user","images":[{"url":"https://a:b@x.example/a"}]}`), "messages[1].images[0].url", "a schema reads no URLs"),
		"a prompt and vectors":   bad(with(`"input":["a"]`), "prompt"),
		"an empty text":          bad(`{"input":[""],"audit_reason":"t"}`, "input[0]"),
		"dimensions alone":       bad(with(`"dimensions":8`), "input"),
		"sampled vectors":        differ(`{"input":["a"],"temperature":0,"audit_reason":"t"}`, "temperature", "a schema of this draft would need a condition"),
		"a system alone":         differ(`{"trigger":"[X]","system":"s","audit_reason":"t"}`, "prompt", "a schema of this draft would need a condition"),
		"null for a tool":        bad(with(`"tools":[null]`), "tools[0]"),
	}
}

func TestQuestionKeepsItsPlacesWhenTextsChange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringN(0, 8, -1)
		q := messages.Question{Input: rapid.SliceOfN(text, 0, 3).Draw(t, "input")}
		for range rapid.IntRange(0, 3).Draw(t, "messages") {
			q.Messages = append(q.Messages, messages.Message{
				Role: "user", Content: text.Draw(t, "content"),
				Images: []messages.Image{{URL: text.Draw(t, "url")}}, ToolCalls: []messages.ToolCall{{Arguments: `{"a":1}`}},
			})
		}
		if rapid.Bool().Draw(t, "tools") {
			q.Tools = []messages.Tool{{Name: "a", Description: text.Draw(t, "description"), Parameters: json.RawMessage(`{"b":2}`)}}
			q.Format = &messages.ResponseFormat{Type: messages.FormatJSONSchema, Schema: json.RawMessage(`{"c":3}`)}
		}
		before := q.Texts()
		same, whole := q.With(before)
		if !whole || !slices.Equal(same.Texts(), before) {
			t.Fatalf("%v became %v", before, same.Texts())
		}
		other := make([]string, len(before))
		for i := range other {
			other[i] = `"` + strings.Repeat("x", i) + `"` // JSON too
		}
		changed, whole := q.With(other)
		if !whole || !slices.Equal(changed.Texts(), other) || !slices.Equal(q.Texts(), before) {
			t.Fatalf("%v became %v, and what it came from %v", other, changed.Texts(), q.Texts())
		}
	})
}

func TestTextsThatHaveToBeJSONAreNotBroken(t *testing.T) {
	q := messages.Question{Tools: []messages.Tool{{Name: "a", Parameters: json.RawMessage(`{"default":4111111111111111}`)}}}
	if _, whole := q.With([]string{"", `{"default":[CREDIT_CARD_1]}`}); whole {
		t.Error("broken JSON is called whole")
	}
}
