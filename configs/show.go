package configs

import (
	"encoding"
	"fmt"
	"io"
	"reflect"
	"time"
)

// yamlWriter writes settings as a file. The first error stays.
type yamlWriter struct {
	w       io.Writer
	given   origins
	origins bool
	err     error
}

func (y *yamlWriter) write(path, indent string, v reflect.Value, unit string) {
	for _, c := range children(v) {
		if c.fate.Fate != Used || !hasUsed(c.value) {
			continue
		}
		at := join(path, c.key)
		if !isLeaf(c.value) {
			y.line("%s%s:", indent, scalarYAML(c.key))
			y.write(at, indent+"  ", c.value, unit)
			continue
		}
		text := written(c.value, c.unit)
		if !plain(c.value) {
			text = scalarYAML(text)
		}
		if origin := y.given.of(at); y.origins && origin.Source != FromDefault {
			text += "  # " + origin.String()
		}
		y.line("%s%s: %s", indent, scalarYAML(c.key), text)
	}
}

func (y *yamlWriter) line(format string, args ...any) {
	if y.err == nil {
		_, y.err = fmt.Fprintf(y.w, format+"\n", args...)
	}
}

// plain tells whether a value's text stands in YAML as it is.
func plain(v reflect.Value) bool {
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	if v.Type() == reflect.TypeFor[Dollars]() || v.Type() == reflect.TypeFor[time.Duration]() {
		return true
	}
	_, text := reflect.TypeAssert[encoding.TextMarshaler](v)
	return !text && v.Kind() != reflect.String
}

// hasUsed tells whether there is anything to show: a value that is set, and a key below that has an effect.
func hasUsed(v reflect.Value) bool {
	if isLeaf(v) {
		return v.Kind() != reflect.Pointer || !v.IsNil()
	}
	for _, c := range children(v) {
		if c.fate.Fate == Used && hasUsed(c.value) {
			return true
		}
	}
	return v.Kind() == reflect.Map
}

// Tree is the settings that have an effect as nested maps, for JSON; secrets are masked.
func (s Settings) Tree() map[string]any { return tree(reflect.ValueOf(s)) }

func tree(v reflect.Value) map[string]any {
	all := map[string]any{}
	for _, c := range children(v) {
		switch {
		case c.fate.Fate != Used || !hasUsed(c.value):
		case isLeaf(c.value):
			all[c.key] = value(c.value, c.unit)
		default:
			all[c.key] = tree(c.value)
		}
	}
	return all
}

// value is a setting as JSON has it: times without unit are seconds, others a text.
func value(v reflect.Value, unit string) any {
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	if d, ok := reflect.TypeAssert[time.Duration](v); ok && unit == "seconds" {
		return d.Seconds()
	}
	if _, ok := reflect.TypeAssert[encoding.TextMarshaler](v); ok || v.Type() == reflect.TypeFor[time.Duration]() {
		return written(v, unit)
	}
	if v.Kind() == reflect.Map {
		return map[string]any{}
	}
	return v.Interface()
}

// Difference is a key whose value differs in two settings.
type Difference struct {
	Key   string `json:"key"`
	Other string `json:"other"`
	Value string `json:"value"`
	// Origin is that of Value.
	Origin Origin `json:"origin"`
}

// Diff lists the keys with an effect whose values differ from those of other. Secrets are masked.
func (l Loaded) Diff(other Loaded) []Difference {
	before := map[string]Entry{}
	for _, e := range other.Entries() {
		before[e.Key] = e
	}
	ours, theirs := l.secrets(), other.secrets()
	var all []Difference
	for _, e := range l.Entries() {
		old := before[e.Key]
		delete(before, e.Key)
		if e.Fate == Used && (e.Value != old.Value || ours[e.Key] != theirs[e.Key]) {
			d := Difference{Key: e.Key, Other: old.Value, Value: e.Value, Origin: e.Origin}
			if d.Value == masked && d.Other == masked {
				d.Value = masked + " (another)"
			}
			all = append(all, d)
		}
	}
	for _, old := range other.Entries() {
		if _, gone := before[old.Key]; gone && old.Fate == Used && old.Value != "{}" {
			all = append(all, Difference{Key: old.Key, Other: old.Value, Origin: l.given.of(old.Key)})
		}
	}
	return all
}

// secrets are the secrets by key, to tell two apart.
func (s Settings) secrets() map[string]string {
	found := map[string]string{}
	walker{leaf: func(path string, v reflect.Value, _ fate, _ string) {
		if secret, ok := reflect.TypeAssert[Secret](v); ok {
			found[path] = secret.Reveal()
		}
	}}.walk("", reflect.ValueOf(s), fate{Fate: Used}, "")
	return found
}

// Secrets are the secrets that are set, by key.
func (s Settings) Secrets() map[string]Secret {
	all := map[string]Secret{}
	for key, text := range s.secrets() {
		if text != "" {
			all[key] = NewSecret(text)
		}
	}
	return all
}

// SecretFiles are the files that secrets came from, by key.
func (l Loaded) SecretFiles() map[string]string {
	all := map[string]string{}
	for key, origin := range l.given {
		if origin.SecretFile != "" {
			all[key] = origin.SecretFile
		}
	}
	return all
}

// ReadDefaults are the settings where there is neither a file nor a variable.
func ReadDefaults() Loaded { return Loaded{Settings: Default()} }
