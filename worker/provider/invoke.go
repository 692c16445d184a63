package provider

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// invoke speaks Bedrock's InvokeModel: Claude's document, or those of Titan's and Cohere's embeddings, told by the model.
type invoke struct{}

func (invoke) protocol() Protocol { return Invoke }

func (invoke) admit(k *keyring, r *http.Request, body []byte, now time.Time) *fault {
	return k.signed(r, body, now)
}

func (invoke) refuse(h http.Header, o Outcome, r *Reply, message string) (int, any) {
	return refuseBedrock(h, o, r, message)
}

type titanDoc struct {
	InputText  string `json:"inputText"`
	Dimensions *int   `json:"dimensions"`
}

type cohereDoc struct {
	Texts           []string `json:"texts"`
	InputType       string   `json:"input_type"`
	EmbeddingTypes  []string `json:"embedding_types"`
	OutputDimension *int     `json:"output_dimension"`
}

// embeddingDimensions are those of Titan v2 and of Cohere.
const embeddingDimensions = 1024

func isTitan(model string) bool  { return strings.Contains(model, "titan-embed") }
func isCohere(model string) bool { return strings.Contains(model, "cohere.embed") }

func (invoke) read(r *http.Request, body []byte) (*question, string, *fault) {
	var metadata map[string]string
	if given := r.Header.Get("X-Amzn-Bedrock-Request-Metadata"); given != "" && json.Unmarshal([]byte(given), &metadata) != nil {
		return nil, "", invalid("requestMetadata: must be a JSON object of strings")
	}
	id, model := metadata[metadataKey], r.PathValue("model")
	var q *question
	var f *fault
	switch {
	case isTitan(model):
		q, f = readTitan(model, body)
	case isCohere(model):
		q, f = readCohere(model, body)
	default:
		q, f = readClaude(model, body)
	}
	if q != nil {
		q.tier = r.Header.Get("X-Amzn-Bedrock-Service-Tier")
	}
	return q, id, f
}

func readTitan(model string, body []byte) (*question, *fault) {
	var doc titanDoc
	if f := decode(body, &doc); f != nil {
		return nil, f
	}
	q := &question{model: model, inputs: []string{doc.InputText}, dimensions: embeddingDimensions}
	if doc.Dimensions != nil {
		q.dimensions = *doc.Dimensions
		if q.dimensions != 256 && q.dimensions != 512 && q.dimensions != 1024 {
			return q, invalid("dimensions: must be 256, 512 or 1024")
		}
	}
	return q, q.checkInputs()
}

func readCohere(model string, body []byte) (*question, *fault) {
	var doc cohereDoc
	if f := decode(body, &doc); f != nil {
		return nil, f
	}
	q := &question{model: model, inputs: doc.Texts, dimensions: embeddingDimensions}
	if doc.OutputDimension != nil {
		q.dimensions = *doc.OutputDimension
	}
	switch {
	case len(doc.Texts) == 0 || len(doc.Texts) > 96:
		return q, invalid("texts: must be 1 to 96")
	case doc.InputType == "":
		return q, invalid("input_type: field required")
	}
	return q, q.checkInputs()
}

func readClaude(model string, body []byte) (*question, *fault) {
	var doc anthropicDoc
	if f := decode(body, &doc); f != nil {
		return nil, f
	}
	switch {
	case doc.Model != "":
		return nil, invalid("model: Extra inputs are not permitted")
	case doc.Version != "bedrock-2023-05-31":
		return nil, invalid("anthropic_version: must be bedrock-2023-05-31")
	}
	doc.Model = model
	return doc.question()
}

func (invoke) answer(h http.Header, q *question, a *answer) any {
	h.Set("X-Amzn-Requestid", fmt.Sprintf("fake-%08d", a.seq))
	if a.tier != "" {
		h.Set("X-Amzn-Bedrock-Service-Tier", a.tier)
	}
	if u := a.usage; u != nil {
		h.Set("X-Amzn-Bedrock-Input-Token-Count", strconv.FormatInt(u.Input, 10))
		h.Set("X-Amzn-Bedrock-Output-Token-Count", strconv.FormatInt(u.Output, 10))
		h.Set("X-Amzn-Bedrock-Invocation-Latency", "1")
	}
	switch {
	case isTitan(q.model):
		doc := map[string]any{"embedding": a.vectors[0], "embeddingsByType": map[string]any{"float": a.vectors[0]}}
		if a.usage != nil {
			doc["inputTextTokenCount"] = a.usage.Input
		}
		return doc
	case isCohere(q.model):
		return map[string]any{"id": fmt.Sprintf("fake-%08d", a.seq), "response_type": "embeddings_floats", "embeddings": a.vectors, "texts": q.inputs}
	}
	doc := anthropicAnswer(a)
	if a.finish == finishGuardrail {
		doc["amazon-bedrock-guardrailAction"] = "INTERVENED"
	}
	return doc
}
