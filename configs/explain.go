package configs

import (
	"crypto/sha256"
	"encoding"
	"encoding/hex"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Entry is one setting as it holds. Secrets are masked.
type Entry struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// Explain lists every setting that has an effect, as it holds, in the order of the structs and by key in maps.
func (s Settings) Explain() []Entry {
	var entries []Entry
	explain(&entries, "", reflect.ValueOf(s))
	return entries
}

// Version is a short digest of every setting that has an effect but for secrets: it names in records by which settings a
// decision was made.
func (s Settings) Version() string {
	h := sha256.New()
	for _, e := range s.Explain() {
		fmt.Fprintf(h, "%q=%q\n", e.Key, e.Value)
	}
	return hex.EncodeToString(h.Sum(nil)[:6])
}

func explain(entries *[]Entry, key string, v reflect.Value) {
	if text, ok := written(v); ok {
		*entries = append(*entries, Entry{key, text})
		return
	}
	dot := ""
	if key != "" {
		dot = "."
	}
	switch v.Kind() { //nolint:exhaustive // the others are single values, handled above
	case reflect.Pointer:
		if !v.IsNil() {
			explain(entries, key, v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			field := v.Type().Field(i)
			if fateOf(field.Tag).Fate == Used {
				explain(entries, key+dot+field.Tag.Get("yaml"), v.Field(i))
			}
		}
	case reflect.Map:
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
		for _, k := range keys {
			explain(entries, key+dot+k.String(), v.MapIndex(k))
		}
	}
}

// written is a value that stands on one line.
func written(v reflect.Value) (string, bool) {
	switch value := v.Interface().(type) {
	case encoding.TextMarshaler:
		text, err := value.MarshalText()
		return string(text), err == nil
	case time.Duration:
		return value.String(), true
	case []string:
		return "[" + strings.Join(value, ", ") + "]", true
	}
	switch v.Kind() { //nolint:exhaustive // the others have parts
	case reflect.Struct, reflect.Map, reflect.Pointer, reflect.Slice:
		return "", false
	}
	return fmt.Sprint(v.Interface()), true
}
