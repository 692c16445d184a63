package backends

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"flowgate/messages"
	"flowgate/pipelines/ai"
)

// OpenAIName is the name of the OpenAI backend.
const OpenAIName = "openai"

// maxRequestID is what OpenAI takes of a client's request id, in ASCII characters.
const maxRequestID = 512

// OpenAI asks through OpenAI's Chat Completions, which Ollama, vLLM and others speak too. Every call carries the header
// X-Client-Request-Id "<tenant>/<id>/<epoch>/<attempt>", so that the provider's logs can be joined with our records.
type OpenAI struct {
	*line

	chat   openai.ChatCompletionService
	tokens MaxTokensField
}

// NewOpenAI makes the OpenAI backend. It connects nowhere yet. Close frees its connections.
func NewOpenAI(options OpenAIOptions) (*OpenAI, error) {
	if err := options.Validate(); err != nil {
		return nil, err
	}
	options = options.withDefaults()
	base, err := url.Parse(options.BaseURL)
	if err != nil {
		return nil, fmt.Errorf("parsing base_url: %w", err)
	}
	return &OpenAI{
		line: newLine(options.HTTPOptions),
		// The service takes these options alone, where the SDK's client would add what it finds in the environment.
		chat:   openai.NewChatCompletionService(option.WithBaseURL(options.BaseURL), option.WithAPIKey(options.APIKey), option.WithMaxRetries(0)),
		tokens: options.tokensField(base),
	}, nil
}

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

// Name is OpenAIName.
func (*OpenAI) Name() string { return OpenAIName }

// Billable is true, also for servers that charge nothing: the backend cannot know.
func (*OpenAI) Billable() bool { return true }

// Check tells what of a call it cannot do.
func (*OpenAI) Check(call *ai.Call) *ai.Fault {
	if fault := checkCall(call); fault != nil {
		return fault
	}
	return lacks(OpenAIName, call, ableNames)
}

// Call asks once.
func (b *OpenAI) Call(ctx context.Context, call ai.Call) (ai.Answer, error) {
	if fault := b.Check(&call); fault != nil {
		return ai.Answer{}, fault
	}
	x, client, cancel := b.begin(ctx, chatProtocol)
	defer cancel()
	asked := []option.RequestOption{option.WithHTTPClient(client)}
	if id := requestIDOf(&call, maxRequestID); id != "" {
		asked = append(asked, option.WithHeader("X-Client-Request-Id", id))
	}
	// The SDK looks at its context once more after the answer is there, and would drop an answer that was paid for.
	completion, err := b.chat.New(context.WithoutCancel(ctx), b.params(&call), asked...)
	return x.answer(&call, err, func() (ai.Answer, *ai.Fault) { return chatAnswer(&call, completion), nil })
}

// chatAnswer is what a chat completion says.
func chatAnswer(call *ai.Call, completion *openai.ChatCompletion) ai.Answer {
	choice := completion.Choices[0]
	answer := ai.Answer{
		Text: choice.Message.Content, Model: completion.Model, FinishReason: choice.FinishReason, ProviderRequestID: completion.ID,
		Refused: choice.Message.Refusal != "" || choice.FinishReason == "content_filter",
	}
	if answer.Text == "" {
		answer.Text = choice.Message.Refusal
	}
	usage, known := chatUsage([]byte(completion.Usage.RawJSON()), factsOf(call, string(completion.ServiceTier)))
	answer.Usage, answer.UsageUnknown = usage, !known
	return answer
}

func (b *OpenAI) params(call *ai.Call) openai.ChatCompletionNewParams {
	params := openai.ChatCompletionNewParams{
		Model: call.Model, Messages: make([]openai.ChatCompletionMessageParamUnion, len(call.Messages)),
		Temperature: openai.Float(call.Temperature),
	}
	for i, m := range call.Messages {
		params.Messages[i] = messageParam(m)
	}
	if b.tokens == MaxCompletionTokens {
		params.MaxCompletionTokens = openai.Int(int64(call.MaxTokens))
	} else {
		params.MaxTokens = openai.Int(int64(call.MaxTokens)) // the only name that Ollama and older vLLM know
	}
	return params
}

func messageParam(m messages.Message) openai.ChatCompletionMessageParamUnion {
	var param openai.ChatCompletionMessageParamUnion
	switch m.Role {
	case "system":
		param = openai.SystemMessage(m.Content)
		if m.Name != "" {
			param.OfSystem.Name = openai.String(m.Name)
		}
	case "developer":
		param = openai.DeveloperMessage(m.Content)
		if m.Name != "" {
			param.OfDeveloper.Name = openai.String(m.Name)
		}
	case "assistant":
		param = openai.AssistantMessage(m.Content)
		if m.Name != "" {
			param.OfAssistant.Name = openai.String(m.Name)
		}
	default:
		param = openai.UserMessage(m.Content)
		if m.Name != "" {
			param.OfUser.Name = openai.String(m.Name)
		}
	}
	return param
}
