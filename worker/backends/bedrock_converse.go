package backends

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/document"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"

	"flowgate/messages"
	"flowgate/pipelines/ai"
)

// metadataKey is where our request id stands in the request metadata, and so in the invocation logs.
const metadataKey = "flowgate-request"

// maxConverseTemperature is the highest temperature that Converse takes.
const maxConverseTemperature = 1

// maxMetadata is what Bedrock takes as one value of the request metadata, in bytes.
const maxMetadata = 256

// conversation turns a call into Bedrock's Converse. fault is the first thing that cannot be said there.
type conversation struct {
	call  *ai.Call
	model bedrockModel
	input *bedrockruntime.ConverseInput
	// tools is true where a message calls a tool or has a result of one.
	tools bool
	fault *ai.Fault
}

// converse is the input of a call; what Converse cannot take is refused by name.
func (b *Bedrock) converse(call *ai.Call) (*bedrockruntime.ConverseInput, *ai.Fault) {
	c := &conversation{call: call, model: readBedrockModel(call.Model), input: &bedrockruntime.ConverseInput{ModelId: aws.String(call.Model)}}
	c.messages()
	c.sampling()
	c.toolbox()
	c.form()
	if c.fault != nil {
		return nil, c.fault
	}
	if id := requestIDOf(call, maxMetadata); id != "" {
		c.input.RequestMetadata = map[string]string{metadataKey: id}
	}
	if o := b.options; o.GuardrailID != "" {
		c.input.GuardrailConfig = &types.GuardrailConfiguration{GuardrailIdentifier: aws.String(o.GuardrailID), GuardrailVersion: aws.String(o.GuardrailVersion)}
	}
	if tier := b.options.ServiceTier; tier != "" {
		c.input.ServiceTier = &types.ServiceTier{Type: types.ServiceTierType(tier)}
	}
	return c.input, nil
}

// refuse notes what Bedrock cannot do, and another backend may.
func (c *conversation) refuse(field, format string, args ...any) {
	if c.fault == nil {
		c.fault = cannot(field, fmt.Sprintf(format, args...))
	}
}

// messages sorts them. What they say of the system becomes the system prompt, in their order. Converse wants the turns of user and
// assistant to alternate: neighbours of one role become one turn.
func (c *conversation) messages() {
	for i := range c.call.Messages {
		m := &c.call.Messages[i]
		field := fmt.Sprintf("messages[%d]", i)
		switch m.Role {
		case "system", "developer":
			if c.text(field, m.Content) {
				c.input.System = append(c.input.System, &types.SystemContentBlockMemberText{Value: m.Content})
			}
		case "assistant":
			c.turn(types.ConversationRoleAssistant, c.assistant(field, m))
		case messages.RoleTool:
			c.tools = true
			c.turn(types.ConversationRoleUser, []types.ContentBlock{toolResult(m)})
		default:
			c.turn(types.ConversationRoleUser, c.user(field, m))
		}
	}
	if len(c.input.Messages) == 0 || c.input.Messages[0].Role != types.ConversationRoleUser {
		c.refuse("messages", "bedrock wants a conversation to begin with a message of the user")
	}
}

func (c *conversation) turn(role types.ConversationRole, content []types.ContentBlock) {
	if last := len(c.input.Messages) - 1; last >= 0 && c.input.Messages[last].Role == role {
		c.input.Messages[last].Content = append(c.input.Messages[last].Content, content...)
		return
	}
	c.input.Messages = append(c.input.Messages, types.Message{Role: role, Content: content})
}

// text tells whether there is a text to send.
func (c *conversation) text(field, text string) bool {
	if text != "" && strings.TrimSpace(text) == "" {
		c.refuse(field+".content", "bedrock takes no blank text")
	}
	return text != ""
}

