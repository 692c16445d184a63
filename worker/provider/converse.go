package provider

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// converse speaks Bedrock's Converse.
type converse struct{}

func (converse) protocol() Protocol { return Converse }

func (converse) admit(k *keyring, r *http.Request, body []byte, now time.Time) *fault {
	return k.signed(r, body, now)
}

func (converse) refuse(h http.Header, o Outcome, r *Reply, message string) (int, any) {
	return refuseBedrock(h, o, r, message)
}

// metadataKey is where our request id stands in the request metadata.
const metadataKey = "flowgate-request"

type converseDoc struct {
	Messages []struct {
		Role    string          `json:"role"`
		Content []converseBlock `json:"content"`
	} `json:"messages"`
	System []struct {
		Text string `json:"text"`
	} `json:"system"`
	InferenceConfig struct {
		MaxTokens     int      `json:"maxTokens"`
		Temperature   *float64 `json:"temperature"`
		TopP          *float64 `json:"topP"`
		StopSequences []string `json:"stopSequences"`
	} `json:"inferenceConfig"`
	ToolConfig *struct {
		Tools []struct {
			ToolSpec *struct {
				Name        string `json:"name"`
				InputSchema struct {
					JSON json.RawMessage `json:"json"`
				} `json:"inputSchema"`
			} `json:"toolSpec"`
		} `json:"tools"`
		ToolChoice map[string]struct {
			Name string `json:"name"`
		} `json:"toolChoice"`
	} `json:"toolConfig"`
	OutputConfig struct {
		TextFormat *struct {
			Type      string `json:"type"`
			Structure struct {
				JSONSchema struct {
					Schema string `json:"schema"`
				} `json:"jsonSchema"`
			} `json:"structure"`
		} `json:"textFormat"`
	} `json:"outputConfig"`
	RequestMetadata map[string]string `json:"requestMetadata"`
	ServiceTier     struct {
		Type string `json:"type"`
	} `json:"serviceTier"`
}

type converseBlock struct {
	Text  *string `json:"text"`
	Image *struct {
		Format string `json:"format"`
		Source struct {
			Bytes string `json:"bytes"`
		} `json:"source"`
	} `json:"image"`
	ToolUse *struct {
		ToolUseID string `json:"toolUseId"`
	} `json:"toolUse"`
	ToolResult *struct {
		ToolUseID string `json:"toolUseId"`
		Content   []struct {
			Text *string         `json:"text"`
			JSON json.RawMessage `json:"json"`
		} `json:"content"`
	} `json:"toolResult"`
}

func (converse) read(r *http.Request, body []byte) (*question, string, *fault) {
	var doc converseDoc
	if f := decode(body, &doc); f != nil {
		return nil, "", f
	}
	c := doc.InferenceConfig
	q := &question{
		model: r.PathValue("model"), maxTokens: c.MaxTokens, temperature: c.Temperature, topP: c.TopP, stop: c.StopSequences,
		tier: doc.ServiceTier.Type,
	}
	for _, s := range doc.System {
		q.system = append(q.system, s.Text)
	}
	f := q.converseTools(&doc)
	for i := 0; f == nil && i < len(doc.Messages); i++ {
		f = q.converseTurn(doc.Messages[i].Role, doc.Messages[i].Content)
	}
	if f == nil {
		f = q.check(1)
	}
	return q, doc.RequestMetadata[metadataKey], f
}

func (q *question) converseTools(doc *converseDoc) *fault {
	if t := doc.ToolConfig; t != nil {
		for _, spec := range t.Tools {
			if spec.ToolSpec != nil {
				q.tools = append(q.tools, tool{spec.ToolSpec.Name, spec.ToolSpec.InputSchema.JSON})
			}
		}
		for kind, named := range t.ToolChoice {
			switch kind {
			case "auto":
				q.choice = "auto"
			case "any":
				q.choice = "required"
			case "tool":
				q.choice = named.Name
			default:
				return invalid("toolConfig.toolChoice: must be auto, any or tool")
			}
		}
	}
	if format := doc.OutputConfig.TextFormat; format != nil {
		schema := format.Structure.JSONSchema.Schema
		if format.Type != "json_schema" || !json.Valid([]byte(schema)) {
			return invalid("outputConfig.textFormat: must be of type json_schema, with a schema")
		}
		q.structured, q.schema = true, json.RawMessage(schema)
	}
	return nil
}

func (q *question) converseTurn(role string, blocks []converseBlock) *fault {
	if role != "user" && role != "assistant" {
		return invalid("messages.role: must be user or assistant")
	}
	if len(blocks) == 0 {
		return invalid("messages.content: must not be empty")
	}
	t := turn{role: role}
	for _, b := range blocks {
		switch {
		case b.Text != nil && strings.TrimSpace(*b.Text) == "":
			return invalid("The text field in the ContentBlock object is blank.")
		case b.Text != nil:
			t.text += *b.Text
		case b.Image != nil:
			if f := q.image(&t, "image/"+b.Image.Format, b.Image.Source.Bytes); f != nil {
				return f
			}
		case b.ToolUse != nil:
			q.called(b.ToolUse.ToolUseID)
		case b.ToolResult != nil:
			var result strings.Builder
			for _, c := range b.ToolResult.Content {
				if c.Text != nil {
					result.WriteString(*c.Text)
				}
				result.Write(c.JSON)
			}
			if f := q.answered(&t, b.ToolResult.ToolUseID, result.String()); f != nil {
				return f
			}
		default:
			return invalid("messages.content: a block is of no kind that is understood here")
		}
	}
	q.turns = append(q.turns, t)
	return nil
}

func (converse) answer(h http.Header, _ *question, a *answer) any {
	h.Set("X-Amzn-Requestid", fmt.Sprintf("fake-%08d", a.seq))
	content := []any{}
	if a.text != "" {
		content = append(content, map[string]any{"text": a.text})
	}
	for _, c := range a.calls {
		content = append(content, map[string]any{"toolUse": map[string]any{"toolUseId": c.id, "name": c.name, "input": c.input()}})
	}
	doc := map[string]any{
		"output":     map[string]any{"message": map[string]any{"role": "assistant", "content": content}},
		"stopReason": converseStop(a.finish), "metrics": map[string]any{"latencyMs": 1},
	}
	if a.tier != "" {
		doc["serviceTier"] = map[string]any{"type": a.tier}
	}
	if u := a.usage; u != nil {
		written := []any{}
		for _, w := range []struct {
			ttl    string
			tokens int64
		}{{"1h", u.CacheWrite1h}, {"5m", u.CacheWrite5m}} {
			if w.tokens > 0 {
				written = append(written, map[string]any{"inputTokens": w.tokens, "ttl": w.ttl})
			}
		}
		doc["usage"] = map[string]any{
			"inputTokens": u.Input, "outputTokens": u.Output, "totalTokens": u.Prompt() + u.Output,
			"cacheReadInputTokens": u.CacheRead, "cacheWriteInputTokens": u.CacheWrite5m + u.CacheWrite1h, "cacheDetails": written,
		}
	}
	return doc
}

func converseStop(f finish) string {
	switch f {
	case finishSequence:
		return "stop_sequence"
	case finishLength:
		return "max_tokens"
	case finishTool:
		return "tool_use"
	case finishFiltered, finishRefused:
		return "content_filtered"
	case finishGuardrail:
		return "guardrail_intervened"
	case finishBroken:
		return "malformed_tool_use"
	case finishStop:
	}
	return "end_turn"
}
