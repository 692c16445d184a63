package batch_test

import (
	"errors"
	"testing"

	"flowgate/messages"
	"flowgate/worker/batch"
)

const (
	user  = `"messages":[{"role":"user","content":"x"}]`
	tools = `"tools":[{"type":"function","function":{"name":"find","description":"finds","parameters":{"type":"object"},"strict":false}}]`
	asked = `{"role":"user","content":"x"}`
)

// chat is a line with a body beside the model; embed one that asks for vectors.
func chat(body string) string {
	return `{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{"model":"m",` + body + `}}`
}

func embed(body string) string {
	return `{"custom_id":"a","method":"POST","url":"/v1/embeddings","body":{"model":"m",` + body + `}}`
}

// conversions are bodies of chat completions and what becomes of them.
var conversions = []struct{ name, body, want string }{
	{
		"sampling", user + `,"top_p":0.5,"seed":7,"stop":"END","temperature":0`,
		`{"messages":[{"role":"user","content":"x"}],"model":"m","seed":7,"stop":["END"],"temperature":0,"top_p":0.5}`,
	},
	{"several stops", user + `,"stop":["a","b"]`, `{"messages":[{"role":"user","content":"x"}],"model":"m","stop":["a","b"]}`},
	{
		"nulls", user + `,"stop":null,"top_p":null,"seed":null,"tools":null,"tool_choice":null,"response_format":null`,
		`{"messages":[{"role":"user","content":"x"}],"model":"m"}`,
	},
	{"no tools", user + `,"tools":[]`, `{"messages":[{"role":"user","content":"x"}],"model":"m"}`},
	{
		"tools", user + "," + tools + `,"tool_choice":"required"`,
		`{"messages":[{"role":"user","content":"x"}],"model":"m","tool_choice":"required","tools":[{"name":"find","description":"finds","parameters":{"type":"object"}}]}`,
	},
	{
		"one tool", user + "," + tools + `,"tool_choice":{"type":"function","function":{"name":"find"}}`,
		`{"messages":[{"role":"user","content":"x"}],"model":"m","tool_choice":"find","tools":[{"name":"find","description":"finds","parameters":{"type":"object"}}]}`,
	},
	{
		"JSON", user + `,"response_format":{"type":"json_object"}`,
		`{"messages":[{"role":"user","content":"x"}],"model":"m","response_format":{"type":"json_object"}}`,
	},
	{
		"a schema", user + `,"response_format":{"type":"json_schema","json_schema":{"name":"s","strict":true,"schema":{"type":"object"}}}`,
		`{"messages":[{"role":"user","content":"x"}],"model":"m","response_format":{"type":"json_schema","name":"s","schema":{"type":"object"}}}`,
	},
	{
		"images", `"messages":[{"role":"user","content":[{"type":"text","text":"what"},{"type":"image_url","image_url":{"url":"data:image/png;base64,iVBORw0=","detail":"auto"}},` +
			`{"type":"image_url","image_url":{"url":"https://example.com/a.png"}},{"type":"text","text":" is it"}]}]`,
		`{"messages":[{"role":"user","content":"what is it","images":[{"media_type":"image/png","data":"iVBORw0="},{"url":"https://example.com/a.png"}]}],"model":"m"}`,
	},
	{
		"a conversation with tools", `"messages":[{"role":"system","content":"s"},` + asked +
			`,{"role":"assistant","content":null,"refusal":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"find","arguments":"{}"}}]},` +
			`{"role":"tool","tool_call_id":"c1","content":"found"}],` + tools,
		`{"messages":[{"role":"system","content":"s"},{"role":"user","content":"x"},{"role":"assistant","tool_calls":[{"id":"c1","name":"find","arguments":"{}"}]},` +
			`{"role":"tool","content":"found","tool_call_id":"c1"}],"model":"m","tools":[{"name":"find","description":"finds","parameters":{"type":"object"}}]}`,
	},
}

func TestABodyBecomesARequest(t *testing.T) {
	for _, c := range conversions {
		if p, err := batch.Parse([]byte(chat(c.body)), tenant); err != nil || string(p.Document) != c.want {
			t.Errorf("%s: the document is\n%s (%v), want\n%s", c.name, p.Document, err, c.want)
		}
	}
	for _, c := range []struct{ name, body, want string }{
		{"one text", `"input":"x"`, `{"input":["x"],"model":"m"}`},
		{"texts", `"input":["x","y"],"dimensions":3,"encoding_format":"float","metadata":{"audit_reason":"r"}`, `{"audit_reason":"r","dimensions":3,"input":["x","y"],"model":"m"}`},
	} {
		if p, err := batch.Parse([]byte(embed(c.body)), tenant); err != nil || string(p.Document) != c.want {
			t.Errorf("%s: the document is\n%s (%v), want\n%s", c.name, p.Document, err, c.want)
		}
	}
}

