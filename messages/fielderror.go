package messages

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// FieldError says which field of a document breaks which rule. Got shows the value's shape or a harmless part of it, never
// a prompt, a secret or personal data.
type FieldError struct {
	Field string `json:"field"`
	Rule  string `json:"rule"`
	Got   string `json:"got,omitempty"`
	// Reason is the code that a request ends with because of it; empty means malformed.
	Reason Reason `json:"-"`
}

func (e *FieldError) Error() string {
	if e.Got == "" {
		return fmt.Sprintf("field %s: %s", e.Field, e.Rule)
	}
	return fmt.Sprintf("field %s: %s (got %s)", e.Field, e.Rule, e.Got)
}

// Code is the reason with which a request ends that has this fault.
func (e *FieldError) Code() Reason {
	if e.Reason == "" {
		return ReasonMalformed
	}
	return e.Reason
}

// rooted names the document as the field of a fault that lies in no field of it.
func (e *FieldError) rooted() *FieldError {
	if e.Field == "" {
		e.Field = document
	}
	return e
}

// within puts the name of a field, or an index, before the place of a fault.
func (e *FieldError) within(name string) *FieldError {
	const longest, cut = 200, "…"
	switch {
	case strings.HasPrefix(e.Field, cut):
		return e
	case len(e.Field) > longest:
		e.Field = cut + e.Field
		return e
	}
	if e.Field != "" && !strings.HasPrefix(e.Field, "[") {
		name += "."
	}
	e.Field = name + e.Field
	return e
}

// document is the field name of faults that concern no single field.
const document = "(document)"

// decodeStrict reads exactly one JSON object into v. Unknown fields, fields twice, null, wrong types and trailing bytes are
// FieldErrors.
func decodeStrict(data []byte, v any) error {
	switch {
	case !utf8.Valid(data):
		return &FieldError{Field: document, Rule: "must be UTF-8"}
	case bytes.HasPrefix(data, []byte("\uFEFF")):
		return &FieldError{Field: document, Rule: "must not begin with a byte order mark"}
	case string(bytes.TrimSpace(data)) == "null":
		return &FieldError{Field: document, Rule: "must be a JSON object", Got: "null"}
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fieldError(data, err, v, false)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return &FieldError{Field: document, Rule: "must be one JSON document", Got: "further bytes after it"}
	}
	return checkDocument(data)
}

// decodeOwn reads what flowgate itself wrote. Unknown fields are left out, not refused.
func decodeOwn(data []byte, v any, version *int) error {
	if err := json.Unmarshal(data, v); err != nil {
		return fieldError(data, err, v, true)
	}
	return checkVersion(*version)
}

// checkVersion tells whether this build reads a wire version.
func checkVersion(v int) error {
	if v >= 1 && v <= Version {
		return nil
	}
	return &FieldError{
		Field: "v", Rule: fmt.Sprintf("must be a version from 1 to %d", Version), Got: strconv.Itoa(v),
		Reason: ReasonUnsupportedVersion,
	}
}

// statedVersion tells whether the version that a document states, if it does, is one that this build reads. It is asked
// where the document could not be read, since that may be the reason, and where the version reads as 0.
func statedVersion(data []byte) error {
	var stated struct {
		V json.RawMessage `json:"v"`
	}
	var v int
	readable := json.Unmarshal(data, &stated) == nil && json.Unmarshal(stated.V, &v) == nil
	if !readable || string(stated.V) == "null" {
		return nil // whoever asks has the document's own fault
	}
	return checkVersion(v)
}

// fieldError translates an error of encoding/json about reading data into v.
func fieldError(data []byte, err error, v any, lenient bool) error {
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &syntax) && strings.Contains(err.Error(), "exceeded max depth"):
		return &FieldError{Field: document, Rule: "must nest at most 10000 levels deep"}
	case errors.As(err, &syntax):
		line, column := position(data, syntax.Offset-1)
		return &FieldError{Field: document, Rule: "must be valid JSON", Got: fmt.Sprintf("a fault at line %d, column %d", line, column)}
	case errors.Is(err, io.EOF):
		return &FieldError{Field: document, Rule: "must be a JSON object", Got: "nothing"}
	case errors.Is(err, io.ErrUnexpectedEOF):
		return &FieldError{Field: document, Rule: "must be valid JSON", Got: "an end too early"}
	}
	if fault := locate(data, v, lenient); fault != nil {
		return fault
	}
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return wrongType(wrong).rooted()
	}
	return &FieldError{Field: document, Rule: "must be valid JSON of this document's form"}
}

// position is where a byte stands, line and column from 1, columns in bytes.
func position(data []byte, offset int64) (line, column int) {
	before := data[:max(0, min(offset, int64(len(data))))]
	return 1 + bytes.Count(before, []byte("\n")), len(before) - bytes.LastIndexByte(before, '\n')
}

// wrongType is the fault of a value of a wrong JSON type, or of a number that is none for its field.
func wrongType(err *json.UnmarshalTypeError) *FieldError {
	want, got := jsonType(err.Type.Kind().String()), err.Value
	if strings.HasPrefix(got, "number ") {
		got = "another number"
	}
	return &FieldError{Field: err.Field, Rule: "must be " + want, Got: got}
}

// jsonType names a Go kind in the words of JSON.
func jsonType(kind string) string {
	switch {
	case strings.HasPrefix(kind, "uint"):
		return "a whole number, not negative"
	case strings.HasPrefix(kind, "int"):
		return "a whole number"
	case strings.HasPrefix(kind, "float"):
		return "a number of ordinary size"
	case kind == "bool":
		return "true or false"
	case kind == "slice", kind == "array":
		return "an array"
	case kind == "struct", kind == "map":
		return "an object"
	}
	return "a " + kind
}

// shape shows a value of our own words where it looks like one (a short word of letters and _), else only its length: it
// may be a secret or a personal datum that went to the wrong field.
func shape(s string) string {
	const longest = 24
	word := func(c rune) bool { return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '_' }
	if len(s) <= longest && strings.IndexFunc(s, word) < 0 {
		return strconv.Quote(s)
	}
	return fmt.Sprintf("%d characters", utf8.RuneCountInString(s))
}

// clip makes a value fit for a message or a record: at most 64 bytes, valid UTF-8, without control characters.
func clip(s string) string { return clipTo(s, 64) }

// clipTo is clip with another bound, in bytes.
func clipTo(s string, most int) string {
	cut := s[:min(len(s), most)]
	cut = strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return utf8.RuneError
		}
		return c
	}, strings.ToValidUTF8(cut, ""))
	if len(s) > most {
		cut += "…"
	}
	return cut
}

func index(i int) string { return "[" + strconv.Itoa(i) + "]" }
