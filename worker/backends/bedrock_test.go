package backends

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"flowgate/messages"
	"flowgate/pipelines/ai"
	"flowgate/worker"
	"flowgate/worker/provider"
	"flowgate/worker/sessions"
	"flowgate/worker/workertest"
)

var _ worker.Backend = (*Bedrock)(nil)

// pretended runs a provider that ends with the test.
func pretended(t *testing.T, o provider.Options) *provider.Server {
	t.Helper()
	o.Listen = "127.0.0.1:0"
	s, err := provider.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s
}

const (
	claudeOnBedrock = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
	titan           = "amazon.titan-embed-text-v2:0"
	cohere          = "cohere.embed-english-v3"
)

// environment is one with the credentials that a provider takes by default, and changes to it.
func environment(t *testing.T, change ...string) func(string) (string, bool) {
	t.Helper()
	key := provider.DefaultAWS()[0]
	env := map[string]string{
		"AWS_EC2_METADATA_DISABLED": "true", "HOME": t.TempDir(), "AWS_ACCESS_KEY_ID": key.ID, "AWS_SECRET_ACCESS_KEY": key.Secret,
	}
	for i := 0; i < len(change); i += 2 {
		env[change[i]] = change[i+1]
	}
	return func(name string) (string, bool) {
		value, found := env[name]
		return value, found
	}
}

