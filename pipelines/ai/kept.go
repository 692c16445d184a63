package ai

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"flowgate/messages"
)

// kept is an answer as the cache has it.
type kept struct {
	Text              string              `json:"text,omitempty"`
	Model             string              `json:"model,omitempty"`
	FinishReason      string              `json:"finish_reason,omitempty"`
	ProviderRequestID string              `json:"provider_request_id,omitempty"`
	ToolCalls         []messages.ToolCall `json:"tool_calls,omitempty"`
	Embeddings        [][]float32         `json:"embeddings,omitempty"`
	UsageUnknown      bool                `json:"usage_unknown,omitempty"`
}

// plainJSON leaves the signs as they are that HTML has a meaning for: placeholders are made of them.
func plainJSON(v any) (json.RawMessage, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

var errNotKeepable = errors.New("the answer is refused, cut or empty: the cache has none of those")

// Keep is an answer as the cache has it: as the backend gave it, before data are put back in the place of placeholders. Its usage stands
// beside it. One that is not Keepable is an error.
func Keep(a *Answer) (json.RawMessage, error) {
	if !Keepable(a) {
		return nil, errNotKeepable
	}
	data, err := plainJSON(kept{a.Text, a.Model, a.FinishReason, a.ProviderRequestID, a.ToolCalls, a.Embeddings, a.UsageUnknown})
	if err != nil {
		return nil, fmt.Errorf("encoding an answer for the cache: %w", err)
	}
	return data, nil
}

// Recall is the answer that Keep wrote.
func Recall(data json.RawMessage, usage messages.Usage) (Answer, error) {
	var k kept
	if err := json.Unmarshal(data, &k); err != nil {
		return Answer{}, fmt.Errorf("decoding an answer of the cache: %w", err)
	}
	a := Answer{
		Text: k.Text, Model: k.Model, FinishReason: k.FinishReason, ProviderRequestID: k.ProviderRequestID, ToolCalls: k.ToolCalls,
		Embeddings: k.Embeddings, Usage: usage, UsageUnknown: k.UsageUnknown,
	}
	if !Keepable(&a) {
		return Answer{}, errNotKeepable
	}
	return a, nil
}

// Asked is what a call asks, as the cache shows it to people: with placeholders in the place of masked data, and of images their sizes.
func Asked(c *Call) (json.RawMessage, error) {
	seen := make([]messages.Message, len(c.Messages))
	for i, m := range c.Messages {
		images := make([]messages.Image, len(m.Images))
		for j, image := range m.Images {
			if images[j] = image; image.Data != "" {
				images[j].Data = fmt.Sprintf("%d bytes of base64", len(image.Data))
			}
		}
		m.Images = images
		seen[i] = m
	}
	data, err := plainJSON(struct {
		Kind        messages.Kind            `json:"kind"`
		Model       string                   `json:"model"`
		Messages    []messages.Message       `json:"messages,omitempty"`
		Input       []string                 `json:"input,omitempty"`
		Temperature float64                  `json:"temperature"`
		MaxTokens   int                      `json:"max_tokens,omitempty"`
		TopP        *float64                 `json:"top_p,omitempty"`
		TopK        *int                     `json:"top_k,omitempty"`
		Seed        *int64                   `json:"seed,omitempty"`
		Stop        []string                 `json:"stop,omitempty"`
		Dimensions  int                      `json:"dimensions,omitempty"`
		Tools       []messages.Tool          `json:"tools,omitempty"`
		ToolChoice  string                   `json:"tool_choice,omitempty"`
		Format      *messages.ResponseFormat `json:"response_format,omitempty"`
	}{
		kind(c), c.Model, seen, c.Input, c.Temperature, c.MaxTokens, c.TopP, c.TopK, c.Seed, c.Stop, c.Dimensions, c.Tools, c.ToolChoice, c.Format,
	})
	if err != nil {
		return nil, fmt.Errorf("encoding what was asked for the cache: %w", err)
	}
	return data, nil
}
