package provider

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// chat speaks OpenAI's Chat Completions.
type chat struct{}

func (chat) protocol() Protocol { return Chat }

func (chat) admit(k *keyring, r *http.Request, _ []byte, _ time.Time) *fault {
	return admitOpenAI(k, r)
}

func admitOpenAI(k *keyring, r *http.Request) *fault {
	if !k.takes(bearer(r)) {
		return &fault{Auth, "Incorrect API key provided."}
	}
	return nil
}

func (chat) refuse(h http.Header, o Outcome, r *Reply, message string) (int, any) {
	return refuseOpenAI(h, o, r, message)
}

type chatDoc struct {
	Model               string          `json:"model"`
	Messages            []chatMessage   `json:"messages"`
	MaxTokens           int             `json:"max_tokens"`
	MaxCompletionTokens int             `json:"max_completion_tokens"`
	Temperature         *float64        `json:"temperature"`
	TopP                *float64        `json:"top_p"`
	Stop                json.RawMessage `json:"stop"`
	Seed                *int64          `json:"seed"`
	Stream              bool            `json:"stream"`
	Tools               []struct {
		Type     string   `json:"type"`
		Function function `json:"function"`
	} `json:"tools"`
	ToolChoice     json.RawMessage `json:"tool_choice"`
	ResponseFormat *struct {
		Type       string `json:"type"`
		JSONSchema struct {
			Schema json.RawMessage `json:"schema"`
		} `json:"json_schema"`
	} `json:"response_format"`
	ServiceTier string `json:"service_tier"`
}

type function struct {
	Name       string          `json:"name"`
	Parameters json.RawMessage `json:"parameters"`
}

type chatMessage struct {
	Role      string          `json:"role"`
	Content   json.RawMessage `json:"content"`
	ToolCalls []struct {
		ID string `json:"id"`
	} `json:"tool_calls"`
	ToolCallID string `json:"tool_call_id"`
}

func (chat) read(_ *http.Request, body []byte) (*question, string, *fault) {
	var doc chatDoc
	if f := decode(body, &doc); f != nil {
		return nil, "", f
	}
	q, f := doc.question()
	return q, "", f
}

func (doc *chatDoc) question() (*question, *fault) {
	q := &question{
		model: doc.Model, maxTokens: max(doc.MaxTokens, doc.MaxCompletionTokens), temperature: doc.Temperature, topP: doc.TopP, seed: doc.Seed,
		tier: openaiTier(doc.ServiceTier),
	}
	if min(doc.MaxTokens, doc.MaxCompletionTokens) < 0 {
		q.maxTokens = -1
	}
	for _, t := range doc.Tools {
		q.tools = append(q.tools, tool{t.Function.Name, t.Function.Parameters})
	}
	f := q.openaiChoice(doc.ToolChoice)
	if f == nil {
		q.stop, f = oneOrMany("stop", doc.Stop)
	}
	if format := doc.ResponseFormat; f == nil && format != nil {
		f = q.openaiFormat(format.Type, format.JSONSchema.Schema)
	}
	for i := 0; f == nil && i < len(doc.Messages); i++ {
		f = q.chatTurn(&doc.Messages[i])
	}
	if f == nil && doc.Stream {
		f = invalid("stream: the fake provider does not stream")
	}
	if f == nil {
		f = q.check(2)
	}
	return q, f
}

// openaiTier is the tier that answers are said to have been given in.
func openaiTier(asked string) string {
	if asked == "auto" {
		return "default"
	}
	return asked
}

// openaiChoice reads a tool_choice, of Chat Completions or of Responses.
func (q *question) openaiChoice(raw json.RawMessage) *fault {
	if len(raw) == 0 || string(raw) == "null" {
		return nil
	}
	if json.Unmarshal(raw, &q.choice) == nil {
		if q.choice != "none" && q.choice != "auto" && q.choice != "required" {
			return invalid("tool_choice: must be none, auto, required or a function")
		}
		return nil
	}
	var named struct {
		Name     string   `json:"name"`
		Function function `json:"function"`
	}
	if json.Unmarshal(raw, &named) != nil || named.Name+named.Function.Name == "" {
		return invalid("tool_choice: must be none, auto, required or a function")
	}
	q.choice = named.Name + named.Function.Name
	return nil
}

func (q *question) openaiFormat(kind string, schema json.RawMessage) *fault {
	switch kind {
	case "", "text":
	case "json_object":
		q.structured = true
	case "json_schema":
		if len(schema) == 0 {
			return invalid("response_format.json_schema.schema: field required")
		}
		q.structured, q.schema = true, schema
	default:
		return invalid("response_format.type: must be text, json_object or json_schema")
	}
	return nil
}

