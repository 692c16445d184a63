package backends

import (
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"flowgate/messages"
	"flowgate/pipelines/ai"
	"flowgate/worker"
	"flowgate/worker/workertest"
)

const testKey = workertest.ProviderKey

// openAI is a backend for a test server; change may change its options.
func openAI(t testing.TB, url string, change ...func(*OpenAIOptions)) *OpenAI {
	t.Helper()
	options := OpenAIOptions{APIKey: testKey, BaseURL: url}
	for _, c := range change {
		c(&options)
	}
	b, err := NewOpenAI(options)
	if err != nil {
		t.Fatalf("NewOpenAI: %v", err)
	}
	t.Cleanup(b.Close)
	return b
}

// echo is what a chatty provider writes into its messages: all that must not be repeated.
const echo = "Incorrect API key " + testKey + " for prompt: Who keeps the wisteria-7741?"

func TestOpenAISendsTheCallAsItIs(t *testing.T) {
	for name, value := range map[string]string{
		"OPENAI_API_KEY": "sk-stray", "OPENAI_ORG_ID": "stray", "OPENAI_PROJECT_ID": "stray", "OPENAI_BASE_URL": "http://stray.invalid",
		"OPENAI_CUSTOM_HEADERS": "X-Stray: stray",
	} {
		t.Setenv(name, value)
	}
	server := workertest.NewOpenAI(t)
	call := ai.Call{
		Key: messages.Key{Tenant: "acme", ID: "r-1"}, Epoch: 2, Attempt: 3, Model: "gpt-x", Temperature: 0, MaxTokens: 77,
		Question: messages.Question{Messages: []messages.Message{
			{Role: "system", Content: "s", Name: "n1"},
			{Role: "developer", Content: "d", Name: "n2"},
			{Role: "user", Content: "u <&> \u2028", Name: "n3"},
			{Role: "assistant", Content: "a", Name: "n4"},
			{Role: "user", Content: ""},
		}},
	}
	if _, err := openAI(t, server.URL).Call(t.Context(), call); err != nil {
		t.Fatal(err)
	}
	seen := server.Seen("acme/r-1/2/3")
	if len(seen) != 1 || seen[0].N != 1 {
		t.Fatalf("the server saw %d calls under the request id, want 1", len(seen))
	}
	var body map[string]any
	if err := json.Unmarshal(seen[0].Body, &body); err != nil {
		t.Fatal(err)
	}
	keys := make([]string, 0, len(body))
	for key := range body {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	if want := []string{"max_tokens", "messages", "model", "temperature"}; !slices.Equal(keys, want) {
		t.Errorf("the body has %v, want %v", keys, want)
	}
	if body["temperature"] != 0.0 || body["max_tokens"] != 77.0 || body["model"] != "gpt-x" {
		t.Errorf("body is %s", seen[0].Body)
	}
	for i, m := range call.Messages {
		if got := seen[0].Messages[i]; got != (workertest.OpenAIMessage{Role: m.Role, Content: m.Content, Name: m.Name}) {
			t.Errorf("message %d arrived as %+v, want %+v", i, got, m)
		}
	}
	header := seen[0].Header
	if got := header.Get("Authorization"); got != "Bearer "+testKey {
		t.Errorf("Authorization is %q", got)
	}
	for _, stray := range []string{"Openai-Organization", "Openai-Project", "X-Stray", "Idempotency-Key"} {
		if header.Get(stray) != "" {
			t.Errorf("header %s was sent", stray)
		}
	}
}

func TestOpenAINamesTheBoundAsTheHostWantsIt(t *testing.T) {
	for _, test := range []struct {
		base  string
		field MaxTokensField
		want  MaxTokensField
	}{
		{"", MaxTokensByHost, MaxCompletionTokens},
		{"https://API.openai.com/v1/", MaxTokensByHost, MaxCompletionTokens},
		{"https://eu.api.openai.com/v1", MaxTokensByHost, MaxTokens},
		{"http://127.0.0.1:11434/v1", MaxTokensByHost, MaxTokens},
		{"http://127.0.0.1:11434/v1", MaxCompletionTokens, MaxCompletionTokens},
		{"", MaxTokens, MaxTokens},
	} {
		b := openAI(t, test.base, func(o *OpenAIOptions) { o.MaxTokensField = test.field })
		call := workertest.NewCall("field")
		data, err := json.Marshal(b.chatParams(&call))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(data), `"`+string(test.want)+`":200`) {
			t.Errorf("%q: body %s lacks %s", test.base, data, test.want)
		}
	}
}

