package batch

import (
	"encoding/json"
	"slices"

	"flowgate/messages"
)

// Parameters of the body of an embedding.
const (
	paramInput      = "input"
	paramDimensions = "dimensions"
	paramEncoding   = "encoding_format"
)

// convertEmbedding converts the body of an embedding. Its input is one text or an array of them; arrays of tokens are those of one
// tokenizer, and are refused.
func convertEmbedding(body, request map[string]json.RawMessage, _ map[string]string) error {
	if err := only(body, "", paramModel, paramInput, paramDimensions, paramEncoding, paramMetadata); err != nil {
		return err
	}
	if e := body[paramEncoding]; !isNull(e) {
		if err := exactly(e, paramEncoding, "float"); err != nil {
			return err
		}
	}
	copied(request, body, paramModel, paramDimensions)
	input := body[paramInput]
	switch shape(input) {
	case "string":
		request[paramInput] = slices.Concat([]byte("["), input, []byte("]"))
	case "array":
		all, err := array(input, paramInput, "texts", messages.MaxInputs)
		if err != nil {
			return err
		}
		if len(all) == 0 {
			return &messages.FieldError{Field: paramInput, Rule: "must not be empty"}
		}
		request[paramInput] = input
	default:
		return &messages.FieldError{Field: paramInput, Rule: "must be a string or an array of strings", Got: shape(input)}
	}
	return nil
}