// oneOrMany reads a string or a list of strings.
func oneOrMany(field string, raw json.RawMessage) ([]string, *fault) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	var one string
	if json.Unmarshal(raw, &one) == nil {
		return []string{one}, nil
	}
	var many []string
	if json.Unmarshal(raw, &many) != nil {
		return nil, invalid("%s: must be a string or a list of strings", field)
	}
	return many, nil
}

func (q *question) chatTurn(m *chatMessage) *fault {
	t := turn{role: m.Role}
	if f := q.chatContent(&t, m.Content); f != nil {
		return f
	}
	switch m.Role {
	case "system", "developer":
		q.system = append(q.system, t.text)
		return nil
	case "user":
	case "assistant":
		for _, c := range m.ToolCalls {
			q.called(c.ID)
		}
	case "tool":
		text := t.text
		t.text = ""
		if n := len(q.turns); n > 0 && q.turns[n-1].role == "tool" { // results that came together are one turn
			return q.answered(&q.turns[n-1], m.ToolCallID, text)
		}
		if f := q.answered(&t, m.ToolCallID, text); f != nil {
			return f
		}
	default:
		return invalid("messages.role: must be system, developer, user, assistant or tool")
	}
	q.turns = append(q.turns, t)
	return nil
}

// chatContent reads a text or parts, of Chat Completions or of Responses.
func (q *question) chatContent(t *turn, raw json.RawMessage) *fault {
	if len(raw) == 0 || string(raw) == "null" || json.Unmarshal(raw, &t.text) == nil {
		return nil
	}
	var parts []struct {
		Type     string          `json:"type"`
		Text     string          `json:"text"`
		ImageURL json.RawMessage `json:"image_url"`
	}
	if json.Unmarshal(raw, &parts) != nil {
		return invalid("messages.content: must be a string or a list of parts")
	}
	for _, p := range parts {
		switch p.Type {
		case "text", "input_text", "output_text", "refusal":
			t.text += p.Text
		case "image_url", "input_image":
			var address string
			var inner struct {
				URL string `json:"url"`
			}
			if json.Unmarshal(p.ImageURL, &address) != nil && json.Unmarshal(p.ImageURL, &inner) == nil {
				address = inner.URL
			}
			kind, data, ok := strings.Cut(strings.TrimPrefix(address, "data:"), ";base64,")
			if !ok {
				return invalid("image_url: only data URLs with base64 can be read here")
			}
			if f := q.image(t, kind, data); f != nil {
				return f
			}
		default:
			return invalid("messages.content.type: is not understood")
		}
	}
	return nil
}

func (chat) answer(h http.Header, q *question, a *answer) any {
	h.Set("X-Request-Id", fmt.Sprintf("req_fake_%08d", a.seq))
	h.Set("Openai-Processing-Ms", "1")
	return chatAnswer(q, a)
}

func chatAnswer(_ *question, a *answer) map[string]any {
	message := map[string]any{"role": "assistant", "content": a.text, "refusal": nil}
	switch {
	case a.finish == finishRefused:
		message["content"], message["refusal"] = nil, a.text
	case len(a.calls) > 0:
		calls := make([]any, len(a.calls))
		for i, c := range a.calls {
			calls[i] = map[string]any{"id": c.id, "type": "function", "function": map[string]any{"name": c.name, "arguments": string(c.args)}}
		}
		message["content"], message["tool_calls"] = nil, calls
	case a.text == "":
		message["content"] = nil
	}
	doc := map[string]any{
		"id": fmt.Sprintf("chatcmpl-fake-%08d", a.seq), "object": "chat.completion", "created": created, "model": a.model,
		"choices":            []any{map[string]any{"index": 0, "finish_reason": chatFinish(a.finish), "logprobs": nil, "message": message}},
		"system_fingerprint": "fp_fake",
	}
	if a.tier != "" {
		doc["service_tier"] = a.tier
	}
	if u := a.usage; u != nil {
		doc["usage"] = map[string]any{
			"prompt_tokens": u.Prompt(), "completion_tokens": u.Output, "total_tokens": u.Prompt() + u.Output,
			"prompt_tokens_details":     map[string]any{"cached_tokens": u.CacheRead, "cache_write_tokens": u.CacheWrite5m + u.CacheWrite1h, "audio_tokens": 0},
			"completion_tokens_details": map[string]any{"reasoning_tokens": u.Reasoning, "audio_tokens": 0, "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0},
		}
	}
	return doc
}

func chatFinish(f finish) string {
	switch f {
	case finishLength:
		return "length"
	case finishTool, finishBroken:
		return "tool_calls"
	case finishFiltered, finishGuardrail:
		return "content_filter"
	case finishStop, finishSequence, finishRefused:
	}
	return "stop"
}
