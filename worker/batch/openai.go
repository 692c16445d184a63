package batch

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"

	"flowgate/messages"
)

// Members of a line of an OpenAI batch file.
const (
	fieldCustomID = "custom_id"
	fieldMethod   = "method"
	fieldURL      = "url"
	fieldBody     = "body"

	chatCompletions = "/v1/chat/completions"
	embeddings      = "/v1/embeddings"
)

// fieldPurpose is a key of metadata that producers had before it became a field of a request.
const fieldPurpose = "purpose"

// requestFields are the keys of a body's metadata that are fields of a request.
func requestFields() []string {
	return []string{"audit_reason", fieldPurpose, "user_id", "department", "priority", "trigger"}
}

// parseOpenAI converts a line of an OpenAI batch file. What the gateway has no field for is refused by name, never dropped.
func parseOpenAI(members map[string]json.RawMessage) (customID string, doc []byte, err error) {
	if customID, err = text(members[fieldCustomID], fieldCustomID); err == nil && customID == "" {
		err = &messages.FieldError{Field: fieldCustomID, Rule: "must not be empty"}
	}
	if err == nil {
		err = checkCustomID(customID, fieldCustomID)
	}
	if err != nil {
		return "", nil, err
	}
	if err := exactly(members[fieldMethod], fieldMethod, "POST"); err != nil {
		return customID, nil, err
	}
	url, err := text(members[fieldURL], fieldURL)
	if err != nil {
		return customID, nil, err
	}
	convert, known := conversions()[url]
	if !known {
		return customID, nil, &messages.FieldError{Field: fieldURL, Rule: "must be " + chatCompletions + " or " + embeddings, Got: clip(url)}
	}
	if err := only(members, "", fieldCustomID, fieldMethod, fieldURL, fieldBody); err != nil {
		return customID, nil, err
	}
	body, err := inner(members[fieldBody], fieldBody)
	if err != nil {
		return customID, nil, err
	}
	doc, err = requestOf(body, convert)
	return customID, doc, err
}

// conversion puts the parameters of a body into the fields of a request. Where a field has another name there it says so in from.
type conversion func(body, request map[string]json.RawMessage, from map[string]string) error

func conversions() map[string]conversion {
	return map[string]conversion{chatCompletions: convertChat, embeddings: convertEmbedding}
}

// requestOf makes the request document of a body. Faults of the request name the field of the body.
func requestOf(body map[string]json.RawMessage, convert conversion) ([]byte, error) {
	request, from := map[string]json.RawMessage{}, map[string]string{}
	if err := convert(body, request, from); err != nil {
		return nil, err
	}
	if err := putMetadata(request, body[paramMetadata], from); err != nil {
		return nil, err
	}
	doc, err := encode(request)
	if err != nil {
		return nil, err
	}
	_, err = messages.DecodeRequest(doc)
	if fault, ok := errors.AsType[*messages.FieldError](err); ok {
		if fault.Field = openAIField(fault.Field); from[fault.Field] != "" {
			fault.Field = from[fault.Field]
		}
	}
	return doc, err
}

// copied are the parameters that a request calls by the same name and takes in the same form.
func copied(request, body map[string]json.RawMessage, names ...string) {
	for _, name := range names {
		if !isNull(body[name]) {
			request[name] = body[name]
		}
	}
}

func exactly(raw json.RawMessage, field, want string) error {
	got, err := text(raw, field)
	if err != nil {
		return err
	}
	if got != want {
		return &messages.FieldError{Field: field, Rule: "must be " + want, Got: clip(got)}
	}
	return nil
}

// only refuses members other than those known, the first by name.
func only(members map[string]json.RawMessage, where string, known ...string) error {
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if !slices.Contains(known, name) {
			return &messages.FieldError{Field: where + clip(name), Rule: "is not supported in a batch"}
		}
	}
	return nil
}

// inner reads an object that must be there.
func inner(raw json.RawMessage, field string) (map[string]json.RawMessage, error) {
	members, err := object(raw)
	if errors.Is(err, errNoObject) {
		return nil, &messages.FieldError{Field: field, Rule: "must be an object", Got: shape(raw)}
	}
	return members, err
}

func putMetadata(request map[string]json.RawMessage, raw json.RawMessage, from map[string]string) error {
	if isNull(raw) {
		return nil
	}
	metadata, err := inner(raw, paramMetadata)
	if err != nil {
		return err
	}
	for _, name := range requestFields() {
		value, has := metadata[name]
		if !has {
			continue
		}
		if _, err := text(value, paramMetadata+"."+name); err != nil {
			if name == fieldPurpose { // it is the producer's own
				continue
			}
			return err
		}
		request[name], from[name] = value, paramMetadata+"."+name
		delete(metadata, name)
	}
	if len(metadata) == 0 {
		return nil
	}
	request[paramMetadata], err = encode(metadata)
	return err
}
