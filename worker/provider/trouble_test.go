package provider

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// sample questions, one for each protocol; PROMPT stands for the text.
var questions = []struct {
	protocol Protocol
	path     string
	body     string
}{
	{Anthropic, "/v1/messages", `{"model":"m","max_tokens":50,"metadata":{"user_id":"acme/r-1/2/3"},"tools":[{"name":"f","input_schema":{"type":"object"}}],"messages":[{"role":"user","content":"PROMPT"}]}`},
	{Chat, "/v1/chat/completions", `{"model":"m","max_tokens":50,"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}],"messages":[{"role":"user","content":"PROMPT"}]}`},
	{Responses, "/v1/responses", `{"model":"m","max_output_tokens":50,"tools":[{"type":"function","name":"f","parameters":{"type":"object"}}],"input":"PROMPT"}`},
	{Embed, "/v1/embeddings", `{"model":"m","input":"PROMPT","dimensions":4}`},
	{Converse, "/model/m/converse", `{"inferenceConfig":{"maxTokens":50},"requestMetadata":{"flowgate-request":"acme/r-1/2/3"},"toolConfig":{"tools":[{"toolSpec":{"name":"f","inputSchema":{"json":{"type":"object"}}}}]},"messages":[{"role":"user","content":[{"text":"PROMPT"}]}]}`},
	{Invoke, "/model/m/invoke", `{"anthropic_version":"bedrock-2023-05-31","max_tokens":50,"tools":[{"name":"f","input_schema":{"type":"object"}}],"messages":[{"role":"user","content":"PROMPT"}]}`},
	{MLflow, "/gateway/m/mlflow/invocations", `{"max_tokens":50,"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}],"messages":[{"role":"user","content":"PROMPT"}]}`},
}

// answered is what a raw client saw.
type answered struct {
	status int
	header http.Header
	body   []byte
	err    error
}

// post asks with credentials and ids for every protocol at once.
func post(ctx context.Context, s *Server, path, body string, change ...func(*http.Request)) answered {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.Root()+path, strings.NewReader(body))
	if err != nil {
		return answered{err: err}
	}
	r.Header.Set("Authorization", "Bearer any")
	r.Header.Set("Anthropic-Version", "2023-06-01")
	if strings.Contains(path, "/v1/") && !strings.HasSuffix(path, "messages") || strings.HasPrefix(path, "/gateway") {
		r.Header.Set("X-Client-Request-Id", "acme/r-1/2/3")
	}
	if strings.HasSuffix(path, "/invoke") {
		r.Header.Set("X-Amzn-Bedrock-Request-Metadata", `{"flowgate-request":"acme/r-1/2/3"}`)
	}
	for _, f := range change {
		f(r)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return answered{err: err}
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	return answered{res.StatusCode, res.Header, data, err}
}

// form is how a trouble looks: its status, 0 for an answer that breaks off, and a part of the answer.
type form struct {
	status int
	says   string
}

func same(status int, says string) [7]form {
	var all [7]form
	for i := range all {
		all[i] = form{status, says}
	}
	return all
}

// four are Anthropic's, OpenAI's (thrice), Bedrock's (twice) and MLflow's.
func four(a, o, b, m form) [7]form { return [7]form{a, o, o, o, b, b, m} }

