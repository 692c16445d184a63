package backends

import (
	"encoding/json"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"flowgate/messages"
	"flowgate/pipelines/ai"
	"flowgate/worker/provider"
	"flowgate/worker/workertest"
)

// claude is a backend for a test server; change may change its options.
func claude(t testing.TB, url string, change ...func(*AnthropicOptions)) *Anthropic {
	t.Helper()
	options := AnthropicOptions{APIKey: workertest.ProviderKey, BaseURL: url}
	for _, c := range change {
		c(&options)
	}
	b, err := NewAnthropic(options)
	if err != nil {
		t.Fatalf("NewAnthropic: %v", err)
	}
	t.Cleanup(b.Close)
	return b
}

// bodyOf is the document of the only call of a request.
func bodyOf(t *testing.T, server *workertest.Provider, call ai.Call) map[string]any {
	t.Helper()
	seen := server.Seen(call.String())
	if len(seen) != 1 {
		t.Fatalf("the provider saw %d calls, want 1", len(seen))
	}
	var body map[string]any
	if err := json.Unmarshal(seen[0].Body, &body); err != nil {
		t.Fatal(err)
	}
	return body
}

func TestAnthropicSendsTheCallAsItIs(t *testing.T) {
	for name, value := range map[string]string{
		"ANTHROPIC_API_KEY": "sk-stray", "ANTHROPIC_AUTH_TOKEN": "stray", "ANTHROPIC_BASE_URL": "http://stray.invalid", "ANTHROPIC_PROFILE": "stray",
		"ANTHROPIC_CUSTOM_HEADERS": "X-Stray: stray", "ANTHROPIC_OPEN_TELEMETRY_TRACES_CONTENT_MODE": "content",
	} {
		t.Setenv(name, value)
	}
	server := workertest.NewProvider(t)
	call := ai.Call{
		Key: messages.Key{Tenant: "acme", ID: "r-1"}, Epoch: 2, Attempt: 3, Model: "claude-haiku-4-5", Temperature: 0, MaxTokens: 77,
		Question: messages.Question{
			Messages: []messages.Message{
				{Role: "system", Content: "s"},
				{Role: "user", Content: "u <&> \u2028"},
				{Role: "developer", Content: "d"},
				{Role: "user", Content: "again"},
				{Role: "assistant", Content: "a", ToolCalls: []messages.ToolCall{{ID: "t1", Name: "clock", Arguments: `{"b":1,"a":2.50}`}}},
				{Role: messages.RoleTool, ToolCallID: "t1", Content: "noon"},
				{Role: "user", Content: "so?"},
			},
			Tools: []messages.Tool{{Name: "clock", Parameters: json.RawMessage(`{"type":"object","properties":{"b":{},"a":{}}}`)}, {Name: "bare"}},
		},
	}
	if _, err := claude(t, server.Root()).Call(t.Context(), call); err != nil {
		t.Fatal(err)
	}
	body := bodyOf(t, server, call)
	want := []string{"max_tokens", "messages", "metadata", "model", "system", "temperature", "tools"}
	if keys := slices.Sorted(maps.Keys(body)); !slices.Equal(keys, want) {
		t.Errorf("the body has %v, want %v", keys, want)
	}
	text := string(server.Seen(call.String())[0].Body)
	for _, part := range []string{
		`"temperature":0`, `"max_tokens":77`, `"user_id":"acme/r-1/2/3"`, `"system":[{"text":"s","type":"text"},{"text":"d","type":"text"}]`,
		`"input":{"b":1,"a":2.50}`, `"properties":{"b":{},"a":{}}`, `"input_schema":{"type":"object","properties":{}}`,
	} {
		if !strings.Contains(text, part) {
			t.Errorf("the body lacks %s: %s", part, text)
		}
	}
	var doc struct {
		Messages []struct {
			Role    string
			Content []struct{ Type string }
		}
	}
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	var turns []string
	for _, m := range doc.Messages {
		turn := m.Role
		for _, c := range m.Content {
			turn += " " + c.Type
		}
		turns = append(turns, turn)
	}
	if want := []string{"user text text", "assistant text tool_use", "user tool_result text"}; !slices.Equal(turns, want) {
		t.Errorf("turns are %q, want %q", turns, want)
	}
}

func TestAnthropicTakesKeyOrToken(t *testing.T) {
	var seen http.Header
	server := recordHeaders(t, &seen)
	_, _ = claude(t, server).Call(t.Context(), workertest.NewCall("key"))
	if seen.Get("X-Api-Key") != workertest.ProviderKey || seen.Get("Authorization") != "" || seen.Get("Anthropic-Version") != DefaultAnthropicVersion {
		t.Errorf("headers of a key are %v", seen)
	}
	b := claude(t, server, func(o *AnthropicOptions) { o.APIKey, o.AuthToken, o.Version = "", "tok", "2099-01-01" })
	_, _ = b.Call(t.Context(), workertest.NewCall("token"))
	if seen.Get("X-Api-Key") != "" || seen.Get("Authorization") != "Bearer tok" || !slices.Equal(seen.Values("Anthropic-Version"), []string{"2099-01-01"}) {
		t.Errorf("headers of a token are %v", seen)
	}
}

