package backends

import (
	"context"
	"encoding/json"

	"github.com/openai/openai-go/v3"

	"flowgate/pipelines/ai"
)

// embeddingsProtocol is what an exchange has to know of embeddings.
var embeddingsProtocol = &protocol{requestIDs: []string{"X-Request-Id"}, told: decodeTold, whole: wholeEmbeddings}

// wholeEmbeddings holds a body to having vectors.
func wholeEmbeddings(body []byte) string {
	var shape struct {
		Data []struct {
			Embedding []json.Number `json:"embedding"`
		} `json:"data"`
	}
	switch err := json.Unmarshal(body, &shape); {
	case err != nil:
		return badJSON
	case len(shape.Data) == 0:
		return "no_vectors"
	}
	return ""
}

// embed asks for vectors.
func (b *OpenAI) embed(ctx context.Context, call *ai.Call) (ai.Answer, error) {
	params := openai.EmbeddingNewParams{
		Model: call.Model, Input: openai.EmbeddingNewParamsInputUnion{OfArrayOfStrings: call.Input},
		EncodingFormat: openai.EmbeddingNewParamsEncodingFormatFloat,
	}
	if call.Dimensions > 0 {
		params.Dimensions = openai.Int(int64(call.Dimensions))
	}
	x, client, cancel := b.begin(ctx, embeddingsProtocol)
	defer cancel()
	response, err := b.embeddings.New(context.WithoutCancel(ctx), params, asked(client, call)...)
	return x.answer(call, err, func() (ai.Answer, *ai.Fault) { return embeddingsAnswer(call, response) })
}

// embeddingsAnswer puts the vectors into the order of the texts. The provider has no word for why it ended.
func embeddingsAnswer(call *ai.Call, response *openai.CreateEmbeddingResponse) (ai.Answer, *ai.Fault) {
	vectors := make([][]float32, len(call.Input))
	for i := range response.Data {
		d := &response.Data[i]
		if d.Index < 0 || d.Index >= int64(len(vectors)) || vectors[d.Index] != nil {
			return ai.Answer{}, inDoubt(badVectors, "the provider numbered its vectors otherwise than the texts", nil)
		}
		v := make([]float32, len(d.Embedding))
		for j, x := range d.Embedding {
			v[j] = float32(x)
		}
		vectors[d.Index] = v
	}
	if fault := vectorsFault(call, vectors); fault != nil {
		return ai.Answer{}, fault
	}
	usage, known := embeddingsUsage([]byte(response.Usage.RawJSON()), factsOf(call, ""))
	return ai.Answer{Model: response.Model, FinishReason: "stop", Embeddings: vectors, Usage: usage, UsageUnknown: !known}, nil
}
