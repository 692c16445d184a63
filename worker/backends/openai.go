package backends

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

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
	chat      openai.ChatCompletionService
	transport *http.Transport
	options   OpenAIOptions
	tokens    MaxTokensField
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
	transport := newTransport(options)
	client := &http.Client{
		Transport: transport,
		// A redirect is a second request, and may lead elsewhere: it is reported, never followed.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return &OpenAI{
		// The service takes these options alone, where the SDK's client would add what it finds in the environment.
		chat: openai.NewChatCompletionService(
			option.WithBaseURL(options.BaseURL), option.WithAPIKey(options.APIKey),
			option.WithHTTPClient(client), option.WithMaxRetries(0)),
		transport: transport, options: options, tokens: options.tokensField(base),
	}, nil
}

// newTransport never replays a request by itself: net/http does so only for connections on which nothing was written, and
// for requests that it holds to be idempotent, which a POST without an Idempotency-Key is not.
func newTransport(options OpenAIOptions) *http.Transport {
	dialer := &net.Dialer{Timeout: options.DialTimeout, KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            dialer.DialContext,
		DisableKeepAlives:      options.NewConnections,
		DisableCompression:     options.Uncompressed,
		ForceAttemptHTTP2:      true,
		TLSHandshakeTimeout:    options.DialTimeout,
		MaxConnsPerHost:        options.MaxConnections,
		MaxIdleConns:           options.MaxConnections,
		MaxIdleConnsPerHost:    options.MaxConnections,
		IdleConnTimeout:        30 * time.Second, // less than servers keep them, so that few requests meet a closing one
		MaxResponseHeaderBytes: 1 << 20,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second},
	}
}

// Name is OpenAIName.
func (*OpenAI) Name() string { return OpenAIName }

// Billable is true, also for servers that charge nothing: the backend cannot know.
func (*OpenAI) Billable() bool { return true }

// Close frees idle connections. Calls in flight go on.
func (b *OpenAI) Close() { b.transport.CloseIdleConnections() }

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
	ctx, cancel := context.WithTimeout(ctx, b.options.Timeout)
	defer cancel()
	x := &exchange{call: &call, maxBytes: b.options.MaxResponseBytes}
	asked := []option.RequestOption{option.WithMiddleware(
		func(req *http.Request, next option.MiddlewareNext) (*http.Response, error) {
			return x.do(ctx, req, next)
		})}
	if id, ok := clientRequestID(&call); ok {
		asked = append(asked, option.WithHeader("X-Client-Request-Id", id))
	}
	// The SDK looks at its context once more after the answer is there, and would drop an answer that was paid for.
	completion, err := b.chat.New(context.WithoutCancel(ctx), b.params(&call), asked...)
	switch {
	case x.fault != nil:
		return ai.Answer{}, x.fault
	case x.filtered != "":
		return ai.Answer{Model: call.Model, FinishReason: x.filtered, ProviderRequestID: x.requestID(""), Refused: true}, nil
	case err != nil:
		return ai.Answer{}, x.undecoded()
	}
	return x.answer(completion)
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

// clientRequestID is left out where it could not be sent as it is.
func clientRequestID(call *ai.Call) (string, bool) {
	id := fmt.Sprintf("%s/%d/%d", call.Key, call.Epoch, call.Attempt)
	for i := range len(id) {
		if id[i] <= ' ' || id[i] >= 0x7f {
			return "", false
		}
	}
	return id, len(id) <= maxRequestID
}
