package backends

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"flowgate/messages"
	"flowgate/worker/provider"
	"flowgate/worker/workertest"
)

// recordHeaders is a server that refuses every call and notes the headers of the last.
func recordHeaders(t *testing.T, seen *http.Header) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*seen = r.Header.Clone()
		w.WriteHeader(http.StatusTeapot)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func TestOpenAIAutoAsksThroughTheAPIThatAModelHas(t *testing.T) {
	for model, responds := range map[string]bool{
		"gpt-4.1-mini": false, "gpt-5": false, "gpt-5.6-luna": false, "llama3.2": false, "gpt-5-chat-latest": false, "o3": false,
		"gpt-5-pro": true, "gpt-5.5-pro-2026-04-23": true, "gpt-5.1-codex-max": true, "o1-pro": true, "o4-mini-deep-research": true, "openai/gpt-5-codex": true,
	} {
		server := workertest.NewProvider(t)
		call := workertest.NewCall("auto")
		call.Model, call.DefaultTemperature = model, true
		if _, err := openAI(t, server.URL()).Call(t.Context(), call); err != nil {
			t.Fatalf("%s: %v", model, err)
		}
		body := bodyOf(t, server, call)
		if got := server.Seen("")[0].Protocol == provider.Responses; got != responds || got && body["store"] != false {
			t.Errorf("%s: asked through Responses: %v, store %v", model, got, body["store"])
		}
	}
	call := workertest.NewCall("pro")
	call.Model, call.DefaultTemperature, call.Seed = "gpt-5-pro", true, new(int64(1))
	if fault := openAI(t, "http://127.0.0.1/v1").Check(&call); fault == nil || !strings.HasPrefix(fault.Detail, "seed: the openai responses backend") {
		t.Errorf("a seed through Responses: %v", fault)
	}
}

func TestOpenAIModelsThatReasonAreAskedAsTheyWantIt(t *testing.T) {
	for _, test := range []struct {
		model    string
		asked    bool
		sent     bool
		refused  bool
		complete bool // max_completion_tokens
	}{
		{"gpt-4.1-mini", false, true, false, false},
		{"gpt-5-chat-latest", true, true, false, false},
		{"gpt-oss:20b", false, true, false, false},
		{"o3", false, false, false, true},
		{"o3", true, false, true, true},
		{"gpt-5-mini", true, false, true, true},
		{"gpt-5.2", false, false, false, true},
		{"gpt-5.2", true, true, false, true},
		{"gpt-6-luna", false, false, false, true},
	} {
		b := openAI(t, "http://127.0.0.1:8000/v1")
		call := workertest.NewCall("reasons")
		call.Model, call.DefaultTemperature = test.model, !test.asked
		fault := b.Check(&call)
		if (fault != nil) != test.refused || test.refused && !strings.HasPrefix(fault.Detail, "temperature:") {
			t.Errorf("%s, asked %v: %v", test.model, test.asked, fault)
		}
		params := b.chatParams(&call)
		if fault == nil && params.Temperature.Valid() != test.sent || params.MaxCompletionTokens.Valid() != test.complete || params.MaxTokens.Valid() == test.complete {
			t.Errorf("%s, asked %v: temperature %v, max_completion_tokens %v", test.model, test.asked, params.Temperature, params.MaxCompletionTokens)
		}
	}
	call := workertest.NewCall("top-p")
	call.Model, call.DefaultTemperature, call.TopP = "o3", true, new(0.5)
	if fault := openAI(t, "http://127.0.0.1/v1").Check(&call); fault == nil || !strings.HasPrefix(fault.Detail, "top_p:") {
		t.Errorf("top_p of a model that reasons: %v", fault)
	}
}

