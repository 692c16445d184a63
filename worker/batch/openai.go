package batch

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"flowgate/messages"
)

// Members of a line of an OpenAI batch file.
const (
	fieldCustomID = "custom_id"
	fieldMethod   = "method"
	fieldURL      = "url"
	fieldBody     = "body"

	chatCompletions = "/v1/chat/completions"
)

// Parameters of a chat completion that the conversion knows.
const (
	paramModel         = "model"
	paramMessages      = "messages"
	paramTemperature   = "temperature"
	paramMaxTokens     = "max_tokens"
	paramMaxCompletion = "max_completion_tokens"
	paramMetadata      = "metadata"
	paramChoices       = "n"
	paramStream        = "stream"
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
	if err := exactly(members[fieldURL], fieldURL, chatCompletions); err != nil {
		return customID, nil, err
	}
	if err := only(members, "", fieldCustomID, fieldMethod, fieldURL, fieldBody); err != nil {
		return customID, nil, err
	}
	doc, err = convert(members[fieldBody])
	return customID, doc, err
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

// convert makes the request document of a chat completion's body.
func convert(raw json.RawMessage) ([]byte, error) {
	body, err := inner(raw, fieldBody)
	if err != nil {
		return nil, err
	}
	err = only(body, "", paramModel, paramMessages, paramTemperature, paramMaxTokens, paramMaxCompletion, paramMetadata, paramChoices, paramStream)
	if err != nil {
		return nil, err
	}
	if n := body[paramChoices]; !isNull(n) && string(n) != "1" {
		return nil, &messages.FieldError{Field: paramChoices, Rule: "must be 1", Got: shape(n)}
	}
	if s := body[paramStream]; !isNull(s) && string(s) != "false" {
		return nil, &messages.FieldError{Field: paramStream, Rule: "is not supported in a batch", Got: shape(s)}
	}
	request := map[string]json.RawMessage{}
	for _, name := range []string{paramModel, paramTemperature} {
		if !isNull(body[name]) {
			request[name] = body[name]
		}
	}
	from := map[string]string{} // request field -> where it stood, if elsewhere
	if err := putMaxTokens(request, body, from); err != nil {
		return nil, err
	}
	if err := putMetadata(request, body[paramMetadata], from); err != nil {
		return nil, err
	}
	if request[paramMessages], err = conversation(body[paramMessages]); err != nil {
		return nil, err
	}
	doc, err := encode(request)
	if err != nil {
		return nil, err
	}
	_, err = messages.DecodeRequest(doc)
	var fault *messages.FieldError
	if errors.As(err, &fault) && from[fault.Field] != "" {
		fault.Field = from[fault.Field]
	}
	return doc, err
}

// inner reads an object that must be there.
func inner(raw json.RawMessage, field string) (map[string]json.RawMessage, error) {
	members, err := object(raw)
	if errors.Is(err, errNoObject) {
		return nil, &messages.FieldError{Field: field, Rule: "must be an object", Got: shape(raw)}
	}
	return members, err
}

func putMaxTokens(request, body map[string]json.RawMessage, from map[string]string) error {
	old, current := body[paramMaxTokens], body[paramMaxCompletion]
	switch {
	case isNull(current) && isNull(old):
	case isNull(current):
		request[paramMaxTokens] = old
	case isNull(old) || string(old) == string(current):
		request[paramMaxTokens] = current
		from[paramMaxTokens] = paramMaxCompletion
	default:
		return &messages.FieldError{Field: paramMaxTokens, Rule: "must agree with max_completion_tokens, or be left out"}
	}
	return nil
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

// conversation converts the messages: content is a string, or an array of text parts that are joined in order.
func conversation(raw json.RawMessage) (json.RawMessage, error) {
	var turns []json.RawMessage
	if isNull(raw) || json.Unmarshal(raw, &turns) != nil {
		return nil, &messages.FieldError{Field: paramMessages, Rule: "must be an array of messages", Got: shape(raw)}
	}
	if len(turns) > messages.MaxMessages {
		return nil, &messages.FieldError{Field: paramMessages, Rule: fmt.Sprintf("must be at most %d", messages.MaxMessages), Got: fmt.Sprint(len(turns))}
	}
	converted := make([]messages.Message, len(turns))
	for i, turn := range turns {
		where := fmt.Sprintf("%s[%d]", paramMessages, i)
		members, err := inner(turn, where)
		if err != nil {
			return nil, err
		}
		if err := only(members, where+".", "role", "content", "name"); err != nil {
			return nil, err
		}
		m := &converted[i]
		if m.Role, err = text(members["role"], where+".role"); err != nil {
			return nil, err
		}
		if !isNull(members["name"]) {
			if m.Name, err = text(members["name"], where+".name"); err != nil {
				return nil, err
			}
		}
		if m.Content, err = content(members["content"], where+".content"); err != nil {
			return nil, err
		}
	}
	return encode(converted)
}

func content(raw json.RawMessage, field string) (string, error) {
	if shape(raw) == "string" {
		return text(raw, field)
	}
	var parts []json.RawMessage
	if isNull(raw) || json.Unmarshal(raw, &parts) != nil {
		return "", &messages.FieldError{Field: field, Rule: "must be a string or an array of text parts", Got: shape(raw)}
	}
	var joined strings.Builder
	for i, part := range parts {
		where := fmt.Sprintf("%s[%d]", field, i)
		members, err := inner(part, where)
		if err != nil {
			return "", err
		}
		if err := exactly(members["type"], where+".type", "text"); err != nil {
			return "", err
		}
		if err := only(members, where+".", "type", "text"); err != nil {
			return "", err
		}
		s, err := text(members["text"], where+".text")
		if err != nil {
			return "", err
		}
		joined.WriteString(s)
	}
	return joined.String(), nil
}
