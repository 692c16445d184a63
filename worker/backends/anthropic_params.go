package backends

import (
	"encoding/json"

	"github.com/anthropics/anthropic-sdk-go"
	"github.com/anthropics/anthropic-sdk-go/packages/param"

	"flowgate/messages"
	"flowgate/pipelines/ai"
)

// maxUserID is what Messages takes as metadata.user_id, in characters.
const maxUserID = 256

// anthropicParams are the body of Messages. What messages say of the system becomes the system prompt, in their order; messages that follow
// each other in one role become one turn, so that the results of tools that were called together come together.
func anthropicParams(call *ai.Call) anthropic.MessageNewParams {
	params := anthropic.MessageNewParams{Model: call.Model, MaxTokens: int64(call.MaxTokens), StopSequences: call.Stop}
	if !call.DefaultTemperature || call.TopP == nil && !unsampled.MatchString(call.Model) && !maybeUnsampled.MatchString(call.Model) {
		params.Temperature = anthropic.Float(call.Temperature)
	}
	if call.TopP != nil {
		params.TopP = anthropic.Float(*call.TopP)
	}
	if call.TopK != nil {
		params.TopK = anthropic.Int(int64(*call.TopK))
	}
	if id := requestIDOf(call, maxUserID); id != "" {
		params.Metadata.UserID = anthropic.String(id)
	}
	for i := range call.Messages {
		m := &call.Messages[i]
		if m.Role == "system" || m.Role == "developer" {
			if m.Content != "" {
				params.System = append(params.System, anthropic.TextBlockParam{Text: m.Content})
			}
			continue
		}
		addTurn(&params, m)
	}
	for i := range call.Tools {
		params.Tools = append(params.Tools, anthropic.ToolUnionParam{OfTool: anthropicTool(&call.Tools[i])})
	}
	params.ToolChoice = anthropicChoice(call)
	if f := call.Format; f != nil && f.Type == messages.FormatJSONSchema {
		params.OutputConfig.Format = param.Override[anthropic.JSONOutputFormatParam](anthropicFormat{Type: f.Type, Schema: f.Schema})
	}
	return params
}

// anthropicFormat is the form of an answer as Messages takes it.
type anthropicFormat struct {
	Type   string          `json:"type"`
	Schema json.RawMessage `json:"schema"`
}

// addTurn adds a message to the last turn if that is of its role, else as a turn of its own.
func addTurn(params *anthropic.MessageNewParams, m *messages.Message) {
	role := anthropic.MessageParamRoleUser // results of tools as well
	if m.Role == "assistant" {
		role = anthropic.MessageParamRoleAssistant
	}
	blocks := anthropicBlocks(m)
	if last := len(params.Messages) - 1; last >= 0 && params.Messages[last].Role == role {
		params.Messages[last].Content = append(params.Messages[last].Content, blocks...)
		return
	}
	params.Messages = append(params.Messages, anthropic.MessageParam{Role: role, Content: blocks})
}

func anthropicBlocks(m *messages.Message) []anthropic.ContentBlockParamUnion {
	if m.Role == messages.RoleTool {
		return []anthropic.ContentBlockParamUnion{anthropic.NewToolResultBlock(m.ToolCallID, m.Content, false)}
	}
	var blocks []anthropic.ContentBlockParamUnion
	for i := range m.Images {
		if image := &m.Images[i]; image.URL != "" {
			blocks = append(blocks, anthropic.NewImageBlock(anthropic.URLImageSourceParam{URL: image.URL}))
		} else {
			blocks = append(blocks, anthropic.NewImageBlockBase64(image.MediaType, image.Data))
		}
	}
	if m.Content != "" || len(m.Images)+len(m.ToolCalls) == 0 {
		blocks = append(blocks, anthropic.NewTextBlock(m.Content))
	}
	for _, c := range m.ToolCalls {
		blocks = append(blocks, anthropic.NewToolUseBlock(c.ID, json.RawMessage(c.Arguments), c.Name))
	}
	return blocks
}

// noArguments is the schema of a tool that has none.
const noArguments = `{"type":"object","properties":{}}`

func anthropicTool(t *messages.Tool) *anthropic.ToolParam {
	schema := t.Parameters
	if len(schema) == 0 {
		schema = json.RawMessage(noArguments)
	}
	tool := &anthropic.ToolParam{Name: t.Name, InputSchema: param.Override[anthropic.ToolInputSchemaParam](schema)}
	if t.Description != "" {
		tool.Description = anthropic.String(t.Description)
	}
	return tool
}

func anthropicChoice(call *ai.Call) (choice anthropic.ToolChoiceUnionParam) {
	switch call.ToolChoice {
	case "":
	case messages.ToolChoiceAuto:
		choice.OfAuto = &anthropic.ToolChoiceAutoParam{}
	case messages.ToolChoiceNone:
		choice.OfNone = &anthropic.ToolChoiceNoneParam{}
	case messages.ToolChoiceRequired:
		choice.OfAny = &anthropic.ToolChoiceAnyParam{}
	default:
		choice = anthropic.ToolChoiceParamOfTool(call.ToolChoice)
	}
	return choice
}