func TestOpenAISendsSchemasAsTheyAreAndHoldsToThoseThatItCan(t *testing.T) {
	const strict = `{"type":"object","properties":{"z":{"type":"string"},"a":{"anyOf":[{"type":"null"},{"type":"array","items":{"type":"number"}}]}},"required":["z","a"],"additionalProperties":false}`
	for schema, holds := range map[string]bool{
		strict: true,
		`{"type":"object","properties":{"z":{"type":"string"}},"additionalProperties":false}`:                                           false,
		`{"type":"object","properties":{"z":{"type":"string"}},"required":["z"]}`:                                                       false,
		`{"type":"object","properties":{"z":{"type":"object","properties":{"y":{}}}},"required":["z"],"additionalProperties":false}`:    false,
		`{"type":"object","properties":{"z":{"type":"array","items":{"type":"object"}}},"required":["z"],"additionalProperties":false}`: false,
		`{"type":"object","properties":{"z":{"oneOf":[{"type":"string"}]}},"required":["z"],"additionalProperties":false}`:              false,
		`{"type":"array","items":{"type":"string"}}`:                                                                                    false,
		`{"type":"object","properties":{},"$defs":{"d":{"type":"object"}},"required":[],"additionalProperties":false}`:                  false,
		`{"type":["object","null"],"properties":{"z":{"$ref":"#"}},"required":["z"],"additionalProperties":false}`:                      true,
	} {
		for _, api := range []OpenAIAPI{APIChat, APIResponses} {
			server := workertest.NewProvider(t)
			call := workertest.NewCall("schema")
			call.Format = &messages.ResponseFormat{Type: messages.FormatJSONSchema, Schema: json.RawMessage(schema)}
			server.Reply(call, provider.Reply{Outcome: provider.Success, Text: "{}"})
			if _, err := openAI(t, server.URL(), func(o *OpenAIOptions) { o.API = api }).Call(t.Context(), call); err != nil {
				t.Fatalf("%s: %v", schema, err)
			}
			body := string(server.Seen("")[0].Body)
			if !strings.Contains(body, schema) || strings.Contains(body, `"strict":true`) != holds || !strings.Contains(body, `"name":"answer"`) {
				t.Errorf("%s, want strict %v of %s: %s", api, holds, schema, body)
			}
		}
	}
}

func TestOpenAIVectorsThatAreNotThoseOfTheTextsAreInDoubt(t *testing.T) {
	const two = `[{"index":1,"embedding":[0.5,1]},{"index":0,"embedding":[2,3]}]`
	for data, good := range map[string]bool{
		two:                                 true,
		`[{"index":0,"embedding":[0.5,1]}]`: false,
		`[{"index":0,"embedding":[0.5,1]},{"index":0,"embedding":[0.5,1]}]`:                           false,
		`[{"index":0,"embedding":[0.5,1]},{"index":2,"embedding":[0.5,1]}]`:                           false,
		`[{"index":0,"embedding":[0.5,1]},{"index":1,"embedding":[0.5]}]`:                             false,
		`[{"index":0,"embedding":[]},{"index":1,"embedding":[0.5,1]}]`:                                false,
		`[{"index":0,"embedding":[1,1]},{"index":1,"embedding":[1,1]},{"index":1,"embedding":[1,1]}]`: false,
		`[]`: false,
		`[{"index":0,"embedding":[1e39,1]},{"index":1,"embedding":[1,1]}]`: false,
		`[{"index":0,"embedding":"AAAA"},{"index":1,"embedding":"AAAA"}]`:  false,
	} {
		server := workertest.NewProvider(t)
		call := workertest.NewCall("vectors")
		call.Kind, call.Messages, call.Input, call.Dimensions = messages.KindEmbedding, nil, []string{"a", "b"}, 2
		server.Reply(call, provider.Reply{Outcome: provider.Raw, Status: 200, Body: `{"object":"list","model":"m","data":` + data + `,"usage":{"prompt_tokens":2,"total_tokens":2}}`})
		got, err := openAI(t, server.URL()).Call(t.Context(), call)
		if good {
			if err != nil || got.Embeddings[0][1] != 3 || got.Embeddings[1][0] != 0.5 || got.Usage.InputUncached != 2 {
				t.Errorf("%+v, %v", got, err)
			}
			continue
		}
		if fault := faultFrom(t, openAI(t, server.URL()), call); fault.Class != "in_doubt" {
			t.Errorf("%s: %v, want in_doubt", data, fault)
		}
	}
}
