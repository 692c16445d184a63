package batch

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"flowgate/messages"
)

// openAIPrefix makes the id of an OpenAI result line from a request id.
const openAIPrefix = "batch_req_"

// openAILine is a line of a result file for a line of an OpenAI batch file. Lines of the error file have what the format
// has no place for beside it.
type openAILine struct {
	ID       string          `json:"id"`
	CustomID string          `json:"custom_id"`
	Response *openAIResponse `json:"response"`
	Error    *openAIError    `json:"error"`
	Status   messages.Status `json:"status,omitempty"`
	Flowgate *provenance     `json:"flowgate,omitempty"`
}

type openAIResponse struct {
	StatusCode int    `json:"status_code"`
	RequestID  string `json:"request_id"`
	// Body is a *completion or an *embeddingList.
	Body any `json:"body"`
}

type openAIError struct {
	Code    messages.Reason `json:"code"`
	Message string          `json:"message"`
	Param   string          `json:"param,omitempty"`
	Line    int             `json:"line,omitempty"`
	// RetryAt is when a request that was rate_limited has room.
	RetryAt time.Time `json:"retry_at,omitzero"`
}

type completion struct {
	ID       string           `json:"id"`
	Object   string           `json:"object"`
	Created  int64            `json:"created"`
	Model    string           `json:"model"`
	Choices  []choice         `json:"choices"`
	Usage    usage            `json:"usage"`
	Metadata completionOrigin `json:"metadata"`
}

type choice struct {
	Index        int     `json:"index"`
	Message      message `json:"message"`
	FinishReason string  `json:"finish_reason"`
}

type message struct {
	Role string `json:"role"`
	// Content is null where the model said nothing but asked for tools.
	Content   *string    `json:"content"`
	ToolCalls []toolCall `json:"tool_calls,omitempty"`
}

type toolCall struct {
	ID       string       `json:"id"`
	Type     string       `json:"type"`
	Function functionCall `json:"function"`
}

type functionCall struct {
	Name      string `json:"name"`
	Arguments string `json:"arguments"`
}

type embeddingList struct {
	Object   string           `json:"object"`
	Data     []embedding      `json:"data"`
	Model    string           `json:"model"`
	Usage    embeddingUsage   `json:"usage"`
	Metadata completionOrigin `json:"metadata"`
}

type embedding struct {
	Object    string          `json:"object"`
	Index     int             `json:"index"`
	Embedding json.RawMessage `json:"embedding"`
}

type embeddingUsage struct {
	PromptTokens int64 `json:"prompt_tokens"`
	TotalTokens  int64 `json:"total_tokens"`
}

type usage struct {
	PromptTokens     int64 `json:"prompt_tokens"`
	CompletionTokens int64 `json:"completion_tokens"`
	TotalTokens      int64 `json:"total_tokens"`
}

type completionOrigin struct {
	Flowgate *provenance `json:"flowgate"`
}

// provenance says who answered, at what cost, and how the request ended.
type provenance struct {
	Status       messages.Status `json:"status"`
	Reason       messages.Reason `json:"reason"`
	Backend      string          `json:"backend,omitempty"`
	CacheHit     bool            `json:"cache_hit"`
	Attempts     int             `json:"attempts"`
	CostUSD      float64         `json:"cost_usd"`
	FinishReason string          `json:"finish_reason,omitempty"`
	Retry        bool            `json:"retry,omitempty"`
	Usage        *usage          `json:"usage,omitempty"` // in error lines, where there is no other place
	// Reused says where an answer came from that no call of the line brought.
	Reused *messages.Reused `json:"reused,omitempty"`
}

func openAIRecord(l *Line, r *messages.Result) (openAILine, error) {
	line := openAILine{ID: openAIPrefix + r.ID, CustomID: l.CustomID}
	origin := &provenance{Status: r.Status, Reason: r.Reason, Retry: r.Retry}
	var used usage
	var model string
	if m := r.Metadata; m != nil {
		origin.Backend, origin.CacheHit, origin.Attempts = m.Backend, m.CacheHit, m.Attempts
		origin.Reused = m.Reused
		origin.CostUSD, origin.FinishReason = float64(m.CostMicroUSD)/1e6, m.FinishReason
		used = usage{PromptTokens: m.Tokens.Input, CompletionTokens: m.Tokens.Output, TotalTokens: m.Tokens.Total}
		model = m.Model
	}
	if !endedOf(r).answered() {
		if r.Metadata != nil {
			origin.Usage = &used
		}
		line.Error = &openAIError{Code: r.Reason, Message: r.Message, Param: r.Field, Line: l.Number, RetryAt: r.RetryAt}
		line.Status, line.Flowgate = r.Status, origin
		return line, nil
	}
	var body any = completionOf(r, model, used, origin)
	if len(r.Embeddings) > 0 {
		list, err := embeddingsOf(r, model, used, origin)
		if err != nil {
			return line, err
		}
		body = list
	}
	line.Response = &openAIResponse{StatusCode: 200, RequestID: r.ID, Body: body}
	return line, nil
}

func completionOf(r *messages.Result, model string, used usage, origin *provenance) *completion {
	m, word := message{Role: "assistant", Content: &r.Answer}, finishReason(origin.FinishReason)
	for _, c := range r.ToolCalls {
		m.ToolCalls = append(m.ToolCalls, toolCall{ID: c.ID, Type: memberFunction, Function: functionCall{Name: c.Name, Arguments: c.Arguments}})
	}
	if len(m.ToolCalls) > 0 {
		if r.Answer == "" {
			m.Content = nil
		}
		if word == "stop" {
			word = finishedForTools
		}
	}
	return &completion{
		ID: "chatcmpl-" + r.ID, Object: "chat.completion", Created: created(r.FinishedAt), Model: model,
		Choices: []choice{{Message: m, FinishReason: word}},
		Usage:   used, Metadata: completionOrigin{Flowgate: origin},
	}
}

func embeddingsOf(r *messages.Result, model string, used usage, origin *provenance) (*embeddingList, error) {
	var vectors []json.RawMessage
	if err := json.Unmarshal(r.Embeddings, &vectors); err != nil {
		return nil, fmt.Errorf("reading vectors: %w", err)
	}
	list := &embeddingList{
		Object: "list", Data: make([]embedding, len(vectors)), Model: model,
		Usage: embeddingUsage{PromptTokens: used.PromptTokens, TotalTokens: used.TotalTokens}, Metadata: completionOrigin{Flowgate: origin},
	}
	for i, v := range vectors {
		list.Data[i] = embedding{Object: "embedding", Index: i, Embedding: v}
	}
	return list, nil
}

func created(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

// finishedForTools is OpenAI's word for an answer that asks for tools.
const finishedForTools = "tool_calls"

// finishReason translates the words of providers into OpenAI's.
func finishReason(word string) string {
	switch strings.ToLower(word) {
	case "", "stop", "end_turn", "stop_sequence", "complete", "finish":
		return "stop"
	case finishedForTools, "tool_use", "function_call":
		return finishedForTools
	case "length", "max_tokens":
		return "length"
	case "content_filter", "refusal", "guardrail_intervened", "content_filtered":
		return "content_filter"
	}
	return word
}
