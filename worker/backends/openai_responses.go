package backends

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/packages/param"
	"github.com/openai/openai-go/v3/responses"
	"github.com/openai/openai-go/v3/shared"

	"flowgate/messages"
	"flowgate/pipelines/ai"
)

// responsesProtocol is what an exchange has to know of Responses.
var responsesProtocol = &protocol{requestIDs: []string{"X-Request-Id"}, told: decodeTold, whole: wholeResponse}

// Statuses of a response that ended.
const (
	responseCompleted  = "completed"
	responseIncomplete = "incomplete"
)

// wholeResponse holds a body to being a response that ended with an output: one that failed is answered with status 200 too.
func wholeResponse(body []byte) string {
	var shape struct {
		Status string            `json:"status"`
		Output []json.RawMessage `json:"output"`
	}
	switch err := json.Unmarshal(body, &shape); {
	case err != nil:
		return badJSON
	case shape.Status != responseCompleted && shape.Status != responseIncomplete:
		return "not_completed"
	case shape.Output == nil:
		return "no_output"
	}
	return ""
}

// respond asks through Responses. Nothing is stored there.
func (b *OpenAI) respond(ctx context.Context, call *ai.Call) (ai.Answer, error) {
	x, client, cancel := b.begin(ctx, responsesProtocol)
	defer cancel()
	response, err := b.responses.New(context.WithoutCancel(ctx), responseParams(call), asked(client, call)...)
	return x.answer(call, err, func() (ai.Answer, *ai.Fault) { return responseAnswer(call, response), nil })
}

// responseAnswer is what a response says. Its word for why it ended is its status, or why it is incomplete.
func responseAnswer(call *ai.Call, response *responses.Response) ai.Answer {
	answer := ai.Answer{Model: response.Model, FinishReason: string(response.Status), ProviderRequestID: response.ID}
	if reason := response.IncompleteDetails.Reason; reason != "" && answer.FinishReason == responseIncomplete {
		answer.FinishReason = reason
	}
	answer.Refused = answer.FinishReason == "content_filter"
	var text, refusal strings.Builder
	for i := range response.Output {
		item := &response.Output[i]
		switch item.Type {
		case "message":
			for j := range item.Content {
				text.WriteString(item.Content[j].Text)
				refusal.WriteString(item.Content[j].Refusal)
			}
		case "function_call":
			answer.ToolCalls = append(answer.ToolCalls, messages.ToolCall{ID: item.CallID, Name: item.Name, Arguments: item.Arguments.OfString})
		}
	}
	answer.Text, answer.Refused = text.String(), answer.Refused || refusal.Len() > 0
	if answer.Text == "" {
		answer.Text = refusal.String()
	}
	usage, known := responsesUsage([]byte(response.Usage.RawJSON()), factsOf(call, string(response.ServiceTier)))
	answer.Usage, answer.UsageUnknown = usage, !known
	return answer
}

func responseParams(call *ai.Call) responses.ResponseNewParams {
	params := responses.ResponseNewParams{
		Model: call.Model, MaxOutputTokens: openai.Int(int64(call.MaxTokens)), Store: openai.Bool(false),
		Temperature: optional(temperatureOf(call)), TopP: optional(call.TopP),
	}
	for i := range call.Messages {
		params.Input.OfInputItemList = append(params.Input.OfInputItemList, responseItems(&call.Messages[i])...)
	}
	for i := range call.Tools {
		tool := param.Override[responses.FunctionToolParam](responseTool{function: functionOf(&call.Tools[i]), Type: "function"})
		params.Tools = append(params.Tools, responses.ToolUnionParam{OfFunction: &tool})
	}
	switch call.ToolChoice {
	case "":
	case messages.ToolChoiceAuto, messages.ToolChoiceNone, messages.ToolChoiceRequired:
		params.ToolChoice.OfToolChoiceMode = param.NewOpt(responses.ToolChoiceOptions(call.ToolChoice))
	default:
		params.ToolChoice.OfFunctionTool = &responses.ToolChoiceFunctionParam{Name: call.ToolChoice}
	}
	params.Text = responseFormat(call.Format)
	return params
}

// responseTool is a tool as Responses takes it, which holds arguments to their schema unless told not to.
type responseTool struct {
	function

	Type   string `json:"type"`
	Strict bool   `json:"strict"`
}

// responseSchema is the form of an answer as Responses takes it.
type responseSchema struct {
	Type   string          `json:"type"`
	Name   string          `json:"name"`
	Schema json.RawMessage `json:"schema"`
	Strict bool            `json:"strict"`
}

func responseFormat(f *messages.ResponseFormat) (text responses.ResponseTextConfigParam) {
	if f == nil {
		return text
	}
	switch f.Type {
	case messages.FormatJSONObject:
		text.Format.OfJSONObject = &shared.ResponseFormatJSONObjectParam{}
	case messages.FormatJSONSchema:
		format := param.Override[responses.ResponseFormatTextJSONSchemaConfigParam](responseSchema{
			Type: "json_schema", Name: schemaName(f), Schema: f.Schema, Strict: strictSchema(f.Schema),
		})
		text.Format.OfJSONSchema = &format
	}
	return text
}

// responseItems are what a message is in the input of Responses.
func responseItems(m *messages.Message) []responses.ResponseInputItemUnionParam {
	if m.Role == messages.RoleTool {
		output := responses.ResponseInputItemParamOfFunctionCallOutput(m.Content)
		output.OfFunctionCallOutput.CallID = openai.String(m.ToolCallID)
		return []responses.ResponseInputItemUnionParam{output}
	}
	var items []responses.ResponseInputItemUnionParam
	switch role := responses.EasyInputMessageRole(m.Role); {
	case len(m.Images) > 0:
		items = append(items, responses.ResponseInputItemParamOfMessage(responseParts(m), role))
	case m.Content != "" || len(m.ToolCalls) == 0:
		items = append(items, responses.ResponseInputItemParamOfMessage(m.Content, role))
	}
	for _, c := range m.ToolCalls {
		items = append(items, responses.ResponseInputItemParamOfFunctionCall(c.Arguments, c.ID, c.Name))
	}
	return items
}

func responseParts(m *messages.Message) responses.ResponseInputMessageContentListParam {
	var parts responses.ResponseInputMessageContentListParam
	if m.Content != "" {
		parts = append(parts, responses.ResponseInputContentUnionParam{OfInputText: &responses.ResponseInputTextParam{Text: m.Content}})
	}
	for i := range m.Images {
		parts = append(parts, responses.ResponseInputContentUnionParam{OfInputImage: &responses.ResponseInputImageParam{
			ImageURL: openai.String(imageURL(&m.Images[i])), Detail: responses.ResponseInputImageDetailAuto,
		}})
	}
	return parts
}
