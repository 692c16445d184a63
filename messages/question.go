package messages

import "encoding/json"

// KindEmbedding asks a model for the vectors of texts.
const KindEmbedding Kind = "embedding"

// AsksModel tells whether a request of this kind goes to a model.
func (k Kind) AsksModel() bool { return k == KindPrompt || k == KindEmbedding }

// RoleTool is the role of a message that has the result of a tool call.
const RoleTool = "tool"

// Image is an image of a message: inline, or where the provider finds it.
type Image struct {
	// MediaType is image/png, image/jpeg, image/gif or image/webp; only beside data.
	MediaType string `json:"media_type,omitempty"`
	// Data is the image in standard base64.
	Data string `json:"data,omitempty"`
	// URL is https, and is read by the provider, where it can.
	URL string `json:"url,omitempty"`
}

// Tool is a function that a model may ask for. flowgate calls none: whoever asked does, and sends the result.
type Tool struct {
	// Name is of letters, digits, _ and -, at most 64.
	Name string `json:"name"`
	// Description tells the model what the tool is for.
	Description string `json:"description,omitempty"`
	// Parameters is the JSON Schema of its arguments, an object.
	Parameters json.RawMessage `json:"parameters,omitempty"`
}

// ToolCall is what a model asks a tool.
type ToolCall struct {
	// ID joins it with the message of role tool that has its result.
	ID   string `json:"id"`
	Name string `json:"name"`
	// Arguments is JSON as the model wrote it, which may not fit the tool's schema.
	Arguments string `json:"arguments"`
}

// ResponseFormat is the form that an answer has to have.
type ResponseFormat struct {
	// Type is text, json_object or json_schema.
	Type string `json:"type"`
	// Name names the schema, of letters, digits, _ and -.
	Name string `json:"name,omitempty"`
	// Schema is the JSON Schema of json_schema.
	Schema json.RawMessage `json:"schema,omitempty"`
}

// Words of tool_choice beside the name of a tool.
const (
	ToolChoiceAuto     = "auto"
	ToolChoiceNone     = "none"
	ToolChoiceRequired = "required"
)

// Types of a response format.
const (
	FormatText       = "text"
	FormatJSONObject = "json_object"
	FormatJSONSchema = "json_schema"
)

// CacheControl says what a request thinks of the cache of answers.
type CacheControl struct {
	// NoCache asks for an answer of its own.
	NoCache bool `json:"no_cache,omitempty"`
	// NoStore keeps the answer out of the cache.
	NoStore bool `json:"no_store,omitempty"`
	// MaxAge is how old, in seconds, an answer may be; left out as old as the settings allow.
	MaxAge *float64 `json:"max_age,omitempty"`
	// Refresh asks for a new answer, which takes the place of the one in the cache.
	Refresh bool `json:"refresh,omitempty"`
}

// Question is everything of a request that a model sees.
type Question struct {
	Messages   []Message
	Tools      []Tool
	ToolChoice string
	Format     *ResponseFormat
	// Input are the texts of an embedding.
	Input []string
}

// Question is what the request asks a model: its messages, or its prompt as the one message of a user, behind what it says of
// the system.
func (r *Request) Question() Question {
	q := Question{Messages: r.Messages, Tools: r.Tools, ToolChoice: r.ToolChoice, Format: r.ResponseFormat, Input: r.Input}
	if len(r.Messages) == 0 && r.Prompt != "" {
		q.Messages = []Message{{Role: "user", Content: r.Prompt}}
	}
	if r.System != "" {
		q.Messages = append([]Message{{Role: "system", Content: r.System}}, q.Messages...)
	}
	return q
}

// Images counts the images.
func (q *Question) Images() int {
	n := 0
	for i := range q.Messages {
		n += len(q.Messages[i].Images)
	}
	return n
}

// Texts are all texts in which a producer can have put something, in a fixed order. Those of tools and of the answer's form are
// JSON, as are the arguments of tool calls.
func (q *Question) Texts() []string {
	var texts []string
	q.each(func(text string, _ bool) (string, bool) {
		texts = append(texts, text)
		return text, true
	})
	return texts
}

// With is the question with other texts, in the order of Texts; false where one that has to be JSON is none any more.
func (q *Question) With(texts []string) (Question, bool) {
	next, whole := 0, true
	other := q.each(func(_ string, isJSON bool) (string, bool) {
		text := texts[next]
		next++
		whole = whole && (!isJSON || text == "" || json.Valid([]byte(text)))
		return text, whole
	})
	return other, whole
}

// each is the question with every text replaced; where replace says false it stays as it is.
func (q *Question) each(replace func(text string, isJSON bool) (string, bool)) Question {
	put := func(text string, isJSON bool) string {
		if other, ok := replace(text, isJSON); ok {
			return other
		}
		return text
	}
	other := *q
	other.Messages = append([]Message(nil), q.Messages...)
	for i := range other.Messages {
		m := &other.Messages[i]
		m.Content = put(m.Content, false)
		m.Images = append([]Image(nil), m.Images...)
		for j := range m.Images {
			m.Images[j].URL = put(m.Images[j].URL, false)
		}
		m.ToolCalls = append([]ToolCall(nil), m.ToolCalls...)
		for j := range m.ToolCalls {
			m.ToolCalls[j].Arguments = put(m.ToolCalls[j].Arguments, true)
		}
	}
	other.Tools = append([]Tool(nil), q.Tools...)
	for i := range other.Tools {
		t := &other.Tools[i]
		t.Description = put(t.Description, false)
		t.Parameters = json.RawMessage(put(string(t.Parameters), true))
	}
	if q.Format != nil {
		format := *q.Format
		format.Schema = json.RawMessage(put(string(format.Schema), true))
		other.Format = &format
	}
	other.Input = append([]string(nil), q.Input...)
	for i := range other.Input {
		other.Input[i] = put(other.Input[i], false)
	}
	return other
}