// TestAnthropicAsksForLongAnswersWithoutAStream would fail in the SDK, which wants a stream where no timeout is set.
func TestAnthropicAsksForLongAnswersWithoutAStream(t *testing.T) {
	server := workertest.NewProvider(t)
	call := workertest.NewCall("long")
	call.Model, call.MaxTokens = "claude-opus-4-5", 128_000
	if got, err := claude(t, server.Root()).Call(t.Context(), call); err != nil || got.Text == "" {
		t.Errorf("%+v, %v", got, err)
	}
	if body := bodyOf(t, server, call); body["max_tokens"] != 128_000.0 || body["stream"] != nil {
		t.Errorf("body has max_tokens %v, stream %v", body["max_tokens"], body["stream"])
	}
}

func TestAnthropicStopReasonsAreTheProvidersWords(t *testing.T) {
	for reason, refused := range map[string]bool{
		"end_turn": false, "max_tokens": false, "stop_sequence": false, "tool_use": false, "pause_turn": false, "model_context_window_exceeded": false,
		"refusal": true,
	} {
		server := workertest.NewProvider(t)
		call := workertest.NewCall("stop")
		server.Reply(call, provider.Reply{
			Outcome: provider.Raw, Status: http.StatusOK,
			Body: `{"type":"message","id":"msg_1","model":"m","role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"x"},{"type":"text","text":"a"},{"type":"text","text":"b"}],"stop_reason":"` + reason + `","usage":{"input_tokens":1,"output_tokens":2}}`,
		})
		got, err := claude(t, server.Root()).Call(t.Context(), call)
		want := ai.Answer{
			Text: "ab", Model: "m", FinishReason: reason, ProviderRequestID: "msg_1", Refused: refused, Usage: messages.Usage{InputUncached: 1, Output: 2},
		}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v; want %+v", reason, got, err, want)
		}
	}
}

func TestAnthropicModelsHaveTheTemperatureThatTheyTake(t *testing.T) {
	for _, test := range []struct {
		model   string
		asked   bool
		sent    bool
		refused bool
	}{
		{"claude-haiku-4-5", false, true, false},
		{"claude-haiku-4-5", true, true, false},
		{"claude-3-5-sonnet-20241022", false, true, false},
		{"claude-sonnet-5-5", false, false, false},
		{"claude-sonnet-5-5", true, true, false},
		{"claude-opus-4-7", false, false, false},
		{"claude-opus-4-7", true, false, true},
		{"claude-fable-5", true, false, true},
	} {
		call := workertest.NewCall("temperature")
		call.Model, call.DefaultTemperature = test.model, !test.asked
		fault := claude(t, "").Check(&call)
		if (fault != nil) != test.refused || test.refused && !strings.HasPrefix(fault.Detail, "temperature:") {
			t.Errorf("%s, asked %v: %v", test.model, test.asked, fault)
		}
		if params := anthropicParams(&call); fault == nil && params.Temperature.Valid() != test.sent {
			t.Errorf("%s, asked %v: temperature is sent: %v", test.model, test.asked, params.Temperature.Valid())
		}
	}
	call := workertest.NewCall("hot")
	call.Temperature = 1.5
	if fault := claude(t, "").Check(&call); fault == nil || !fault.Elsewhere || !strings.HasPrefix(fault.Detail, "temperature: the anthropic backend takes 0 to 1") {
		t.Errorf("temperature 1.5: %v", fault)
	}
	call = workertest.NewCall("system alone")
	call.Messages = call.Messages[:1]
	if fault := claude(t, "").Check(&call); fault == nil || !fault.Elsewhere {
		t.Errorf("a system prompt alone: %v", fault)
	}
}

func TestAnthropicOptionsAreChecked(t *testing.T) {
	for _, test := range []struct {
		options AnthropicOptions
		want    string // empty: they are right
	}{
		{AnthropicOptions{APIKey: testKey}, ""},
		{AnthropicOptions{AuthToken: testKey}, ""},
		{AnthropicOptions{BaseURL: "http://localhost:8080"}, ""},
		{AnthropicOptions{}, "api_key: or auth_token is required for api.anthropic.com"},
		{AnthropicOptions{APIKey: testKey, AuthToken: "x"}, "api_key: and auth_token exclude each other"},
		{AnthropicOptions{APIKey: testKey, BaseURL: "http://models.internal"}, "base_url: must be https"},
		{AnthropicOptions{APIKey: testKey, BaseURL: "models.internal"}, "base_url: must be an absolute URL"},
		{AnthropicOptions{APIKey: testKey + "\n"}, "api_key: must be printable ASCII"},
		{AnthropicOptions{AuthToken: testKey + "\n"}, "auth_token: must be printable ASCII"},
		{AnthropicOptions{APIKey: testKey, Version: "a b"}, "version: must be printable ASCII"},
		{AnthropicOptions{APIKey: testKey, Version: strings.Repeat("9", 33)}, "version: must be a date"},
		{AnthropicOptions{APIKey: testKey, HTTPOptions: HTTPOptions{Timeout: -1}}, "timeout: must not be negative"},
	} {
		_, err := NewAnthropic(test.options)
		switch {
		case test.want == "" && err != nil:
			t.Errorf("%+v: %v", test.options, err)
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), "anthropic backend: "+test.want)):
			t.Errorf("%+v: error is %v, want one that says %q", test.options, err, test.want)
		case err != nil && strings.Contains(err.Error(), testKey):
			t.Errorf("error repeats the key: %v", err)
		}
	}
}
