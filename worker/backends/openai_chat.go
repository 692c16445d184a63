package backends

import (
	"context"
	"encoding/json"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/packages/param"
	"github.com/openai/openai-go/v3/shared"

	"flowgate/messages"
	"flowgate/pipelines/ai"
)

// chatProtocol is what an exchange has to know of Chat Completions.
var chatProtocol = &protocol{requestIDs: []string{"X-Request-Id"}, told: decodeTold, whole: wholeChat}

// wholeChat holds a body to having a message.
func wholeChat(body []byte) string {
	var shape struct {
		Choices []struct {
			Message *struct{} `json:"message"`
		} `json:"choices"`
	}
	switch err := json.Unmarshal(body, &shape); {
	case err != nil:
		return badJSON
	case len(shape.Choices) == 0 || shape.Choices[0].Message == nil:
		return "no_choices" // some servers tell an error after status 200
	}
	return ""
}

// complete asks through Chat Completions.
func (b *OpenAI) complete(ctx context.Context, call *ai.Call) (ai.Answer, error) {
	x, client, cancel := b.begin(ctx, chatProtocol)
	defer cancel()
	// The SDK looks at its context once more after the answer is there, and would drop an answer that was paid for.
	completion, err := b.chat.New(context.WithoutCancel(ctx), b.chatParams(call), asked(client, call)...)
	return x.answer(call, err, func() (ai.Answer, *ai.Fault) { return chatAnswer(call, completion), nil })
}

// chatAnswer is what a chat completion says.
func chatAnswer(call *ai.Call, completion *openai.ChatCompletion) ai.Answer {
	choice := &completion.Choices[0]
	answer := ai.Answer{
		Text: choice.Message.Content, Model: completion.Model, FinishReason: choice.FinishReason, ProviderRequestID: completion.ID,
		Refused: choice.Message.Refusal != "" || choice.FinishReason == "content_filter",
	}
	if answer.Text == "" {
		answer.Text = choice.Message.Refusal
	}
	for i := range choice.Message.ToolCalls {
		if c := &choice.Message.ToolCalls[i]; c.Type == "function" || c.Type == "" {
			answer.ToolCalls = append(answer.ToolCalls, messages.ToolCall{ID: c.ID, Name: c.Function.Name, Arguments: c.Function.Arguments})
		}
	}
	usage, known := chatUsage([]byte(completion.Usage.RawJSON()), factsOf(call, string(completion.ServiceTier)))
	answer.Usage, answer.UsageUnknown = usage, !known
	return answer
}

func (b *OpenAI) chatParams(call *ai.Call) openai.ChatCompletionNewParams {
	params := openai.ChatCompletionNewParams{
		Model: call.Model, Messages: make([]openai.ChatCompletionMessageParamUnion, len(call.Messages)),
		Temperature: optional(temperatureOf(call)), TopP: optional(call.TopP), Seed: optional(call.Seed),
		ResponseFormat: chatFormat(call.Format),
	}
	for i := range call.Messages {
		params.Messages[i] = chatMessage(&call.Messages[i])
	}
	if b.options.tokensField(b.base, call.Model) == MaxCompletionTokens {
		params.MaxCompletionTokens = openai.Int(int64(call.MaxTokens))
	} else {
		params.MaxTokens = openai.Int(int64(call.MaxTokens)) // the only name that Ollama and older vLLM know
	}
	if len(call.Stop) > 0 {
		params.Stop.OfStringArray = call.Stop
	}
	for i := range call.Tools {
		function := param.Override[shared.FunctionDefinitionParam](functionOf(&call.Tools[i]))
		params.Tools = append(params.Tools, openai.ChatCompletionFunctionTool(function))
	}
	switch call.ToolChoice {
	case "":
	case messages.ToolChoiceAuto, messages.ToolChoiceNone, messages.ToolChoiceRequired:
		params.ToolChoice.OfAuto = openai.String(call.ToolChoice)
	default:
		params.ToolChoice = openai.ToolChoiceOptionFunctionToolChoice(openai.ChatCompletionNamedToolChoiceFunctionParam{Name: call.ToolChoice})
	}
	return params
}

// function is a tool as OpenAI takes it. The schema travels as it is, since the order of its fields may matter to a model.
type function struct {
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	Parameters  json.RawMessage `json:"parameters,omitempty"`
}

func functionOf(t *messages.Tool) function {
	return function{Name: t.Name, Description: t.Description, Parameters: t.Parameters}
}

func chatFormat(f *messages.ResponseFormat) (format openai.ChatCompletionNewParamsResponseFormatUnion) {
	if f == nil {
		return format
	}
	switch f.Type {
	case messages.FormatJSONObject:
		format.OfJSONObject = &shared.ResponseFormatJSONObjectParam{}
	case messages.FormatJSONSchema:
		schema := shared.ResponseFormatJSONSchemaJSONSchemaParam{Name: schemaName(f), Schema: f.Schema}
		if strictSchema(f.Schema) {
			schema.Strict = openai.Bool(true)
		}
		format.OfJSONSchema = &shared.ResponseFormatJSONSchemaParam{JSONSchema: schema}
	}
	return format
}

func chatMessage(m *messages.Message) (out openai.ChatCompletionMessageParamUnion) {
	var name param.Opt[string]
	if m.Name != "" {
		name = openai.String(m.Name)
	}
	switch m.Role {
	case "system":
		out = openai.SystemMessage(m.Content)
		out.OfSystem.Name = name
	case "developer":
		out = openai.DeveloperMessage(m.Content)
		out.OfDeveloper.Name = name
	case "assistant":
		out.OfAssistant = chatAssistant(m)
		out.OfAssistant.Name = name
	case messages.RoleTool:
		out = openai.ToolMessage(m.Content, m.ToolCallID)
	default:
		out = openai.UserMessage(m.Content)
		if len(m.Images) > 0 {
			out = openai.UserMessage(chatParts(m))
		}
		out.OfUser.Name = name
	}
	return out
}

func chatAssistant(m *messages.Message) *openai.ChatCompletionAssistantMessageParam {
	out := &openai.ChatCompletionAssistantMessageParam{}
	if m.Content != "" || len(m.ToolCalls) == 0 {
		out.Content.OfString = openai.String(m.Content)
	}
	for _, c := range m.ToolCalls {
		out.ToolCalls = append(out.ToolCalls, openai.ChatCompletionMessageToolCallUnionParam{
			OfFunction: &openai.ChatCompletionMessageFunctionToolCallParam{
				ID: c.ID, Function: openai.ChatCompletionMessageFunctionToolCallFunctionParam{Name: c.Name, Arguments: c.Arguments},
			},
		})
	}
	return out
}

func chatParts(m *messages.Message) []openai.ChatCompletionContentPartUnionParam {
	var parts []openai.ChatCompletionContentPartUnionParam
	if m.Content != "" {
		parts = append(parts, openai.TextContentPart(m.Content))
	}
	for i := range m.Images {
		parts = append(parts, openai.ImageContentPart(openai.ChatCompletionContentPartImageImageURLParam{URL: imageURL(&m.Images[i])}))
	}
	return parts
}

// imageURL is where an image is; one that is inline is a data URL.
func imageURL(i *messages.Image) string {
	if i.URL != "" {
		return i.URL
	}
	return "data:" + i.MediaType + ";base64," + i.Data
}

// optional is a value that may be left out.
func optional[T comparable](v *T) param.Opt[T] {
	if v == nil {
		return param.Opt[T]{}
	}
	return param.NewOpt(*v)
}