// bedrockAt is a backend with a session of its own; change may change its options.
func bedrockAt(t *testing.T, endpoint string, env func(string) (string, bool), change ...func(*BedrockOptions)) *Bedrock {
	t.Helper()
	region, _ := env("AWS_REGION")
	session, err := sessions.New(sessions.Options{Env: env, Bedrock: sessions.BedrockOptions{Region: cmp.Or(region, "us-east-1"), Endpoint: endpoint}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(session.Close)
	options := BedrockOptions{Session: session.Bedrock}
	for _, c := range change {
		c(&options)
	}
	b, err := NewBedrock(options)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// onBedrock is a call for a model of Bedrock.
func onBedrock(id string) ai.Call {
	call := workertest.NewCall(id)
	call.Model = claudeOnBedrock
	return call
}

func TestConverseSendsTheCallAsItIs(t *testing.T) {
	s := pretended(t, provider.Options{})
	call := onBedrock("as-it-is")
	call.Epoch, call.Attempt, call.Temperature = 2, 3, 0
	p, k := 0.25, 7
	call.TopP, call.TopK, call.Stop, call.MaxTokens = &p, &k, []string{"END"}, 77
	schema := `{"type":"object","properties":{"city":{"type":"string"},"most":{"type":"integer","maximum":9007199254740993}},"required":["city"]}`
	call.Tools = []messages.Tool{{Name: "weather", Description: "d", Parameters: json.RawMessage(schema)}, {Name: "bare"}}
	call.ToolChoice = "weather"
	odd := "call from elsewhere/" + strings.Repeat("x", 60)
	call.Messages = []messages.Message{
		{Role: "system", Content: "s"},
		{Role: "developer", Content: "d"},
		{Role: "user", Content: "u <&> \u2028", Images: []messages.Image{{MediaType: "image/png", Data: pixel}}},
		{Role: "user", Content: "again"},
		{Role: "assistant", Content: "a", ToolCalls: []messages.ToolCall{{ID: odd, Name: "weather", Arguments: `{"most": 9007199254740993, "city":"Oslo"}`}, {ID: "c2", Name: "bare", Arguments: "{}"}}},
		{Role: messages.RoleTool, ToolCallID: odd, Content: "rain"},
		{Role: messages.RoleTool, ToolCallID: "c2"},
		{Role: "user", Content: "so?"},
		{Role: "system", Content: "late"},
	}
	b := bedrockAt(t, s.Root(), environment(t), func(o *BedrockOptions) {
		o.GuardrailID, o.GuardrailVersion, o.ServiceTier = "abc123", "DRAFT", "flex"
	})
	got, err := b.Call(t.Context(), call)
	if err != nil {
		t.Fatal(err)
	}
	seen := s.Seen("acme/as-it-is/2/3")
	if len(seen) != 1 || seen[0].Answered != provider.Success || got.Usage.ServiceTier != "flex" {
		t.Fatalf("%+v %+v", seen, got)
	}
	same(t, seen[0].Body, `{
		"system": [{"text":"s"},{"text":"d"},{"text":"late"}],
		"messages": [
			{"role":"user","content":[{"image":{"format":"png","source":{"bytes":"`+pixel+`"}}},{"text":"u <&> \u2028"},{"text":"again"}]},
			{"role":"assistant","content":[{"text":"a"},
				{"toolUse":{"toolUseId":"`+toolUseID(odd)+`","name":"weather","input":{"most":9007199254740993,"city":"Oslo"}}},
				{"toolUse":{"toolUseId":"c2","name":"bare","input":{}}}]},
			{"role":"user","content":[{"toolResult":{"toolUseId":"`+toolUseID(odd)+`","content":[{"text":"rain"}]}},{"toolResult":{"toolUseId":"c2","content":[]}},{"text":"so?"}]}
		],
		"inferenceConfig": {"maxTokens":77,"temperature":0,"topP":0.25,"stopSequences":["END"]},
		"additionalModelRequestFields": {"top_k":7},
		"toolConfig": {"tools":[
			{"toolSpec":{"name":"weather","description":"d","inputSchema":{"json":`+schema+`}}},
			{"toolSpec":{"name":"bare","inputSchema":{"json":{"type":"object","properties":{}}}}}],
			"toolChoice":{"tool":{"name":"weather"}}},
		"guardrailConfig": {"guardrailIdentifier":"abc123","guardrailVersion":"DRAFT"},
		"serviceTier": {"type":"flex"},
		"requestMetadata": {"flowgate-request":"acme/as-it-is/2/3"}
	}`)
}

// pixel is a PNG of one pixel.
const pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+M8AAAMBAQDJ/pLvAAAAAElFTkSuQmCC"

// same compares JSON documents, numbers as they are written.
func same(t *testing.T, got []byte, want string) {
	t.Helper()
	plain := func(text string) string {
		decoder := json.NewDecoder(strings.NewReader(text))
		decoder.UseNumber()
		var v any
		if err := decoder.Decode(&v); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		sorted, err := json.MarshalIndent(v, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		return string(sorted)
	}
	if g, w := plain(string(got)), plain(want); g != w {
		t.Errorf("got %s\nwant %s", g, w)
	}
}

func TestBedrockLeavesOutWhatNobodyAskedFor(t *testing.T) {
	for _, test := range []struct {
		model       string
		asked, topP bool
		temperature string
		additional  string
		topK        bool
	}{
		{model: claudeOnBedrock, temperature: "0.7"},
		{model: claudeOnBedrock, topP: true},
		{model: claudeOnBedrock, topP: true, asked: true, temperature: "0.7"},
		{model: "global.anthropic.claude-opus-5-5"},
		{model: "global.anthropic.claude-opus-5-5", asked: true, temperature: "0.7"},
		{model: "us.amazon.nova-2-lite-v1:0", temperature: "0.7", topK: true, additional: `{"inferenceConfig":{"topK":5}}`},
	} {
		s := pretended(t, provider.Options{})
		call := onBedrock("left-out")
		call.Model, call.DefaultTemperature = test.model, !test.asked
		if test.topP {
			p := 0.5
			call.TopP = &p
		}
		if test.topK {
			k := 5
			call.TopK = &k
		}
		if _, err := bedrockAt(t, s.Root(), environment(t)).Call(t.Context(), call); err != nil {
			t.Fatal(err)
		}
		var body struct {
			InferenceConfig struct{ Temperature json.RawMessage }
			Additional      json.RawMessage `json:"additionalModelRequestFields"`
		}
		if err := json.Unmarshal(s.Calls()[0].Body, &body); err != nil {
			t.Fatal(err)
		}
		if got := string(body.InferenceConfig.Temperature); got != test.temperature || string(body.Additional) != test.additional {
			t.Errorf("%+v: temperature %q, additional %s", test, got, body.Additional)
		}
	}
}

func TestBedrockRefusesByName(t *testing.T) {
	user := messages.Message{Role: "user", Content: "u"}
	calling := messages.Message{Role: "assistant", ToolCalls: []messages.ToolCall{{ID: "c", Name: "f", Arguments: "{}"}}}
	tools := []messages.Tool{{Name: "f"}}
	seed, k := int64(1), 3
	schema := &messages.ResponseFormat{Type: messages.FormatJSONSchema, Name: "n", Schema: json.RawMessage(`{"type":"object"}`)}
	for field, spoil := range map[string]func(*ai.Call){
		"seed":        func(c *ai.Call) { c.Seed = &seed },
		"top_k":       func(c *ai.Call) { c.Model, c.TopK = "us.meta.llama4-scout-17b-instruct-v1:0", &k },
		"temperature": func(c *ai.Call) { c.Temperature = 1.5 },
		"top_p": func(c *ai.Call) {
			p := 0.5
			c.Model, c.DefaultTemperature, c.TopP = "global.anthropic.claude-opus-4-8", true, &p
		},
		"images with a url":           func(c *ai.Call) { c.Messages[1].Images = []messages.Image{{URL: "https://h.example/i.png"}} },
		"messages with a name":        func(c *ai.Call) { c.Messages[1].Name = "n" },
		"response_format json_object": func(c *ai.Call) { c.Format = &messages.ResponseFormat{Type: messages.FormatJSONObject} },
		"response_format json_schema": func(c *ai.Call) { c.Model, c.Format = "anthropic.claude-3-haiku-20240307-v1:0", schema },
		"messages":                    func(c *ai.Call) { c.Messages = []messages.Message{{Role: "assistant", Content: "a"}, user} },
		"messages[0].content":         func(c *ai.Call) { c.Messages = []messages.Message{{Role: "user", Content: " \n"}} },
		"messages[1].tool_calls[0].arguments": func(c *ai.Call) {
			other := calling
			other.ToolCalls = []messages.ToolCall{{ID: "c", Name: "f", Arguments: "[1]"}}
			c.Messages, c.Tools = []messages.Message{user, other}, tools
		},
		"tool_choice": func(c *ai.Call) {
			c.Messages, c.Tools, c.ToolChoice = []messages.Message{user, calling}, tools, messages.ToolChoiceNone
		},
		"tools":      func(c *ai.Call) { c.Messages = []messages.Message{user, calling} },
		"input":      func(c *ai.Call) { *c = embed(titan, "a", "b") },
		"dimensions": func(c *ai.Call) { *c = embed(cohere, "a"); c.Dimensions = 256 },
	} {
		call := onBedrock("by-name")
		call.Messages = slices.Clone(call.Messages)
		spoil(&call)
		fault := bedrockAt(t, "http://127.0.0.1:1", environment(t)).Check(&call)
		if fault == nil || fault.Class != ai.ClassInvalid || !fault.Elsewhere || !strings.HasPrefix(fault.Detail, field+": ") {
			t.Errorf("%s: %+v", field, fault)
		}
	}
	call := embed("amazon.nova-pro-v1:0", "a")
	if fault := bedrockAt(t, "http://127.0.0.1:1", environment(t)).Check(&call); fault == nil || !strings.HasPrefix(fault.Detail, "input: ") {
		t.Errorf("%+v", fault)
	}
	call = onBedrock("none")
	call.Tools, call.ToolChoice = tools, messages.ToolChoiceNone
	input, fault := bedrockAt(t, "http://127.0.0.1:1", environment(t)).converse(&call)
	if fault != nil || input.ToolConfig != nil {
		t.Errorf("tools that may not be called are sent: %v", fault)
	}
}

// embed is a call for vectors.
func embed(model string, texts ...string) ai.Call {
	call := workertest.NewCall("embed")
	call.Kind, call.Model, call.MaxTokens, call.Messages, call.Input = messages.KindEmbedding, model, 0, nil, texts
	return call
}

func TestBedrockEmbeds(t *testing.T) {
	s := pretended(t, provider.Options{})
	b := bedrockAt(t, s.Root(), environment(t))
	for _, test := range []struct {
		model      string
		texts      []string
		dimensions int
		want       string
	}{
		{titan, []string{"one <text>"}, 256, `{"inputText":"one <text>","dimensions":256}`},
		{"amazon.titan-embed-text-v1", []string{"one"}, 0, `{"inputText":"one"}`},
		{cohere, []string{"one", "two", "three"}, 0, `{"texts":["one","two","three"],"input_type":"search_document","truncate":"NONE"}`},
		{"us.cohere.embed-v4:0", []string{"one"}, 1536, `{"texts":["one"],"input_type":"search_document","truncate":"NONE","output_dimension":1536}`},
	} {
		s.Reset()
		call := embed(test.model, test.texts...)
		call.Dimensions = test.dimensions
		got, err := b.Call(t.Context(), call)
		if err != nil {
			t.Fatalf("%s: %v", test.model, err)
		}
		if len(got.Embeddings) != len(test.texts) || test.dimensions > 0 && len(got.Embeddings[0]) != test.dimensions || got.UsageUnknown || got.ProviderRequestID == "" {
			t.Errorf("%s: %d vectors, %+v", test.model, len(got.Embeddings), got.Usage)
		}
		seen := s.Seen("acme/embed/0/1")
		if len(seen) != 1 || got.Usage.Input() != provider.InputTokens(seen[0].PromptBytes, 0) || got.Usage.Output != 0 {
			t.Fatalf("%s: %+v %+v", test.model, seen, got.Usage)
		}
		same(t, seen[0].Body, test.want)
	}
}

func TestVectorsThatAreNotThoseOfTheTextsAreInDoubt(t *testing.T) {
	for model, bodies := range map[string][]string{
		titan:  {`{}`, `{"embedding":[]}`, `{"embedding":["x"]}`, `{"embedding":[1e999]}`, ``, `<html>`},
		cohere: {`{}`, `{"embeddings":[[1]]}`, `{"embeddings":[[1],[]]}`, `{"embeddings":[[1,2],[3]]}`, `{"embeddings":[[1],[2],[3]]}`, `{"embeddings":{"float":[[1]]}}`, `{"embeddings":{"int8":[[1],[2]]}}`, `[]`},
	} {
		for _, body := range bodies {
			s := pretended(t, provider.Options{Script: func(provider.Ask) provider.Reply { return provider.Reply{Outcome: provider.Raw, Body: body} }})
			call := embed(model, "a")
			if model == cohere {
				call.Input = append(call.Input, "b")
			}
			_, err := bedrockAt(t, s.Root(), environment(t)).Call(t.Context(), call)
			if fault := faultOf(t, err); fault.Class != ai.ClassInDoubt {
				t.Errorf("%s %s: %+v", model, body, fault)
			}
		}
	}
	s := pretended(t, provider.Options{Script: func(provider.Ask) provider.Reply {
		return provider.Reply{Outcome: provider.Raw, Body: `{"embeddings":{"float":[[1,2]]}}`}
	}})
	got, err := bedrockAt(t, s.Root(), environment(t)).Call(t.Context(), embed(cohere, "a"))
	if err != nil || len(got.Embeddings) != 1 || !got.UsageUnknown {
		t.Errorf("%+v %v", got, err)
	}
}

func faultOf(t *testing.T, err error) *ai.Fault {
	t.Helper()
	fault, ok := err.(*ai.Fault) //nolint:errorlint // a backend returns nothing else
	if !ok || fault == nil {
		t.Fatalf("error is %T (%v), want *ai.Fault", err, err)
	}
	return fault
}

func TestBedrockReadsAnswers(t *testing.T) {
	for _, test := range []struct {
		name, body string
		want       ai.Answer
	}{
		{
			"blocks of all kinds",
			`{"output":{"message":{"role":"assistant","content":[{"reasoningContent":{"reasoningText":{"text":"hm"}}},{"text":"a"},{"citationsContent":{"content":[{"text":"b"}]}},
			 {"future":{"x":1}},{"toolUse":{"toolUseId":"t1","name":"f","input":{"n": 9007199254740993 }}}]}},"stopReason":"tool_use","usage":{"inputTokens":3,"outputTokens":4,"totalTokens":7}}`,
			ai.Answer{Text: "ab", FinishReason: "tool_use", ToolCalls: []messages.ToolCall{{ID: "t1", Name: "f", Arguments: `{"n":9007199254740993}`}}},
		},
		{
			"arguments that are no JSON",
			`{"output":{"message":{"content":[{"toolUse":{"toolUseId":"t1","name":"f","input":"{\"city\": \"Pa"}}]}},"stopReason":"malformed_tool_use","usage":{"inputTokens":3,"outputTokens":4,"totalTokens":7}}`,
			ai.Answer{FinishReason: "malformed_tool_use", ToolCalls: []messages.ToolCall{{ID: "t1", Name: "f", Arguments: `{"city": "Pa`}}},
		},
		{
			"a guardrail on the answer",
			`{"output":{"message":{"content":[{"text":"no"}]}},"stopReason":"guardrail_intervened","usage":{"inputTokens":3,"outputTokens":4,"totalTokens":7}}`,
			ai.Answer{Text: "no", FinishReason: "guardrail_intervened", Refused: true},
		},
		{
			"a filter", `{"output":{"message":{"content":[]}},"stopReason":"content_filtered","usage":{"inputTokens":3,"outputTokens":4,"totalTokens":7}}`,
			ai.Answer{FinishReason: "content_filtered", Refused: true},
		},
		{
			"a full window", `{"output":{"message":{"content":[{"text":"a"}]}},"stopReason":"model_context_window_exceeded","usage":{"inputTokens":3,"outputTokens":4,"totalTokens":7}}`,
			ai.Answer{Text: "a", FinishReason: "model_context_window_exceeded"},
		},
	} {
		s := pretended(t, provider.Options{Script: func(provider.Ask) provider.Reply {
			return provider.Reply{Outcome: provider.Raw, Body: test.body, Header: http.Header{"X-Amzn-Requestid": {"req-1"}}}
		}})
		got, err := bedrockAt(t, s.Root(), environment(t)).Call(t.Context(), onBedrock("reads"))
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		test.want.Model, test.want.ProviderRequestID, test.want.Usage = claudeOnBedrock, "req-1", messages.Usage{InputUncached: 3, Output: 4}
		if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", test.want) {
			t.Errorf("%s:\n got %+v\nwant %+v", test.name, got, test.want)
		}
	}
}

// TestGuardrailBeforeTheModelCostsNothing has one that refuses the question: Bedrock counts zero tokens.
func TestGuardrailBeforeTheModelCostsNothing(t *testing.T) {
	zero := provider.Options{Script: func(a provider.Ask) provider.Reply {
		if a.Attempt == 1 {
			return provider.Reply{Outcome: provider.Guardrail, Usage: &provider.Usage{}}
		}
		return provider.Reply{Outcome: provider.Guardrail, Usage: &provider.Usage{Input: 5, Output: 6}}
	}}
	b := bedrockAt(t, pretended(t, zero).Root(), environment(t))
	call := onBedrock("guardrail")
	if got, err := b.Call(t.Context(), call); err != nil || !got.Refused || got.UsageUnknown || got.Usage.Input()+got.Usage.Output != 0 {
		t.Errorf("%+v %v", got, err)
	}
	call.Attempt = 2
	if got, err := b.Call(t.Context(), call); err != nil || !got.Refused || got.UsageUnknown || got.Usage.Input() != 5 {
		t.Errorf("%+v %v", got, err)
	}
}

func TestModelsOfBedrockTellTheirVendor(t *testing.T) {
	for model, want := range map[string]string{
		"anthropic.claude-3-haiku-20240307-v1:0":                                              "anthropic",
		"us.anthropic.claude-haiku-4-5-20251001-v1:0":                                         "anthropic",
		"us-gov.meta.llama3-3-70b-instruct-v1:0":                                              "meta",
		"arn:aws:bedrock:us-west-2::foundation-model/anthropic.claude-v2":                     "anthropic",
		"arn:aws:bedrock:eu-central-1:123456789012:inference-profile/eu.amazon.nova-pro-v1:0": "amazon",
		"arn:aws:bedrock:us-west-2:123456789012:application-inference-profile/a1b2c3":         "",
		"arn:broken": "",
		"test-model": "",
	} {
		if got := readBedrockModel(model).family(); got != want {
			t.Errorf("%s: %q, want %q", model, got, want)
		}
	}
}

func TestBedrockOptionsAreValidated(t *testing.T) {
	session := func(context.Context) (*sessions.Bedrock, error) { return nil, nil }
	wrong := BedrockOptions{GuardrailID: "UPPER", GuardrailVersion: "1", ServiceTier: "cheap", EmbeddingInput: "x", Timeout: -1, MaxResponseBytes: -1}
	_, err := NewBedrock(wrong)
	for _, field := range []string{"session", "guardrail_id", "service_tier", "embedding_input", "timeout", "max_response_bytes"} {
		if err == nil || !strings.Contains(err.Error(), "bedrock backend: "+field+": ") {
			t.Errorf("%s is not named: %v", field, err)
		}
	}
	for _, o := range []BedrockOptions{
		{Session: session, GuardrailID: "abc"},
		{Session: session, GuardrailID: "abc", GuardrailVersion: "0"},
	} {
		if o.Validate() == nil {
			t.Errorf("%+v is taken", o)
		}
	}
	for _, o := range []BedrockOptions{
		{Session: session},
		{Session: session, GuardrailID: "arn:aws:bedrock:us-east-1:123456789012:guardrail/abc123", GuardrailVersion: "DRAFT", ServiceTier: "reserved"},
		{Session: session, GuardrailID: "abc123", GuardrailVersion: "12", EmbeddingInput: InputQuery},
	} {
		if err := o.Validate(); err != nil {
			t.Error(err)
		}
	}
}
