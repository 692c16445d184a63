package batch

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"flowgate/messages"
)

// errNoObject says that some JSON is not an object.
var errNoObject = errors.New("not a JSON object")

// object takes the members of a JSON object apart. Unlike encoding/json it refuses a name that is given twice, since one
// of the two values would be dropped.
func object(raw []byte) (map[string]json.RawMessage, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errNoObject
	}
	members := map[string]json.RawMessage{}
	for d.More() {
		t, err := d.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			return nil, errNoObject
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, errNoObject
		}
		if _, twice := members[name]; twice {
			return nil, &messages.FieldError{Field: clip(name), Rule: "must be given once", Got: "it twice"}
		}
		members[name] = value
	}
	if _, err := d.Token(); err != nil {
		return nil, errNoObject
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, &messages.FieldError{Field: document, Rule: "must be one JSON document", Got: "further bytes after it"}
	}
	return members, nil
}

// encode writes JSON on one line without the escapes that HTML needs: they could make a document six times as large.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("encoding JSON: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// shape names the type of a JSON value.
func shape(raw json.RawMessage) string {
	if len(raw) == 0 {
		return "nothing"
	}
	switch raw[0] {
	case '{':
		return "object"
	case '[':
		return "array"
	case '"':
		return "string"
	case 't', 'f':
		return "bool"
	case 'n':
		return "null"
	}
	return "number"
}

// isNull is true for what is left out and for null.
func isNull(raw json.RawMessage) bool { return len(raw) == 0 || raw[0] == 'n' }

// text reads a JSON string.
func text(raw json.RawMessage, field string) (string, error) {
	var s string
	if len(raw) == 0 || raw[0] != '"' || json.Unmarshal(raw, &s) != nil {
		return "", &messages.FieldError{Field: field, Rule: "must be a string", Got: shape(raw)}
	}
	return s, nil
}

// clip makes a name fit for a message: at most 64 bytes, without control characters, never empty.
func clip(s string) string {
	const most = 64
	if s == "" {
		return `""`
	}
	cut := strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return utf8.RuneError
		}
		return c
	}, strings.ToValidUTF8(s[:min(len(s), most)], ""))
	if len(s) > most {
		cut += "…"
	}
	return cut
}
