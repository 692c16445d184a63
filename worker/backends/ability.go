package backends

import (
	"fmt"
	"slices"

	"flowgate/messages"
	"flowgate/pipelines/ai"
)

// ability is something that can be asked of a model and that not every backend can do. It is named like the field that asks for it.
type ability string

const (
	ableTopP       ability = "top_p"
	ableTopK       ability = "top_k"
	ableStop       ability = "stop"
	ableSeed       ability = "seed"
	ableTools      ability = "tools"
	ableJSONObject ability = "response_format json_object"
	ableJSONSchema ability = "response_format json_schema"
	ableImages     ability = "images"
	ableImageURLs  ability = "images with a url"
	ableNames      ability = "messages with a name"
	ableEmbeddings ability = "input"
	ableDimensions ability = "dimensions"
)

// asks are the abilities that a call needs, in a fixed order.
func asks(call *ai.Call) (needed []ability) {
	need := func(has bool, a ability) {
		if has && !slices.Contains(needed, a) {
			needed = append(needed, a)
		}
	}
	need(call.Kind == messages.KindEmbedding, ableEmbeddings)
	need(call.Dimensions > 0, ableDimensions)
	need(call.TopP != nil, ableTopP)
	need(call.TopK != nil, ableTopK)
	need(len(call.Stop) > 0, ableStop)
	need(call.Seed != nil, ableSeed)
	need(len(call.Tools) > 0, ableTools)
	if f := call.Format; f != nil {
		need(f.Type == messages.FormatJSONObject, ableJSONObject)
		need(f.Type == messages.FormatJSONSchema, ableJSONSchema)
	}
	for i := range call.Messages {
		m := &call.Messages[i]
		need(m.Name != "", ableNames)
		need(m.Role == messages.RoleTool || len(m.ToolCalls) > 0, ableTools)
		for j := range m.Images {
			need(true, ableImages)
			need(m.Images[j].URL != "", ableImageURLs)
		}
	}
	return needed
}

// lacks is the fault of a call that asks for what a backend cannot do, by the name of what asks for it; nil: it can do everything.
func lacks(backend string, call *ai.Call, able ...ability) *ai.Fault {
	for _, a := range asks(call) {
		if !slices.Contains(able, a) {
			return cannot(string(a), fmt.Sprintf("the %s backend cannot do this", backend))
		}
	}
	return nil
}

// cannot is the fault of a call whose field asks for what a backend, or its model, cannot do.
func cannot(field, why string) *ai.Fault {
	return &ai.Fault{Class: ai.ClassInvalid, Code: "unsupported", Elsewhere: true, Detail: field + ": " + why}
}
