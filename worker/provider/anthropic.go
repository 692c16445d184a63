package provider

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// anthropic speaks Anthropic's Messages.
type anthropic struct{}

func (anthropic) protocol() Protocol { return Anthropic }

func (anthropic) admit(k *keyring, r *http.Request, _ []byte, _ time.Time) *fault {
	given := r.Header.Get("X-Api-Key")
	if given == "" {
		given = bearer(r)
	}
	if !k.takes(given) {
		return &fault{Auth, "invalid x-api-key"}
	}
	if r.Header.Get("Anthropic-Version") == "" {
		return invalid("anthropic-version: header is required")
	}
	return nil
}

// anthropicDoc is the body of Messages, and of InvokeModel for Claude.
type anthropicDoc struct {
	Version       string             `json:"anthropic_version"`
	Model         string             `json:"model"`
	MaxTokens     int                `json:"max_tokens"`
	Messages      []anthropicMessage `json:"messages"`
	System        json.RawMessage    `json:"system"`
	Temperature   *float64           `json:"temperature"`
	TopP          *float64           `json:"top_p"`
	StopSequences []string           `json:"stop_sequences"`
	Stream        bool               `json:"stream"`
	Tools         []struct {
		Name        string          `json:"name"`
		InputSchema json.RawMessage `json:"input_schema"`
	} `json:"tools"`
	ToolChoice *struct {
		Type string `json:"type"`
		Name string `json:"name"`
	} `json:"tool_choice"`
	Metadata struct {
		UserID string `json:"user_id"`
	} `json:"metadata"`
	ServiceTier  string `json:"service_tier"`
	OutputConfig struct {
		Format *struct {
			Type   string          `json:"type"`
			Schema json.RawMessage `json:"schema"`
		} `json:"format"`
	} `json:"output_config"`
}

type anthropicMessage struct {
	Role    string          `json:"role"`
	Content json.RawMessage `json:"content"`
}

type anthropicBlock struct {
	Type   string `json:"type"`
	Text   string `json:"text"`
	Source struct {
		Type      string `json:"type"`
		MediaType string `json:"media_type"`
		Data      string `json:"data"`
	} `json:"source"`
	ID        string          `json:"id"`
	Name      string          `json:"name"`
	Input     json.RawMessage `json:"input"`
	ToolUseID string          `json:"tool_use_id"`
	Content   json.RawMessage `json:"content"`
}

func (anthropic) read(_ *http.Request, body []byte) (*question, string, *fault) {
	var doc anthropicDoc
	if f := decode(body, &doc); f != nil {
		return nil, "", f
	}
	q, f := doc.question()
	return q, doc.Metadata.UserID, f
}

func (doc *anthropicDoc) question() (*question, *fault) {
	q := &question{
		model: doc.Model, maxTokens: doc.MaxTokens, temperature: doc.Temperature, topP: doc.TopP, stop: doc.StopSequences,
		tier: strings.Replace(doc.ServiceTier, "standard_only", "standard", 1),
	}
	if q.tier == "auto" {
		q.tier = ""
	}
	if f := q.anthropicTools(doc); f != nil {
		return q, f
	}
	system, f := texts(doc.System)
	if f != nil {
		return q, f
	}
	q.system = system
	for _, m := range doc.Messages {
		if f := q.anthropicTurn(m); f != nil {
			return q, f
		}
	}
	switch {
	case doc.Stream:
		return q, invalid("stream: the fake provider does not stream")
	case doc.MaxTokens < 1:
		return q, invalid("max_tokens: field required, at least 1")
	}
	return q, q.check(1)
}

func (q *question) anthropicTools(doc *anthropicDoc) *fault {
	for _, t := range doc.Tools {
		q.tools = append(q.tools, tool{t.Name, t.InputSchema})
	}
	if c := doc.ToolChoice; c != nil {
		switch c.Type {
		case "any":
			q.choice = "required"
		case "tool":
			q.choice = c.Name
		case "auto", "none":
			q.choice = c.Type
		default:
			return invalid("tool_choice.type: must be auto, any, tool or none")
		}
	}
	if format := doc.OutputConfig.Format; format != nil {
		if format.Type != "json_schema" || len(format.Schema) == 0 {
			return invalid("output_config.format: must be of type json_schema, with a schema")
		}
		q.structured, q.schema = true, format.Schema
	}
	return nil
}

