package backends

import (
	"context"
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/anthropics/anthropic-sdk-go"
	"github.com/anthropics/anthropic-sdk-go/option"

	"flowgate/messages"
	"flowgate/pipelines/ai"
)

// Anthropic asks through Anthropic's Messages. Every call carries "<tenant>/<id>/<epoch>/<attempt>" as metadata.user_id, so that the
// provider's records can be joined with ours.
//
// Answers are not streamed: a call is one request and one document, whole or not, and what bounds it is Timeout alone. The SDK would
// refuse a large max_tokens without a stream unless a timeout is set, which it is.
type Anthropic struct {
	*line

	service anthropic.MessageService
}

// NewAnthropic makes the Anthropic backend. It connects nowhere yet. Close frees its connections.
func NewAnthropic(options AnthropicOptions) (*Anthropic, error) {
	if err := options.Validate(); err != nil {
		return nil, err
	}
	options = options.withDefaults()
	// The service takes these options alone, where the SDK's client would add what it finds in the environment. Its own telemetry would
	// record what was asked and answered wherever the environment says so.
	ours := []option.RequestOption{
		option.WithBaseURL(strings.TrimSuffix(options.BaseURL, "/") + "/"), option.WithMaxRetries(0), option.WithoutOpenTelemetry(),
		option.WithHeader("Anthropic-Version", options.Version),
		option.WithRequestTimeout(options.Timeout + time.Minute), // later than ours, which knows what became of the call
	}
	if options.APIKey != "" {
		ours = append(ours, option.WithAPIKey(options.APIKey))
	}
	if options.AuthToken != "" {
		ours = append(ours, option.WithAuthToken(options.AuthToken))
	}
	return &Anthropic{line: newLine(options.HTTPOptions), service: anthropic.NewMessageService(ours...)}, nil
}

// Name is AnthropicName.
func (*Anthropic) Name() string { return AnthropicName }

// Billable is true.
func (*Anthropic) Billable() bool { return true }

// maxClaudeTemperature is the highest temperature that Messages takes.
const maxClaudeTemperature = 1

// unsampled are the models of Anthropic that take neither temperature nor top_p nor top_k, maybeUnsampled those of which some do not: a
// temperature that nobody asked for is sent to none of them.
var (
	unsampled      = regexp.MustCompile(`claude-(opus-4-[7-9]|fable-|mythos-)`)
	maybeUnsampled = regexp.MustCompile(`claude-([a-z]+-)?[5-9]`)
)

// Check tells what of a call it cannot do.
func (*Anthropic) Check(call *ai.Call) *ai.Fault {
	if fault := checkCall(call); fault != nil {
		return fault
	}
	if fault := lacks(AnthropicName, call, ableTopP, ableTopK, ableStop, ableTools, ableJSONSchema, ableImages, ableImageURLs); fault != nil {
		return fault
	}
	const none = "this model takes none"
	fixed := unsampled.MatchString(call.Model)
	switch {
	case !call.DefaultTemperature && fixed:
		return cannot("temperature", none)
	case call.Temperature < 0 || call.Temperature > maxClaudeTemperature:
		return cannot("temperature", "the anthropic backend takes 0 to 1")
	case fixed && call.TopP != nil:
		return cannot(string(ableTopP), none)
	case fixed && call.TopK != nil:
		return cannot(string(ableTopK), none)
	}
	for i := range call.Messages {
		if role := call.Messages[i].Role; role != "system" && role != "developer" {
			return nil
		}
	}
	return cannot("messages", "the anthropic backend needs one that is not of the system")
}

// messagesProtocol is what an exchange has to know of Messages.
var messagesProtocol = &protocol{requestIDs: []string{"Request-Id", "X-Request-Id"}, told: anthropicTold, whole: wholeMessage}

// anthropicTold reads an error: its type is its code.
func anthropicTold(h http.Header, body []byte) told {
	t := decodeTold(h, body)
	if t.Code == "" {
		t.Code, t.Type = t.Type, ""
	}
	return t
}

// wholeMessage holds a body to being a message that has content.
func wholeMessage(body []byte) string {
	var shape struct {
		Type    string            `json:"type"`
		Content []json.RawMessage `json:"content"`
	}
	switch err := json.Unmarshal(body, &shape); {
	case err != nil:
		return badJSON
	case shape.Type != "message" || shape.Content == nil:
		return "no_content"
	}
	return ""
}

// Call asks once.
func (b *Anthropic) Call(ctx context.Context, call ai.Call) (ai.Answer, error) {
	if fault := b.Check(&call); fault != nil {
		return ai.Answer{}, fault
	}
	x, client, cancel := b.begin(ctx, messagesProtocol)
	defer cancel()
	// The SDK looks at its context once more after the answer is there, and would drop an answer that was paid for.
	message, err := b.service.New(context.WithoutCancel(ctx), anthropicParams(&call), option.WithHTTPClient(client))
	return x.answer(&call, err, func() (ai.Answer, *ai.Fault) { return anthropicAnswer(&call, message), nil })
}

// anthropicAnswer is what a message says.
func anthropicAnswer(call *ai.Call, message *anthropic.Message) ai.Answer {
	answer := ai.Answer{
		Model: message.Model, FinishReason: string(message.StopReason), ProviderRequestID: message.ID,
		Refused: message.StopReason == anthropic.StopReasonRefusal,
	}
	var text strings.Builder
	for i := range message.Content {
		switch block := &message.Content[i]; block.Type {
		case "text":
			text.WriteString(block.Text)
		case "tool_use":
			answer.ToolCalls = append(answer.ToolCalls, messages.ToolCall{ID: block.ID, Name: block.Name, Arguments: argumentsOf(block.Input)})
		}
	}
	answer.Text = text.String()
	usage, known := anthropicUsage([]byte(message.Usage.RawJSON()), factsOf(call, ""))
	answer.Usage, answer.UsageUnknown = usage, !known
	return answer
}

// argumentsOf are the arguments of a tool call as the model wrote them: some servers pass those that are no JSON on as a text.
func argumentsOf(input json.RawMessage) string {
	var text string
	switch {
	case len(input) == 0 || string(input) == "null":
		return "{}"
	case json.Unmarshal(input, &text) == nil:
		return text
	}
	return string(input)
}
