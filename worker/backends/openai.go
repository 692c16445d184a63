package backends

import (
	"context"
	"fmt"
	"net/url"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/responses"

	"flowgate/messages"
	"flowgate/pipelines/ai"
)

// OpenAIName is the name of the OpenAI backend.
const OpenAIName = "openai"

// maxRequestID is what OpenAI takes of a client's request id, in ASCII characters.
const maxRequestID = 512

// OpenAI asks through OpenAI's Chat Completions, which Ollama, vLLM and others speak too, through its Responses, and through its
// embeddings. Every call carries the header X-Client-Request-Id "<tenant>/<id>/<epoch>/<attempt>", so that the provider's logs can be
// joined with our records.
type OpenAI struct {
	*line

	chat       openai.ChatCompletionService
	responses  responses.ResponseService
	embeddings openai.EmbeddingService
	options    OpenAIOptions
	base       *url.URL
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
	// The services take these options alone, where the SDK's client would add what it finds in the environment.
	ours := []option.RequestOption{option.WithBaseURL(options.BaseURL), option.WithAPIKey(options.APIKey), option.WithMaxRetries(0)}
	return &OpenAI{
		line: newLine(options.HTTPOptions), options: options, base: base,
		chat: openai.NewChatCompletionService(ours...), responses: responses.NewResponseService(ours...), embeddings: openai.NewEmbeddingService(ours...),
	}, nil
}

// Name is OpenAIName.
func (*OpenAI) Name() string { return OpenAIName }

// Billable is true, also for servers that charge nothing: the backend cannot know.
func (*OpenAI) Billable() bool { return true }

// Check tells what of a call it cannot do.
func (b *OpenAI) Check(call *ai.Call) *ai.Fault {
	if fault := checkCall(call); fault != nil {
		return fault
	}
	if call.Kind == messages.KindEmbedding {
		return lacks(OpenAIName, call, ableEmbeddings, ableDimensions)
	}
	able := []ability{
		ableTopP, ableTools, ableJSONObject, ableJSONSchema, ableImages, ableImageURLs,
	}
	name := OpenAIName
	if b.asksResponses(call.Model) {
		name += " responses"
	} else {
		able = append(able, ableStop, ableSeed, ableNames)
	}
	if fault := lacks(name, call, able...); fault != nil {
		return fault
	}
	for i := range call.Messages {
		if m := &call.Messages[i]; m.Role == messages.RoleTool && m.Name != "" {
			return cannot("messages of role tool with a name", "the openai backend cannot do this")
		}
	}
	return checkReasoning(call)
}

// Call asks once.
func (b *OpenAI) Call(ctx context.Context, call ai.Call) (ai.Answer, error) {
	if fault := b.Check(&call); fault != nil {
		return ai.Answer{}, fault
	}
	switch {
	case call.Kind == messages.KindEmbedding:
		return b.embed(ctx, &call)
	case b.asksResponses(call.Model):
		return b.respond(ctx, &call)
	}
	return b.complete(ctx, &call)
}

// asked are the options of one call of the SDK.
func asked(client doer, call *ai.Call) []option.RequestOption {
	options := []option.RequestOption{option.WithHTTPClient(client)}
	if id := requestIDOf(call, maxRequestID); id != "" {
		options = append(options, option.WithHeader("X-Client-Request-Id", id))
	}
	return options
}

// asksResponses tells which API a model is asked through.
func (b *OpenAI) asksResponses(model string) bool {
	return b.options.API == APIResponses || b.options.API == APIAuto && onlyResponses(model)
}