func (c *conversation) user(field string, m *messages.Message) []types.ContentBlock {
	var blocks []types.ContentBlock
	for i := range m.Images {
		image, err := base64.StdEncoding.DecodeString(m.Images[i].Data)
		if err != nil || len(image) == 0 {
			c.bad(fmt.Sprintf("%s.images[%d].data", field, i), "must be an image in standard base64")
		}
		format := types.ImageFormat(strings.TrimPrefix(m.Images[i].MediaType, "image/"))
		blocks = append(blocks, &types.ContentBlockMemberImage{Value: types.ImageBlock{Format: format, Source: &types.ImageSourceMemberBytes{Value: image}}})
	}
	if c.text(field, m.Content) {
		blocks = append(blocks, &types.ContentBlockMemberText{Value: m.Content})
	}
	if len(blocks) == 0 {
		c.refuse(field+".content", "bedrock takes no empty message")
	}
	return blocks
}

// bad notes what no backend could send.
func (c *conversation) bad(field, rule string) {
	if c.fault == nil {
		c.fault = &ai.Fault{Class: ai.ClassInvalid, Code: "bad_call", Detail: field + ": " + rule}
	}
}

func (c *conversation) assistant(field string, m *messages.Message) []types.ContentBlock {
	var blocks []types.ContentBlock
	if c.text(field, m.Content) {
		blocks = append(blocks, &types.ContentBlockMemberText{Value: m.Content})
	}
	for i := range m.ToolCalls {
		call := &m.ToolCalls[i]
		c.tools = true
		if !isObject([]byte(call.Arguments)) {
			c.refuse(fmt.Sprintf("%s.tool_calls[%d].arguments", field, i), "bedrock takes a JSON object alone")
		}
		blocks = append(blocks, &types.ContentBlockMemberToolUse{Value: types.ToolUseBlock{
			ToolUseId: aws.String(toolUseID(call.ID)), Name: aws.String(call.Name), Input: verbatim([]byte(call.Arguments)),
		}})
	}
	if len(blocks) == 0 {
		c.refuse(field+".content", "bedrock takes no empty message")
	}
	return blocks
}

func toolResult(m *messages.Message) types.ContentBlock {
	content := []types.ToolResultContentBlock{}
	if m.Content != "" {
		content = append(content, &types.ToolResultContentBlockMemberText{Value: m.Content})
	}
	return &types.ContentBlockMemberToolResult{Value: types.ToolResultBlock{ToolUseId: aws.String(toolUseID(m.ToolCallID)), Content: content}}
}