// troubles have one form for each protocol, in the order of questions.
var troubles = map[Outcome][7]form{
	RateLimited:   four(form{429, `"rate_limit_error"`}, form{429, `"rate_limit_exceeded"`}, form{429, "ThrottlingException"}, form{429, `"detail":`}),
	Overloaded:    four(form{529, `"overloaded_error"`}, form{503, `"server_is_overloaded"`}, form{503, "ServiceUnavailableException"}, form{503, `"detail":`}),
	Unavailable:   four(form{503, `"api_error"`}, form{503, `"server_error"`}, form{503, "ServiceUnavailableException"}, form{503, `"detail":`}),
	Failed:        four(form{500, `"api_error"`}, form{500, `"server_error"`}, form{500, "InternalServerException"}, form{500, `"detail":`}),
	Timeout:       four(form{504, `"timeout_error"`}, form{504, `"server_error"`}, form{408, "ModelTimeoutException"}, form{504, `"detail":`}),
	BadGateway:    same(502, "<html>"),
	Quota:         four(form{429, `"enforced_spend_limit_reached"`}, form{429, `"insufficient_quota"`}, form{400, "ServiceQuotaExceededException"}, form{429, "budget"}),
	Billing:       four(form{402, `"billing_error"`}, form{429, `"credit_balance_exhausted"`}, form{400, "ServiceQuotaExceededException"}, form{429, "budget"}),
	Auth:          four(form{401, `"authentication_error"`}, form{401, `"invalid_api_key"`}, form{403, "UnrecognizedClientException"}, form{401, `"Not authenticated"`}),
	Forbidden:     four(form{403, `"permission_error"`}, form{403, `"insufficient_permissions"`}, form{403, "AccessDeniedException"}, form{403, `"detail":`}),
	ExpiredToken:  four(form{401, `"authentication_error"`}, form{401, `"invalid_api_key"`}, form{403, "ExpiredTokenException"}, form{401, `"detail":`}),
	ClockSkew:     four(form{401, `"authentication_error"`}, form{401, `"invalid_api_key"`}, form{403, "InvalidSignatureException"}, form{401, `"detail":`}),
	Invalid:       four(form{400, `"invalid_request_error"`}, form{400, `"invalid_value"`}, form{400, "ValidationException"}, form{400, `"detail":`}),
	Missing:       four(form{404, `"not_found_error"`}, form{404, `"model_not_found"`}, form{404, "ResourceNotFoundException"}, form{404, `"detail":`}),
	TooLarge:      four(form{413, `"request_too_large"`}, form{413, `"invalid_request_error"`}, form{413, "RequestEntityTooLargeException"}, form{413, `"detail":`}),
	Conflict:      four(form{409, `"conflict_error"`}, form{409, `"invalid_request_error"`}, form{400, "ConflictException"}, form{409, `"detail":`}),
	FilteredInput: four(form{400, `content filtering policy`}, form{400, `"content_filter"`}, form{400, "ValidationException"}, form{400, `"detail":`}),
	NotReady:      four(form{429, `"rate_limit_error"`}, form{429, `"rate_limit_exceeded"`}, form{429, "ModelNotReadyException"}, form{429, `"detail":`}),
	ModelError:    four(form{500, `"api_error"`}, form{500, `"server_error"`}, form{424, `"originalStatusCode":503`}, form{500, `"detail":`}),
	Refused: {
		{200, `"stop_reason":"refusal"`},
		{200, `"refusal":"That is refused."`},
		{200, `"type":"refusal"`},
		{200, `"embedding"`},
		{200, `"stopReason":"content_filtered"`},
		{200, `"stop_reason":"refusal"`},
		{200, `"refusal":"That is refused."`},
	},
	Filtered: {
		{200, `"stop_reason":"refusal"`},
		{200, `"finish_reason":"content_filter"`},
		{200, `"reason":"content_filter"`},
		{200, `"embedding"`},
		{200, `"stopReason":"content_filtered"`},
		{200, `"stop_reason":"refusal"`},
		{200, `"finish_reason":"content_filter"`},
	},
	Guardrail: {
		{200, `"stop_reason":"refusal"`},
		{200, `"finish_reason":"content_filter"`},
		{200, `"reason":"content_filter"`},
		{200, `"embedding"`},
		{200, `"stopReason":"guardrail_intervened"`},
		{200, `"amazon-bedrock-guardrailAction":"INTERVENED"`},
		{200, `"finish_reason":"content_filter"`},
	},
	Reset:      same(0, ""),
	Cut:        same(0, ""),
	Half:       same(0, ""),
	Garbage:    same(200, "garbage"),
	EmptyBody:  same(200, ""),
	ErrorIn200: four(form{200, `"type":"error"`}, form{200, `"error":{`}, form{200, `"message":`}, form{200, `"detail":`}),
	FailedIn200: {
		{200, `"type":"error"`},
		{200, `"error":{`},
		{200, `"status":"failed"`},
		{200, `"error":{`},
		{200, `"message":`},
		{200, `"message":`},
		{200, `"detail":`},
	},
	NegativeUsage: four(form{200, `"output_tokens":-5`}, form{200, `-`}, form{200, `-5`}, form{200, `"completion_tokens":-5`}),
	AbsurdUsage:   same(200, "4503599627370496"),
	ZeroUsage:     same(200, "okens\":0"),
	NoUsage:       same(200, ""),
	Huge:          same(200, ""),
	BrokenTool: {
		{200, `"input":"{\"city\": \"Pa"`},
		{200, `"arguments":"{\"city\": \"Pa"`},
		{200, `"arguments":"{\"city\": \"Pa"`},
		{200, `"embedding"`},
		{200, `"stopReason":"malformed_tool_use"`},
		{200, `"input":"{\"city\": \"Pa"`},
		{200, `"arguments":"{\"city\": \"Pa"`},
	},
	EmptyAnswer: {
		{200, `"content":[]`},
		{200, `"content":null`},
		{200, `"output":[]`},
		{200, `"embedding"`},
		{200, `"content":[]`},
		{200, `"content":[]`},
		{200, `"content":null`},
	},
}