func (q *question) anthropicTurn(m anthropicMessage) *fault {
	if m.Role != "user" && m.Role != "assistant" {
		return invalid("messages: unexpected role; allowed are user and assistant")
	}
	t := turn{role: m.Role}
	var blocks []anthropicBlock
	if json.Unmarshal(m.Content, &t.text) != nil {
		if f := decode(m.Content, &blocks); f != nil {
			return invalid("messages.content: must be a string or a list of blocks")
		}
	}
	for i := range blocks {
		b := &blocks[i]
		switch b.Type {
		case "text":
			t.text += b.Text
		case "image":
			if b.Source.Type != "base64" {
				return invalid("image: only sources of type base64 can be read here")
			}
			if f := q.image(&t, b.Source.MediaType, b.Source.Data); f != nil {
				return f
			}
		case "tool_use":
			q.called(b.ID)
		case "tool_result":
			result, f := texts(b.Content)
			if f == nil {
				f = q.answered(&t, b.ToolUseID, strings.Join(result, ""))
			}
			if f != nil {
				return f
			}
		case "thinking", "redacted_thinking":
		default:
			return invalid("messages.content: type is not understood")
		}
	}
	if t.text == "" && len(t.images)+len(t.results)+len(blocks) == 0 {
		return invalid("messages: all messages must have non-empty content")
	}
	q.turns = append(q.turns, t)
	return nil
}

// texts reads a string or a list of blocks of text.
func texts(raw json.RawMessage) ([]string, *fault) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return []string{text}, nil
	}
	var blocks []struct {
		Type string `json:"type"`
		Text string `json:"text"`
	}
	if json.Unmarshal(raw, &blocks) != nil {
		return nil, invalid("must be a string or a list of blocks of text")
	}
	var found []string
	for _, b := range blocks {
		found = append(found, b.Text)
	}
	return found, nil
}

func (anthropic) answer(h http.Header, _ *question, a *answer) any {
	h.Set("Request-Id", fmt.Sprintf("req_fake_%08d", a.seq))
	return anthropicAnswer(a)
}

func anthropicAnswer(a *answer) map[string]any {
	content := []any{}
	if a.text != "" {
		content = append(content, map[string]any{"type": "text", "text": a.text})
	}
	for _, c := range a.calls {
		content = append(content, map[string]any{"type": "tool_use", "id": c.id, "name": c.name, "input": c.input()})
	}
	doc := map[string]any{
		"id": fmt.Sprintf("msg_fake_%08d", a.seq), "type": "message", "role": "assistant", "model": a.model, "content": content,
		"stop_reason": anthropicStop(a.finish), "stop_sequence": nil,
	}
	if a.finish == finishSequence {
		doc["stop_sequence"] = a.sequence
	}
	if a.finish == finishRefused {
		doc["stop_details"] = map[string]any{"type": "refusal", "category": nil, "explanation": nil}
	}
	if u := a.usage; u != nil {
		tier := a.tier
		if tier == "" {
			tier = "standard"
		}
		doc["usage"] = map[string]any{
			"input_tokens": u.Input, "output_tokens": u.Output,
			"cache_read_input_tokens": u.CacheRead, "cache_creation_input_tokens": u.CacheWrite5m + u.CacheWrite1h,
			"cache_creation":        map[string]any{"ephemeral_5m_input_tokens": u.CacheWrite5m, "ephemeral_1h_input_tokens": u.CacheWrite1h},
			"output_tokens_details": map[string]any{"thinking_tokens": u.Reasoning},
			"service_tier":          tier,
		}
	}
	return doc
}

// input is the arguments as a document; broken ones are a text.
func (c toolCall) input() any {
	if c.broken {
		return string(c.args)
	}
	return c.args
}

func anthropicStop(f finish) string {
	switch f {
	case finishSequence:
		return "stop_sequence"
	case finishLength:
		return "max_tokens"
	case finishTool, finishBroken:
		return "tool_use"
	case finishRefused, finishFiltered, finishGuardrail:
		return "refusal"
	case finishStop:
	}
	return "end_turn"
}