func TestOpenAIUsageIsSortedIntoClasses(t *testing.T) {
	words := workertest.OpenAIReply{
		Status: 200, Body: `{"choices":[{"message":{"content":"x"}}],"usage":{"prompt_tokens":"many","completion_tokens":1}}`,
	}
	usage := func(u workertest.OpenAIUsage) workertest.OpenAIReply {
		return workertest.ReplyCompletion("x", "stop", u)
	}
	for _, test := range []struct {
		name  string
		reply workertest.OpenAIReply
		want  messages.Usage
		known bool
	}{
		{
			"all classes",
			usage(workertest.OpenAIUsage{Prompt: 1000, Completion: 300, Cached: 600, CacheWrite: 150, Reasoning: 200}),
			messages.Usage{InputUncached: 250, InputCacheRead: 600, InputCacheWrite5m: 150, Output: 300, OutputReasoning: 200},
			true,
		},
		{"no details", usage(workertest.OpenAIUsage{Prompt: 12, Completion: 3}), messages.Usage{InputUncached: 12, Output: 3}, true},
		{"all from the cache", usage(workertest.OpenAIUsage{Prompt: 8, Cached: 8, Completion: 1}), messages.Usage{InputCacheRead: 8, Output: 1}, true},
		{"no usage", workertest.ReplyNoUsage("x"), messages.Usage{}, false},
		{"zero", usage(workertest.OpenAIUsage{}), messages.Usage{}, false},
		{"more cached than there is", usage(workertest.OpenAIUsage{Prompt: 5, Cached: 6, Completion: 1}), messages.Usage{}, false},
		{"more reasoning than output", usage(workertest.OpenAIUsage{Prompt: 5, Completion: 1, Reasoning: 2}), messages.Usage{}, false},
		{"negative", usage(workertest.OpenAIUsage{Prompt: 5, Completion: -1}), messages.Usage{}, false},
		{"words", words, messages.Usage{}, false},
	} {
		server := workertest.NewOpenAI(t)
		server.ScriptReplies("", test.reply)
		got, err := openAI(t, server.URL).Call(t.Context(), workertest.NewCall("usage"))
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		if got.Usage != test.want || got.UsageUnknown == test.known {
			t.Errorf("%s: usage %+v, unknown %v; want %+v, %v", test.name, got.Usage, got.UsageUnknown, test.want, !test.known)
		}
	}
}

func TestOpenAIAnswersSayWhatTheProviderSaid(t *testing.T) {
	for _, test := range []struct {
		name  string
		reply workertest.OpenAIReply
		want  ai.Answer
	}{
		{"answer", workertest.ReplyAnswer("Nobody."), ai.Answer{Text: "Nobody.", FinishReason: "stop"}},
		{"refusal", workertest.ReplyRefusal("I will not."), ai.Answer{Text: "I will not.", FinishReason: "stop", Refused: true}},
		{
			"filtered answer", workertest.ReplyCompletion("No", "content_filter", workertest.OpenAIUsage{Prompt: 10, Completion: 5}),
			ai.Answer{Text: "No", FinishReason: "content_filter", Refused: true},
		},
	} {
		server := workertest.NewOpenAI(t)
		server.ScriptReplies("", test.reply)
		got, err := openAI(t, server.URL).Call(t.Context(), workertest.NewCall("said"))
		test.want.Model, test.want.ProviderRequestID = "test-model-2026", "req_test"
		test.want.Usage = messages.Usage{InputUncached: 10, Output: 5}
		if err != nil || !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: %+v, %v; want %+v", test.name, got, err, test.want)
		}
	}
}