// unconvertible are bodies of chat completions that a request has no room for, and the field that is named.
var unconvertible = []struct{ name, body, field string }{
	{"stop", user + `,"stop":1`, "stop"},
	{"an empty stop", user + `,"stop":""`, "stop[0]"},
	{"a fraction as seed", user + `,"seed":1.5`, "seed"},
	{"parallel calls", user + "," + tools + `,"parallel_tool_calls":false`, "parallel_tool_calls"},
	{"tools that are none", user + `,"tools":{}`, "tools"},
	{"a tool of the provider", user + `,"tools":[{"type":"web_search"}]`, "tools[0].type"},
	{"a tool with more", user + `,"tools":[{"type":"function","function":{"name":"a"},"cache":1}]`, "tools[0].cache"},
	{"a function with more", user + `,"tools":[{"type":"function","function":{"name":"a","cache":1}}]`, "tools[0].function.cache"},
	{"a function without name", user + `,"tools":[{"type":"function","function":{"name":"a b"}}]`, "tools[0].function.name"},
	{"a strict function", user + `,"tools":[{"type":"function","function":{"name":"a","strict":true}}]`, "tools[0].function.strict"},
	{"a tool twice", user + `,"tools":[{"type":"function","function":{"name":"a"}},{"type":"function","function":{"name":"a"}}]`, "tools[1].function.name"},
	{"a choice without tools", user + `,"tool_choice":"auto"`, "tools"},
	{"an unknown choice", user + "," + tools + `,"tool_choice":"find"`, "tool_choice"},
	{"a choice of another tool", user + "," + tools + `,"tool_choice":{"type":"function","function":{"name":"lose"}}`, "tool_choice"},
	{"a choice called none", user + "," + tools + `,"tool_choice":{"type":"function","function":{"name":"none"}}`, "tool_choice.function.name"},
	{"an unknown form", user + `,"response_format":{"type":"xml"}`, "response_format.type"},
	{"a form with more", user + `,"response_format":{"type":"text","schema":{}}`, "response_format.schema"},
	{"a schema beside its place", user + `,"response_format":{"type":"json_schema","schema":{}}`, "response_format.schema"},
	{"no schema", user + `,"response_format":{"type":"json_schema","json_schema":{"name":"s"}}`, "response_format.json_schema.schema"},
	{"a description of a schema", user + `,"response_format":{"type":"json_schema","json_schema":{"name":"s","schema":{},"description":"d"}}`, "response_format.json_schema.description"},
	{"an image without https", `"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"http://example.com/a.png"}}]}]`, "messages[0].content"},
	{"an image of another kind", `"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/tiff;base64,AAAA"}}]}]`, "messages[0].content"},
	{"an image that is not base64", `"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png,AAAA"}}]}]`, "messages[0].content[0].image_url.url"},
	{"an image in detail", `"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://example.com/a","detail":"high"}}]}]`, "messages[0].content[0].image_url.detail"},
	{"an image of the system", `"messages":[{"role":"system","content":[{"type":"image_url","image_url":{"url":"https://example.com/a"}}]}]`, "messages[0].content[0].type"},
	{"text between images", `"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://example.com/a"}},{"type":"text","text":"and"},` +
		`{"type":"image_url","image_url":{"url":"https://example.com/b"}}]}]`, "messages[0].content[2]"},
	{"a refusal", `"messages":[` + asked + `,{"role":"assistant","content":"x","refusal":"no"}]`, "messages[1].refusal"},
	{"tool calls of a user", `"messages":[{"role":"user","content":"x","tool_calls":[{"id":"c","type":"function","function":{"name":"a","arguments":"{}"}}]}]`, "messages[0].tool_calls"},
	{"broken arguments", `"messages":[` + asked + `,{"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"a","arguments":"{"}}]}]`, "messages[1].tool_calls[0].function.arguments"},
	{"arguments that are no text", `"messages":[` + asked + `,{"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"a","arguments":{}}}]}]`, "messages[1].tool_calls[0].function.arguments"},
	{"a result of nothing", `"messages":[` + asked + `,{"role":"tool","content":"x"}]`, "messages[1].tool_call_id"},
}

func TestWhatARequestHasNoRoomForIsRefusedByName(t *testing.T) {
	check := func(name, line, field string) {
		t.Helper()
		_, err := batch.Parse([]byte(line), tenant)
		if fault, ok := errors.AsType[*messages.FieldError](err); !ok || fault.Field != field {
			t.Errorf("%s: the error is %v, want one about %s", name, err, field)
		}
	}
	for _, c := range unconvertible {
		check(c.name, chat(c.body), c.field)
	}
	check("tokens", embed(`"input":[1,2]`), "input[0]")
	check("no input", embed(`"dimensions":3`), "input")
	check("empty input", embed(`"input":[]`), "input")
	check("an empty text", embed(`"input":["a",""]`), "input[1]")
	check("base64", embed(`"input":"x","encoding_format":"base64"`), "encoding_format")
	check("sampling of vectors", embed(`"input":"x","temperature":1`), "temperature")
	check("dimensions of an answer", chat(user+`,"dimensions":3`), "dimensions")
}
