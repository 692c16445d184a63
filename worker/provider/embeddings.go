package provider

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// embeddings speaks OpenAI's embeddings.
type embeddings struct{}

func (embeddings) protocol() Protocol { return Embed }

func (embeddings) admit(k *keyring, r *http.Request, _ []byte, _ time.Time) *fault {
	return admitOpenAI(k, r)
}

func (embeddings) refuse(h http.Header, o Outcome, r *Reply, message string) (int, any) {
	return refuseOpenAI(h, o, r, message)
}

type embeddingsDoc struct {
	Model          string          `json:"model"`
	Input          json.RawMessage `json:"input"`
	Dimensions     *int            `json:"dimensions"`
	EncodingFormat string          `json:"encoding_format"`
}

// defaultDimensions are those of text-embedding-3-small; mostDimensions bounds what may be asked for, mostInputs how many texts.
const (
	defaultDimensions = 1536
	mostDimensions    = 4096
	mostInputs        = 2048
)

func (embeddings) read(_ *http.Request, body []byte) (*question, string, *fault) {
	var doc embeddingsDoc
	if f := decode(body, &doc); f != nil {
		return nil, "", f
	}
	q, f := doc.question()
	return q, "", f
}

func (doc *embeddingsDoc) question() (*question, *fault) {
	q := &question{model: doc.Model, dimensions: defaultDimensions, base64: doc.EncodingFormat == "base64"}
	inputs, f := oneOrMany("input", doc.Input)
	q.inputs = inputs
	if doc.Dimensions != nil {
		q.dimensions = *doc.Dimensions
	}
	switch {
	case f != nil:
		return q, f
	case len(inputs) == 0:
		return q, invalid("input: must not be empty")
	}
	return q, q.checkInputs()
}

// checkInputs is what every provider of embeddings demands.
func (q *question) checkInputs() *fault {
	switch {
	case len(q.inputs) > mostInputs:
		return invalid("input: at most %d texts", mostInputs)
	case q.dimensions < 1 || q.dimensions > mostDimensions:
		return invalid("dimensions: must be 1 to %d", mostDimensions)
	case slices.Contains(q.inputs, ""):
		return invalid("input: must not hold an empty text")
	}
	return q.check(2)
}

func (embeddings) answer(h http.Header, q *question, a *answer) any {
	h.Set("X-Request-Id", fmt.Sprintf("req_fake_%08d", a.seq))
	return embeddingsAnswer(q, a)
}

func embeddingsAnswer(q *question, a *answer) map[string]any {
	data := make([]any, len(a.vectors))
	for i, v := range a.vectors {
		data[i] = map[string]any{"object": "embedding", "index": i, "embedding": q.vector(v)}
	}
	doc := map[string]any{"object": "list", "data": data, "model": a.model}
	if a.usage != nil {
		doc["usage"] = map[string]any{"prompt_tokens": a.usage.Prompt(), "total_tokens": a.usage.Prompt()}
	}
	return doc
}
