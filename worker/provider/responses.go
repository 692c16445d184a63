package provider

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// responses speaks OpenAI's Responses.
type responses struct{}

func (responses) protocol() Protocol { return Responses }

func (responses) admit(k *keyring, r *http.Request, _ []byte, _ time.Time) *fault {
	return admitOpenAI(k, r)
}

func (responses) refuse(h http.Header, o Outcome, r *Reply, message string) (int, any) {
	return refuseOpenAI(h, o, r, message)
}

type responsesDoc struct {
	Model           string          `json:"model"`
	Input           json.RawMessage `json:"input"`
	Instructions    string          `json:"instructions"`
	MaxOutputTokens int             `json:"max_output_tokens"`
	Temperature     *float64        `json:"temperature"`
	TopP            *float64        `json:"top_p"`
	Stream          bool            `json:"stream"`
	Background      bool            `json:"background"`
	Tools           []struct {
		Type       string          `json:"type"`
		Name       string          `json:"name"`
		Parameters json.RawMessage `json:"parameters"`
	} `json:"tools"`
	ToolChoice json.RawMessage `json:"tool_choice"`
	Text       struct {
		Format *struct {
			Type   string          `json:"type"`
			Schema json.RawMessage `json:"schema"`
		} `json:"format"`
	} `json:"text"`
	ServiceTier string `json:"service_tier"`
}

type responsesItem struct {
	Type    string          `json:"type"`
	Role    string          `json:"role"`
	Content json.RawMessage `json:"content"`
	CallID  string          `json:"call_id"`
	Output  json.RawMessage `json:"output"`
}

func (responses) read(_ *http.Request, body []byte) (*question, string, *fault) {
	var doc responsesDoc
	if f := decode(body, &doc); f != nil {
		return nil, "", f
	}
	q := &question{
		model: doc.Model, maxTokens: doc.MaxOutputTokens, temperature: doc.Temperature, topP: doc.TopP, tier: openaiTier(doc.ServiceTier),
	}
	if doc.Instructions != "" {
		q.system = []string{doc.Instructions}
	}
	for _, t := range doc.Tools {
		if t.Type != "function" {
			return q, "", invalid("tools.type: only functions are understood here")
		}
		q.tools = append(q.tools, tool{t.Name, t.Parameters})
	}
	f := q.openaiChoice(doc.ToolChoice)
	if format := doc.Text.Format; f == nil && format != nil {
		f = q.openaiFormat(format.Type, format.Schema)
	}
	if f == nil {
		f = q.responsesInput(doc.Input)
	}
	if f == nil && (doc.Stream || doc.Background) {
		f = invalid("stream, background: the fake provider answers at once")
	}
	if f == nil {
		f = q.check(2)
	}
	return q, "", f
}

func (q *question) responsesInput(raw json.RawMessage) *fault {
	var text string
	if json.Unmarshal(raw, &text) == nil && text != "" {
		q.turns = []turn{{role: "user", text: text}}
		return nil
	}
	var items []responsesItem
	if len(raw) > 0 && json.Unmarshal(raw, &items) != nil {
		return invalid("input: must be a string or a list of items")
	}
	for i := range items {
		if f := q.responsesTurn(&items[i]); f != nil {
			return f
		}
	}
	return nil
}

func (q *question) responsesTurn(item *responsesItem) *fault {
	switch item.Type {
	case "", "message":
		return q.chatTurn(&chatMessage{Role: item.Role, Content: item.Content})
	case "function_call":
		q.called(item.CallID)
	case "function_call_output":
		return q.chatTurn(&chatMessage{Role: "tool", Content: item.Output, ToolCallID: item.CallID})
	case "reasoning":
	default:
		return invalid("input.type: is not understood")
	}
	return nil
}

func (responses) answer(h http.Header, q *question, a *answer) any {
	h.Set("X-Request-Id", fmt.Sprintf("req_fake_%08d", a.seq))
	id := fmt.Sprintf("%08d", a.seq)
	doc := map[string]any{
		"id": "resp_fake_" + id, "object": "response", "created_at": created, "model": a.model, "status": "completed", "error": nil,
		"incomplete_details": nil, "instructions": nil, "metadata": map[string]any{}, "parallel_tool_calls": true, "tool_choice": "auto",
		"tools": []any{}, "temperature": orOne(q.temperature), "top_p": orOne(q.topP), "max_output_tokens": nil, "output": a.items(id),
	}
	if q.maxTokens > 0 {
		doc["max_output_tokens"] = q.maxTokens
	}
	if a.tier != "" {
		doc["service_tier"] = a.tier
	}
	switch {
	case a.failed:
		doc["status"], doc["output"], doc["error"] = "failed", []any{}, map[string]any{"code": a.code, "message": "the fake provider answers failed_in_200"}
		return doc
	case a.finish == finishLength:
		doc["status"], doc["incomplete_details"] = "incomplete", map[string]any{"reason": "max_output_tokens"}
	case a.finish == finishFiltered, a.finish == finishGuardrail:
		doc["status"], doc["incomplete_details"] = "incomplete", map[string]any{"reason": "content_filter"}
	}
	if u := a.usage; u != nil {
		doc["usage"] = map[string]any{
			"input_tokens": u.Prompt(), "output_tokens": u.Output, "total_tokens": u.Prompt() + u.Output,
			"input_tokens_details":  map[string]any{"cached_tokens": u.CacheRead, "cache_write_tokens": u.CacheWrite5m + u.CacheWrite1h},
			"output_tokens_details": map[string]any{"reasoning_tokens": u.Reasoning},
		}
	}
	return doc
}

// orOne is a number, or the 1 that holds where none was sent.
func orOne(n *float64) float64 {
	if n == nil {
		return 1
	}
	return *n
}

// items is the output of a response.
func (a *answer) items(id string) []any {
	items := []any{}
	if a.usage != nil && a.usage.Reasoning > 0 {
		items = append(items, map[string]any{"type": "reasoning", "id": "rs_fake_" + id, "summary": []any{}})
	}
	for _, c := range a.calls {
		items = append(items, map[string]any{
			"type": "function_call", "id": "fc_fake_" + id, "call_id": c.id, "name": c.name, "arguments": string(c.args), "status": "completed",
		})
	}
	if a.text == "" {
		return items
	}
	part := map[string]any{"type": "output_text", "text": a.text, "annotations": []any{}, "logprobs": []any{}}
	if a.finish == finishRefused {
		part = map[string]any{"type": "refusal", "refusal": a.text}
	}
	status := "completed"
	if a.finish == finishLength {
		status = "incomplete"
	}
	return append(items, map[string]any{"type": "message", "id": "msg_fake_" + id, "role": "assistant", "status": status, "content": []any{part}})
}
