package provider

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"net/http"
	"slices"
	"strconv"
)

// question is a call in no protocol's words.
type question struct {
	model       string
	system      []string
	turns       []turn
	temperature *float64
	topP        *float64
	maxTokens   int
	stop        []string
	seed        *int64
	tools       []tool
	choice      string // "", auto, none, required or the name of a tool
	structured  bool
	schema      json.RawMessage
	tier        string
	inputs      []string
	dimensions  int
	base64      bool // vectors are asked for as base64
	known       map[string]bool
}

// turn is one message.
type turn struct {
	role    string
	text    string
	images  []string
	results []string
}

type tool struct {
	name   string
	schema json.RawMessage
}

// fault is why a call is not answered.
type fault struct {
	outcome Outcome
	message string
}

func invalid(format string, a ...any) *fault { return &fault{Invalid, fmt.Sprintf(format, a...)} }

// check is what every provider demands; most is the highest temperature.
func (q *question) check(most float64) *fault {
	switch {
	case q.model == "":
		return invalid("model: field required")
	case len(q.inputs) == 0 && len(q.turns) == 0:
		return invalid("messages: at least one message is required")
	case q.maxTokens < 0:
		return invalid("max_tokens: must be greater than or equal to 1")
	case q.temperature != nil && (*q.temperature < 0 || *q.temperature > most):
		return invalid("temperature: range: 0..%g", most)
	case q.topP != nil && (*q.topP < 0 || *q.topP > 1):
		return invalid("top_p: range: 0..1")
	}
	if q.choice != "" && q.choice != "auto" && q.choice != "none" {
		if len(q.tools) == 0 {
			return invalid("tool_choice: there are no tools")
		}
		if q.choice != "required" && !slices.ContainsFunc(q.tools, func(t tool) bool { return t.name == q.choice }) {
			return invalid("tool_choice: there is no such tool")
		}
	}
	return nil
}

// calls notes that a tool was called, answered that its result came.
func (q *question) called(id string) {
	if q.known == nil {
		q.known = make(map[string]bool)
	}
	q.known[id] = true
}

func (q *question) answered(t *turn, id, result string) *fault {
	if !q.known[id] {
		return invalid("messages: a tool result has no corresponding tool call in a previous message")
	}
	t.results = append(t.results, result)
	return nil
}

// features are those of the question.
func (q *question) features() Features {
	f := Features{
		System: len(q.system) > 0, Temperature: q.temperature != nil, TopP: q.topP != nil, Stop: len(q.stop) > 0, Seed: q.seed != nil,
		Structured: q.structured, Tools: len(q.tools), ToolChoice: q.choice, Inputs: len(q.inputs), Tier: q.tier,
	}
	for i := range q.turns {
		f.Images += len(q.turns[i].images)
		f.ToolResults += len(q.turns[i].results)
	}
	return f
}

// promptBytes is the length of all texts.
func (q *question) promptBytes() int {
	n := 0
	for _, s := range q.system {
		n += len(s)
	}
	for i := range q.turns {
		n += len(q.turns[i].text)
		for _, r := range q.turns[i].results {
			n += len(r)
		}
	}
	for _, s := range q.inputs {
		n += len(s)
	}
	return n
}

// digest is one number for everything that may change an answer. Parts are told apart by their lengths.
func (q *question) digest() uint64 {
	h := fnv.New64a()
	var buffer []byte
	add := func(parts ...string) {
		buffer = strconv.AppendInt(buffer[:0], int64(len(parts)), 10)
		for _, p := range parts {
			buffer = append(append(strconv.AppendInt(append(buffer, ' '), int64(len(p)), 10), ' '), p...)
		}
		_, _ = h.Write(buffer) // a hash takes everything
	}
	add(q.model, strconv.Itoa(q.maxTokens), number(q.temperature), number(q.topP), q.choice, string(q.schema), strconv.FormatBool(q.structured))
	if q.seed != nil {
		add(strconv.FormatInt(*q.seed, 10))
	}
	add(q.system...)
	add(q.stop...)
	for i := range q.turns {
		add(q.turns[i].role, q.turns[i].text)
		add(q.turns[i].images...)
		add(q.turns[i].results...)
	}
	for _, t := range q.tools {
		add(t.name, string(t.schema))
	}
	add(q.inputs...)
	return h.Sum64()
}

func number(n *float64) string {
	if n == nil {
		return "absent"
	}
	return strconv.FormatFloat(*n, 'g', -1, 64)
}

// results are those of the last turn: what the model is asked to go on from.
func (q *question) results() []string {
	if len(q.turns) == 0 {
		return nil
	}
	return q.turns[len(q.turns)-1].results
}

// last is the text of the last turn.
func (q *question) last() string {
	if len(q.turns) == 0 {
		return ""
	}
	return q.turns[len(q.turns)-1].text
}

// image checks what was sent as one. kind is its media type.
func (q *question) image(t *turn, kind, data string) *fault {
	raw, err := base64.StdEncoding.DecodeString(data)
	if err != nil || len(raw) == 0 {
		return invalid("image: is no valid base64")
	}
	if !slices.Contains([]string{"image/png", "image/jpeg", "image/gif", "image/webp"}, kind) {
		return invalid("image: media type must be image/png, image/jpeg, image/gif or image/webp")
	}
	if found := http.DetectContentType(raw); found != kind {
		return invalid("image: is said to be %s and is not", kind)
	}
	t.images = append(t.images, data)
	return nil
}

// decode reads one JSON document and nothing behind it.
func decode(body []byte, into any) *fault {
	if len(body) == 0 {
		return invalid("the body is empty")
	}
	if err := json.Unmarshal(body, into); err != nil {
		if kind, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return invalid("%s: wrong type", kind.Field)
		}
		return invalid("the body is not valid JSON")
	}
	return nil
}

// readBody reads what a call brought, within bounds.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if n := r.ContentLength; n > 0 && n <= maxBody {
		body := make([]byte, n)
		_, err := io.ReadFull(r.Body, body)
		return body, err
	}
	return io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
}

// maxBody bounds what is read of a call.
const maxBody = 32 << 20