func TestOpenAITakesAFilteredQuestionForARefusal(t *testing.T) {
	server := workertest.NewOpenAI(t)
	server.ScriptReplies("", workertest.ReplyError(http.StatusBadRequest, "invalid_request_error", "content_filter", echo))
	got, err := openAI(t, server.URL).Call(t.Context(), workertest.NewCall("filtered"))
	want := ai.Answer{Model: "test-model", FinishReason: "content_filter", ProviderRequestID: "req_test", Refused: true}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
}

func TestOpenAIOptionsAreChecked(t *testing.T) {
	for _, test := range []struct {
		options OpenAIOptions
		want    string // empty: they are right
	}{
		{OpenAIOptions{APIKey: testKey}, ""},
		{OpenAIOptions{BaseURL: "http://localhost:11434/v1"}, ""},
		{OpenAIOptions{BaseURL: "http://[::1]:8000"}, ""},
		{OpenAIOptions{BaseURL: "http://models.internal/v1", HTTPOptions: HTTPOptions{AllowInsecure: true}}, ""},
		{OpenAIOptions{}, "api_key: is required for api.openai.com"},
		{OpenAIOptions{BaseURL: "http://models.internal/v1"}, `base_url: must be https, since "models.internal" is not loopback`},
		{OpenAIOptions{BaseURL: "http://127.0.0.1.evil.example/v1"}, "base_url: must be https"},
		{OpenAIOptions{BaseURL: "ftp://models.internal"}, "base_url: must be an absolute URL"},
		{OpenAIOptions{BaseURL: "models.internal/v1"}, "base_url: must be an absolute URL"},
		{OpenAIOptions{BaseURL: "https://a b"}, "base_url: must be an absolute URL"},
		{OpenAIOptions{BaseURL: "https://u:" + testKey + "@models.internal"}, "base_url: must not hold credentials"},
		{OpenAIOptions{BaseURL: "https://models.internal/v1?key=" + testKey}, "base_url: must have neither query"},
		{OpenAIOptions{APIKey: testKey + "\n"}, "api_key: must be printable ASCII"},
		{OpenAIOptions{APIKey: testKey, MaxTokensField: "tokens"}, "max_tokens_field: must be"},
		{OpenAIOptions{APIKey: testKey, API: "completions"}, "api: must be auto, chat or responses"},
		{OpenAIOptions{APIKey: testKey, HTTPOptions: HTTPOptions{Timeout: -1}}, "timeout: must not be negative"},
		{OpenAIOptions{APIKey: testKey, HTTPOptions: HTTPOptions{DialTimeout: -1}}, "dial_timeout: must not be negative"},
		{OpenAIOptions{APIKey: testKey, HTTPOptions: HTTPOptions{MaxConnections: -1}}, "max_connections: must not be negative"},
		{OpenAIOptions{APIKey: testKey, HTTPOptions: HTTPOptions{MaxResponseBytes: -1}}, "max_response_bytes: must not be negative"},
		{OpenAIOptions{APIKey: " ", HTTPOptions: HTTPOptions{Timeout: -1}}, "timeout: must not be negative"}, // every fault at once
	} {
		_, err := NewOpenAI(test.options)
		switch {
		case test.want == "" && err != nil:
			t.Errorf("%+v: %v", test.options, err)
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), "openai backend: "+test.want)):
			t.Errorf("%+v: error is %v, want one that says %q", test.options, err, test.want)
		case err != nil && strings.Contains(err.Error(), testKey):
			t.Errorf("error repeats the key: %v", err)
		}
	}
}

// faultFrom is the fault of a call that must fail.
func faultFrom(t *testing.T, b worker.Backend, call ai.Call) *ai.Fault {
	t.Helper()
	answer, err := b.Call(t.Context(), call)
	var fault *ai.Fault
	if !errors.As(err, &fault) {
		t.Fatalf("answer %+v, error %v; want a fault", answer, err)
	}
	return fault
}
