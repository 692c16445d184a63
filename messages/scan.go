package messages

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
)

// scanner walks one valid JSON document by hand, for what encoding/json does not tell: a key that stands twice (it takes the
// last), a key in another case (it takes it too), null (it leaves the field alone), and, where the type is known, which
// field it is that does not fit. Without a type it allocates for keys with escapes and for large objects only.
type scanner struct {
	data []byte
	at   int
	// lenient lets null and unknown keys pass.
	lenient bool
}

// checkDocument holds a valid document of our own fields to their exact names, each once, none null.
func checkDocument(data []byte) error {
	s := scanner{data: data}
	if f := s.value(false, nil); f != nil {
		return f.rooted()
	}
	return nil
}

// locate finds the first value of a valid document that does not fit the type of v; nil where all do.
func locate(data []byte, v any, lenient bool) *FieldError {
	s := scanner{data: data, lenient: lenient}
	if f := s.value(false, reflect.TypeOf(v)); f != nil {
		return f.rooted()
	}
	return nil
}

// freeKey tells whether a field's value has a form of its own. Its keys stand once too.
func freeKey(key string) bool {
	switch key {
	case "metadata", "parameters", "config", "analysis_input", "request", "schema":
		return true
	}
	return false
}

// value passes over one value. It is free where its form is not ours to judge; t may be nil.
func (s *scanner) value(free bool, t reflect.Type) *FieldError {
	t = target(t)
	s.space()
	start, first := s.at, s.data[s.at]
	var fault *FieldError
	switch {
	case first == 'n' && !free && !s.lenient:
		s.word()
		return &FieldError{Rule: "must not be null; leave it out"}
	case first == '{' && opens(t, reflect.Struct, reflect.Map):
		return s.object(free, t)
	case first == '[' && opens(t, reflect.Slice):
		return s.array(free, t)
	case first == '{':
		fault = s.object(true, nil)
	case first == '[':
		fault = s.array(true, nil)
	case first == '"':
		s.text()
	default:
		s.word()
	}
	if fault == nil && t != nil {
		fault = misfit(s.data[start:s.at], t)
	}
	return fault
}

// target is the type that a value is for, behind pointers; nil where every value fits.
func target(t reflect.Type) reflect.Type {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == reflect.TypeFor[json.RawMessage]() {
		return nil
	}
	return t
}

func opens(t reflect.Type, kinds ...reflect.Kind) bool {
	if t == nil {
		return true
	}
	for _, kind := range kinds {
		if t.Kind() == kind {
			return t != reflect.TypeFor[[]byte]() && !reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]())
		}
	}
	return false
}

func (s *scanner) object(free bool, t reflect.Type) *FieldError {
	var seen keys
	for s.at++; ; {
		s.space()
		switch s.data[s.at] {
		case '}':
			s.at++
			return nil
		case ',':
			s.at++
			continue
		}
		key, known, inner := s.key(), true, t
		if inner != nil {
			inner, known = fieldType(t, string(key))
		}
		switch {
		case !free && !s.lenient && (!known || !plain(key)):
			return &FieldError{Field: clip(string(key)), Rule: "is not a field of this document"}
		case s.lenient || seen.add(key):
		case free:
			return &FieldError{Rule: "must have every key once"} // a key that is not ours may be a personal datum
		default:
			return &FieldError{Field: string(key), Rule: "must stand once"}
		}
		s.space()
		s.at++ // the colon
		s.space()
		fault := s.value(free || freeKey(string(key)) && s.data[s.at] != 'n', inner)
		switch {
		case fault != nil && free:
			return fault
		case fault != nil:
			return fault.within(clip(string(key)))
		}
	}
}

func (s *scanner) array(free bool, t reflect.Type) *FieldError {
	if t != nil {
		t = t.Elem()
	}
	i := 0
	for s.at++; ; {
		s.space()
		switch s.data[s.at] {
		case ']':
			s.at++
			return nil
		case ',':
			s.at++
			i++
			continue
		}
		if fault := s.value(free, t); fault != nil {
			return fault.within(index(i))
		}
	}
}

// key passes over a string and gives it unescaped.
func (s *scanner) key() []byte {
	start := s.at
	if !s.text() {
		return s.data[start+1 : s.at-1]
	}
	var key string
	if err := json.Unmarshal(s.data[start:s.at], &key); err != nil {
		return nil // not in a valid document
	}
	return []byte(key)
}

// text passes over a string and tells whether it has escapes.
func (s *scanner) text() (escaped bool) {
	s.at++
	for {
		rest := s.data[s.at:]
		end := bytes.IndexByte(rest, '"')
		escape := bytes.IndexByte(rest[:end], '\\')
		if escape < 0 {
			s.at += end + 1
			return escaped
		}
		escaped = true
		s.at += escape + 2
	}
}

// word passes over a number, true, false or null.
func (s *scanner) word() {
	for s.at < len(s.data) {
		switch s.data[s.at] {
		case ' ', '\t', '\r', '\n', ',', ']', '}':
			return
		}
		s.at++
	}
}

func (s *scanner) space() {
	for s.at < len(s.data) {
		switch s.data[s.at] {
		case ' ', '\t', '\r', '\n':
		default:
			return
		}
		s.at++
	}
}

// plain tells whether a key is written as our fields are. What encoding/json takes for a field of ours and is not plain
// differs from it in case.
func plain(key []byte) bool {
	for _, c := range key {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return true
}

// keys are those of one object.
type keys struct {
	few  [16][]byte
	n    int
	many map[string]bool
}

// add tells whether a key is new.
func (k *keys) add(key []byte) bool {
	if k.many != nil {
		n := len(k.many)
		k.many[string(key)] = true
		return len(k.many) > n
	}
	for _, other := range k.few[:k.n] {
		if bytes.Equal(other, key) {
			return false
		}
	}
	if k.n < len(k.few) {
		k.few[k.n] = key
		k.n++
		return true
	}
	k.many = map[string]bool{string(key): true}
	for _, other := range k.few {
		k.many[string(other)] = true
	}
	return true
}

// fieldType is the type of a struct's field, or of a map's values.
func fieldType(t reflect.Type, key string) (reflect.Type, bool) {
	if t.Kind() == reflect.Map {
		return t.Elem(), true
	}
	for _, field := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == key && name != "" && !field.Anonymous {
			return field.Type, true
		}
	}
	return nil, false
}

// misfit tells why a value does not fit a type; nil where it does.
func misfit(value []byte, t reflect.Type) *FieldError {
	err := json.Unmarshal(value, reflect.New(t).Interface())
	var wrong *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &wrong):
		return wrongType(wrong)
	case t.PkgPath() == "time":
		return &FieldError{Rule: "must be a time of RFC 3339 in quotes, such as \"2026-01-31T12:00:00Z\""}
	}
	return &FieldError{Rule: "must be " + jsonType(t.Kind().String())}
}
