package configs

import (
	"encoding"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
)

// walker visits every setting, in the order of the structs and by key in maps.
type walker struct {
	leaf func(path string, v reflect.Value, f fate, unit string)
}

func (w walker) walk(path string, v reflect.Value, f fate, unit string) {
	if isLeaf(v) {
		w.leaf(path, v, f, unit)
		return
	}
	for _, c := range children(v) {
		w.walk(join(path, c.key), c.value, c.fate.under(f), c.unit)
	}
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// child is a key below a section.
type child struct {
	key   string
	value reflect.Value
	fate  fate
	unit  string
}

// children are the keys of a section. The subtrees of environments are no settings of their own.
func children(v reflect.Value) []child {
	var all []child
	if v.Kind() == reflect.Map {
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
		for _, k := range keys {
			all = append(all, child{k.String(), v.MapIndex(k), fate{Fate: Used}, ""})
		}
		return all
	}
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if key := field.Tag.Get("yaml"); key != "" && field.Type != reflect.TypeFor[Environments]() {
			all = append(all, child{key, v.Field(i), fateOf(field.Tag), field.Tag.Get("unit")})
		}
	}
	return all
}

// isLeaf tells whether a value has no keys below it. An empty map is one, and so is what a family leaves out.
func isLeaf(v reflect.Value) bool {
	if _, ok := reflect.TypeAssert[encoding.TextMarshaler](v); ok {
		return true
	}
	switch v.Kind() { //nolint:exhaustive // the others are single values
	case reflect.Map:
		return v.Len() == 0
	case reflect.Struct:
		return false
	}
	return true
}

// written is a value as a file has it, on one line; empty for one that is not set.
func written(v reflect.Value, unit string) string {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return ""
		}
		v = v.Elem()
	}
	if m, ok := reflect.TypeAssert[encoding.TextMarshaler](v); ok {
		text, err := m.MarshalText()
		if err != nil {
			return ""
		}
		return string(text)
	}
	switch value := v.Interface().(type) {
	case time.Duration:
		if unit == "seconds" {
			return strconv.FormatFloat(value.Seconds(), 'f', -1, 64)
		}
		return value.String()
	case []string:
		quoted := make([]string, len(value))
		for i, s := range value {
			quoted[i] = scalarYAML(s)
		}
		return "[" + strings.Join(quoted, ", ") + "]"
	}
	switch v.Kind() { //nolint:exhaustive // settings have no others
	case reflect.Map:
		return "{}"
	case reflect.Bool:
		return strconv.FormatBool(v.Bool())
	case reflect.Float64:
		return strconv.FormatFloat(v.Float(), 'g', -1, 64)
	case reflect.String:
		return v.String()
	}
	return strconv.FormatInt(v.Int(), 10)
}

// scalarYAML is a text as YAML has it on one line.
func scalarYAML(text string) string {
	if strings.ContainsAny(text, "\n,[]{}#:\"'\\") || strings.HasPrefix(text, "${") {
		return strconv.Quote(strings.ReplaceAll(text, "${", "$${"))
	}
	out, err := yaml.Marshal(text)
	if err != nil {
		return strconv.Quote(text)
	}
	return strings.TrimSuffix(string(out), "\n")
}
