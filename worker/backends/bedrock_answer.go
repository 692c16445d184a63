package backends

import (
	"bytes"
	"encoding/json"
	"strings"

	"flowgate/messages"
	"flowgate/pipelines/ai"
)

// converseProtocol is what an exchange has to know of Converse.
var converseProtocol = &protocol{requestIDs: []string{"X-Amzn-Requestid"}, told: toldByBedrock, whole: wholeConverse}

// converseDoc is what Converse answers, as far as it is read.
type converseDoc struct {
	Output struct {
		Message *struct {
			Content []converseBlock `json:"content"`
		} `json:"message"`
	} `json:"output"`
	StopReason  string          `json:"stopReason"`
	Usage       json.RawMessage `json:"usage"`
	ServiceTier struct {
		Type string `json:"type"`
	} `json:"serviceTier"`
}

// converseBlock is one of those that are read; reasoning is none.
type converseBlock struct {
	Text    string `json:"text"`
	ToolUse *struct {
		ID    string          `json:"toolUseId"`
		Name  string          `json:"name"`
		Input json.RawMessage `json:"input"`
	} `json:"toolUse"`
	Citations struct {
		Content []struct {
			Text string `json:"text"`
		} `json:"content"`
	} `json:"citationsContent"`
}

// wholeConverse holds a body to having a message.
func wholeConverse(body []byte) string {
	var doc converseDoc
	switch err := json.Unmarshal(body, &doc); {
	case err != nil:
		return badJSON
	case doc.Output.Message == nil:
		return "no_message"
	}
	return ""
}

// Why an answer of Converse ended.
const (
	stopGuardrail = "guardrail_intervened"
	stopFiltered  = "content_filtered"
	stopRefusal   = "refusal"
)

// converseAnswer is what a whole body says.
func converseAnswer(call *ai.Call, body []byte) (ai.Answer, *ai.Fault) {
	var doc converseDoc
	if err := json.Unmarshal(body, &doc); err != nil {
		return ai.Answer{}, inDoubt(badJSON, "the provider's answer could not be read", nil)
	}
	answer := ai.Answer{Model: call.Model, FinishReason: doc.StopReason}
	var text strings.Builder
	for i := range doc.Output.Message.Content {
		block := &doc.Output.Message.Content[i]
		text.WriteString(block.Text)
		for _, cited := range block.Citations.Content {
			text.WriteString(cited.Text)
		}
		if use := block.ToolUse; use != nil {
			answer.ToolCalls = append(answer.ToolCalls, messages.ToolCall{ID: use.ID, Name: use.Name, Arguments: written(use.Input)})
		}
	}
	answer.Text = text.String()
	switch doc.StopReason {
	case stopGuardrail, stopFiltered, stopRefusal:
		answer.Refused = true
	}
	if doc.StopReason == stopGuardrail && toldNothing(doc.Usage) {
		return answer, nil // it stepped in before the model did: no token was used
	}
	usage, known := converseUsage(doc.Usage, factsOf(call, doc.ServiceTier.Type))
	answer.Usage, answer.UsageUnknown = usage, !known
	return answer, nil
}

// written are arguments of a tool as the model wrote them: JSON, or what was to become some.
func written(input json.RawMessage) string {
	var broken string
	if json.Unmarshal(input, &broken) == nil && len(input) > 0 && input[0] == '"' {
		return broken
	}
	var compact bytes.Buffer
	if json.Compact(&compact, input) != nil {
		return ""
	}
	return compact.String()
}

// toldNothing tells whether a usage counts zero tokens, and says so.
func toldNothing(raw json.RawMessage) bool {
	c := readCounts(raw)
	return c.must("inputTokens") == 0 && c.must("outputTokens") == 0 && c.may("cacheReadInputTokens") == 0 && c.may("cacheWriteInputTokens") == 0 && !c.bad
}