func TestEveryTroubleHasItsFormInEveryProtocol(t *testing.T) {
	for o, want := range troubles {
		s := start(t, func(Ask) Reply { return Reply{Outcome: o, Original: 503} })
		for i, q := range questions {
			got := post(t.Context(), s, q.path, strings.Replace(q.body, "PROMPT", "wisteria use-tool", 1))
			w := want[i]
			switch {
			case w.status == 0:
				if got.err == nil {
					t.Errorf("%s %s: %d %s", o, q.protocol, got.status, got.body)
				}
				continue
			case got.err != nil, got.status != w.status:
				t.Errorf("%s %s: status %d, want %d: %v %s", o, q.protocol, got.status, w.status, got.err, got.body[:min(len(got.body), 500)])
				continue
			}
			whole := string(got.body) + got.header.Get("X-Amzn-Errortype")
			silent := q.protocol == Embed && (o == NegativeUsage || o == ZeroUsage || o == AbsurdUsage) // it counts no output
			if !silent && !strings.Contains(whole, w.says) {
				t.Errorf("%s %s: want %s in %s", o, q.protocol, w.says, whole[:min(len(whole), 500)])
			}
			odd(t, o, q.protocol, got)
		}
		for _, c := range s.Calls() {
			if c.Answered != o || c.RequestID != "acme/r-1/2/3" || c.Attempt != 3 {
				t.Errorf("%s %+v", o, c.Ask)
			}
		}
	}
}

// odd looks at what a part of the text cannot show.
func odd(t *testing.T, o Outcome, p Protocol, got answered) {
	t.Helper()
	switch {
	case o == Huge && p != Embed && len(got.body) < hugeBytes:
		t.Errorf("%s: %d bytes", p, len(got.body))
	case o == NoUsage && bytes.Contains(got.body, []byte("usage")):
		t.Errorf("%s tells its usage: %s", p, got.body)
	case o == EmptyBody && len(got.body) != 0:
		t.Errorf("%s: %s", p, got.body)
	case o == Garbage && json.Valid(got.body):
		t.Errorf("%s: %s", p, got.body)
	}
	if o.Billed() || o == BadGateway || o == FailedIn200 {
		return
	}
	if !json.Valid(got.body) {
		t.Errorf("%s %s: no JSON: %s", o, p, got.body)
	}
}

func TestAnEndlessAnswerTricklesUntilItsCallerGoes(t *testing.T) {
	s := start(t, func(Ask) Reply { return Reply{Outcome: Endless} })
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL()+"/chat/completions", strings.NewReader(questions[1].body))
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if _, err := io.ReadFull(res.Body, make([]byte, 5)); err != nil {
		t.Errorf("it ends: %v", err)
	}
	cancel()
	if _, err := io.ReadAll(res.Body); !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
}

func TestRetryAfterIsSaidInEachForm(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for form, want := range map[RetryForm]string{
		RetryMillis: "1500", RetrySeconds: "2", RetryDate: "Sun, 01 Mar 2026 12:00:01 GMT",
	} {
		s := begin(t, Options{Now: func() time.Time { return now }, Script: func(Ask) Reply {
			return Reply{Outcome: RateLimited, RetryAfter: 1500 * time.Millisecond, RetryForm: form}
		}})
		for _, q := range questions {
			got := post(t.Context(), s, q.path, q.body)
			if said := got.header.Get("Retry-After") + got.header.Get("Retry-After-Ms"); said != want {
				t.Errorf("%s %q: %q", q.protocol, form, said)
			}
		}
	}
}

// TestErrorsRepeatThePrompt as those of providers do; whoever hands them on is found out.
func TestErrorsRepeatThePrompt(t *testing.T) {
	s := start(t, func(Ask) Reply { return Reply{Outcome: Failed} })
	for _, q := range questions {
		if q.protocol == Embed {
			continue
		}
		if got := post(t.Context(), s, q.path, strings.Replace(q.body, "PROMPT", "wisteria", 1)); !bytes.Contains(got.body, []byte("wisteria")) {
			t.Errorf("%s: %s", q.protocol, got.body)
		}
	}
}

func TestRawAnswersAreAsTheyAre(t *testing.T) {
	s := start(t, func(Ask) Reply {
		return Reply{Outcome: Raw, Status: 307, Header: http.Header{"Location": {"http://127.0.0.1:1/"}, "Content-Type": {"text/plain"}}, Body: "there"}
	})
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL()+"/chat/completions", strings.NewReader(questions[1].body))
	if err != nil {
		t.Fatal(err)
	}
	res, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != 307 || res.Header.Get("Content-Type") != "text/plain" || string(data) != "there" {
		t.Errorf("%v %d %v %s", err, res.StatusCode, res.Header, data)
	}
}