var toolUse = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// toolUseID is the id of a tool call as Bedrock takes one. An id joins a call with its result inside one request, and nothing else: one of
// another form, as another backend gave it, may have another name there.
func toolUseID(id string) string {
	if toolUse.MatchString(id) {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	return "tooluse_" + hex.EncodeToString(sum[:16])
}

// sampling sets what bounds and varies the answer. A temperature that nobody asked for gives way to a top_p, beside which newer models of
// Claude take none.
func (c *conversation) sampling() {
	call := c.call
	if call.MaxTokens > math.MaxInt32 {
		c.bad("max_tokens", fmt.Sprintf("must be at most %d", math.MaxInt32))
	}
	config := &types.InferenceConfiguration{MaxTokens: aws.Int32(int32(min(call.MaxTokens, math.MaxInt32))), StopSequences: call.Stop} //nolint:gosec // it is bounded
	c.input.InferenceConfig = config
	claude := c.model.family() == familyClaude
	never := claude && unsampled.MatchString(call.Model)
	perhaps := claude && maybeUnsampled.MatchString(call.Model)
	if !call.DefaultTemperature || call.TopP == nil && !never && !perhaps {
		config.Temperature = aws.Float32(float32(call.Temperature))
	}
	if call.TopP != nil {
		config.TopP = aws.Float32(float32(*call.TopP))
	}
	const none = "the model takes none"
	switch {
	case never && config.Temperature != nil:
		c.refuse("temperature", none)
	case never && config.TopP != nil:
		c.refuse(string(ableTopP), none)
	case config.Temperature != nil && (call.Temperature < 0 || call.Temperature > maxConverseTemperature):
		c.refuse("temperature", "bedrock takes 0 to 1")
	}
	switch k := call.TopK; {
	case k == nil:
	case claude && !never:
		c.input.AdditionalModelRequestFields = document.NewLazyDocument(map[string]any{"top_k": *k})
	case c.model.has("amazon.nova"):
		c.input.AdditionalModelRequestFields = document.NewLazyDocument(map[string]any{"inferenceConfig": map[string]any{"topK": *k}})
	default:
		c.refuse(string(ableTopK), none)
	}
}

// toolbox sets the tools and the choice among them. Converse has no word for "none": the tools are then left out, which it refuses beside
// messages that call one.
func (c *conversation) toolbox() {
	q := &c.call.Question
	none := q.ToolChoice == messages.ToolChoiceNone
	switch {
	case none && c.tools:
		c.refuse("tool_choice", "bedrock has no none beside messages with tool calls")
	case len(q.Tools) == 0 && c.tools:
		c.refuse("tools", "bedrock wants them beside messages with tool calls")
	}
	if none || len(q.Tools) == 0 {
		return
	}
	config := &types.ToolConfiguration{}
	for i := range q.Tools {
		t := &q.Tools[i]
		parameters := t.Parameters
		if len(parameters) == 0 {
			parameters = json.RawMessage(`{"type":"object","properties":{}}`)
		}
		if !isObject(parameters) {
			c.bad(fmt.Sprintf("tools[%d].parameters", i), "must be a JSON Schema, an object")
		}
		spec := types.ToolSpecification{Name: aws.String(t.Name), InputSchema: &types.ToolInputSchemaMemberJson{Value: verbatim(parameters)}}
		if t.Description != "" {
			spec.Description = aws.String(t.Description)
		}
		config.Tools = append(config.Tools, &types.ToolMemberToolSpec{Value: spec})
	}
	switch q.ToolChoice {
	case "":
	case messages.ToolChoiceAuto:
		config.ToolChoice = &types.ToolChoiceMemberAuto{}
	case messages.ToolChoiceRequired:
		config.ToolChoice = &types.ToolChoiceMemberAny{}
	default:
		config.ToolChoice = &types.ToolChoiceMemberTool{Value: types.SpecificToolChoice{Name: aws.String(q.ToolChoice)}}
	}
	c.input.ToolConfig = config
}

// form sets the form of the answer.
func (c *conversation) form() {
	f := c.call.Format
	if f == nil || f.Type != messages.FormatJSONSchema {
		return
	}
	if c.model.has(withoutSchema()...) {
		c.refuse(string(ableJSONSchema), "the model cannot do this on bedrock")
	}
	if !isObject(f.Schema) {
		c.bad("response_format.schema", "must be a JSON Schema, an object")
	}
	c.input.OutputConfig = &types.OutputConfig{TextFormat: &types.OutputFormat{
		Type: types.OutputFormatTypeJsonSchema,
		Structure: &types.OutputFormatStructureMemberJsonSchema{Value: types.JsonSchemaDefinition{
			Name: aws.String(f.Name), Schema: aws.String(string(f.Schema)),
		}},
	}}
}

func isObject(raw []byte) bool {
	return json.Valid(raw) && strings.HasPrefix(strings.TrimSpace(string(raw)), "{")
}

// asIs is a JSON document that is sent as it is: the SDK's own encoder would round large numbers. It MUST be valid.
type asIs struct {
	document.Interface

	raw []byte
}

func verbatim(raw []byte) document.Interface {
	return asIs{Interface: document.NewLazyDocument(nil), raw: raw}
}

// MarshalSmithyDocument is what is sent.
func (d asIs) MarshalSmithyDocument() ([]byte, error) { return d.raw, nil }
