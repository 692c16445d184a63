package backends

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"

	"flowgate/pipelines/ai"
)

// maxCohereTexts is what cohere.embed models take at once.
const maxCohereTexts = 96

// titanProtocol and cohereProtocol are what an exchange has to know of embeddings through InvokeModel.
var (
	titanProtocol = &protocol{requestIDs: []string{"X-Amzn-Requestid"}, told: toldByBedrock, whole: func(body []byte) string {
		_, wrong := titanVectors(body)
		return wrong
	}}
	cohereProtocol = &protocol{requestIDs: []string{"X-Amzn-Requestid"}, told: toldByBedrock, whole: func(body []byte) string {
		_, wrong := cohereVectors(body)
		return wrong
	}}
)

// embedding is a call of InvokeModel. A Titan takes one text a call: several would be several calls, each billed, and a call here is one.
func (b *Bedrock) embedding(call *ai.Call) (*bedrockCall, *ai.Fault) {
	model := readBedrockModel(call.Model)
	doc := map[string]any{}
	p, vectors := titanProtocol, titanVectors
	switch {
	case model.has("amazon.titan-embed-text", "amazon.titan-embed-g1-text"):
		if len(call.Input) > 1 {
			return nil, cannot("input", model.id+" embeds one text a call, and each call is billed: send a request a text")
		}
		doc["inputText"] = call.Input[0]
		if call.Dimensions > 0 {
			if !model.has("amazon.titan-embed-text-v2") {
				return nil, cannot("dimensions", model.id+" has its own")
			}
			doc["dimensions"] = call.Dimensions
		}
	case model.has("cohere.embed"):
		if len(call.Input) > maxCohereTexts {
			return nil, cannot("input", fmt.Sprintf("%s embeds at most %d texts a call", model.id, maxCohereTexts))
		}
		doc["texts"], doc["input_type"], doc["truncate"] = call.Input, b.options.EmbeddingInput, "NONE"
		if call.Dimensions > 0 {
			if model.has("cohere.embed-english-v3", "cohere.embed-multilingual-v3") {
				return nil, cannot("dimensions", model.id+" has its own")
			}
			doc["output_dimension"] = call.Dimensions
		}
		p, vectors = cohereProtocol, cohereVectors
	default:
		return nil, cannot("input", "the bedrock backend embeds through amazon.titan-embed-text and cohere.embed models")
	}
	body, err := json.Marshal(doc)
	if err != nil {
		return nil, &ai.Fault{Class: ai.ClassInvalid, Code: "bad_call", Detail: "input: cannot be written as JSON"}
	}
	return &bedrockCall{
		protocol: p,
		send:     invoke(call, body),
		read: func(x *exchange) (ai.Answer, *ai.Fault) {
			found, wrong := vectors(x.body)
			if wrong != "" {
				return ai.Answer{}, inDoubt(wrong, "the provider answered with other vectors than were asked for", nil)
			}
			if fault := vectorsFault(call, found); fault != nil {
				return ai.Answer{}, fault
			}
			answer := ai.Answer{Model: call.Model, FinishReason: "stop", Embeddings: found}
			usage, known := invokeUsage(x.header, factsOf(call, x.header.Get("X-Amzn-Bedrock-Service-Tier")))
			answer.Usage, answer.UsageUnknown = usage, !known
			return answer, nil
		},
	}, nil
}

// invoke sends a document as it is. A guardrail and a tier of service are for prompts.
func invoke(call *ai.Call, body []byte) func(context.Context, *bedrockruntime.Client, func(*bedrockruntime.Options)) error {
	const kind = "application/json"
	input := &bedrockruntime.InvokeModelInput{ModelId: aws.String(call.Model), Body: body, ContentType: aws.String(kind), Accept: aws.String(kind)}
	if id := requestIDOf(call, maxMetadata); id != "" {
		if metadata, err := json.Marshal(map[string]string{metadataKey: id}); err == nil {
			input.RequestMetadata = aws.String(string(metadata))
		}
	}
	return func(ctx context.Context, client *bedrockruntime.Client, through func(*bedrockruntime.Options)) error {
		_, err := client.InvokeModel(ctx, input, through)
		return err
	}
}

// titanVectors reads {"embedding": […]}.
func titanVectors(body []byte) (vectors [][]float32, wrong string) {
	var doc struct {
		Embedding []float32 `json:"embedding"`
	}
	switch err := json.Unmarshal(body, &doc); {
	case err != nil:
		return nil, badJSON
	case len(doc.Embedding) == 0:
		return nil, "no_embedding"
	}
	return [][]float32{doc.Embedding}, ""
}

// cohereVectors reads {"embeddings": [[…]]}, or {"embeddings": {"float": [[…]]}} where types were asked for.
func cohereVectors(body []byte) (vectors [][]float32, wrong string) {
	var doc struct {
		Embeddings json.RawMessage `json:"embeddings"`
	}
	if json.Unmarshal(body, &doc) != nil {
		return nil, badJSON
	}
	if len(doc.Embeddings) == 0 {
		return nil, "no_embedding"
	}
	if json.Unmarshal(doc.Embeddings, &vectors) != nil {
		var typed struct {
			Float [][]float32 `json:"float"`
		}
		if json.Unmarshal(doc.Embeddings, &typed) != nil {
			return nil, badJSON
		}
		vectors = typed.Float
	}
	for _, v := range vectors {
		if len(v) == 0 {
			return nil, "no_embedding"
		}
	}
	if len(vectors) == 0 {
		return nil, "no_embedding"
	}
	return vectors, ""
}
