package configs

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
)

// Entry is one setting as it holds.
type Entry struct {
	Key string `json:"key"`
	// Value is in the form that a file has it in; secrets are masked. Empty: it is not set.
	Value  string `json:"value"`
	Fate   Fate   `json:"fate"`
	Origin Origin `json:"origin"`
	// About says what the setting does, for one that is used; else why it does nothing.
	About string `json:"about"`
	// Variables are the environment variables that win over the file.
	Variables []string `json:"variables,omitempty"`
}

// Explain lists every setting that has an effect, as it holds, in the order of the structs and by key in maps.
func (s Settings) Explain() []Entry {
	return slices.DeleteFunc(explain(s, nil), func(e Entry) bool { return e.Fate != Used })
}

// Version is a short digest of every setting that has an effect: it names in records by which settings a decision was made.
// Of secrets only counts whether they are set.
func (s Settings) Version() string {
	h := sha256.New()
	for _, e := range s.Explain() {
		_, _ = fmt.Fprintf(h, "%q=%q\n", e.Key, e.Value) // a hash takes everything
	}
	return hex.EncodeToString(h.Sum(nil)[:6])
}

// Entries lists every setting that is known, as it holds.
func (l Loaded) Entries() []Entry { return explain(l.Settings, l.given) }

// Find lists the entry of a key, or those of a section. environments.<name>.<key> is what holds in that environment. The
// error names the nearest key.
func (l Loaded) Find(key string) ([]Entry, error) {
	if rest, ok := strings.CutPrefix(key, environmentsKey+"."); ok {
		for _, name := range l.Environments {
			if own, ok := strings.CutPrefix(rest, name+"."); ok {
				return l.findIn(name, own)
			}
		}
	}
	entries := l.Entries()
	found := slices.DeleteFunc(slices.Clone(entries), func(e Entry) bool { return e.Key != key && !strings.HasPrefix(e.Key, key+".") })
	if len(found) > 0 {
		return found, nil
	}
	if e, ok := described(key); ok {
		return []Entry{e}, nil
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Key)
		for i := range e.Key {
			if e.Key[i] == '.' {
				names = append(names, e.Key[:i])
			}
		}
	}
	if near := nearest(key, names); near != "" {
		return nil, fmt.Errorf("%s is not a known key; did you mean %s?", clip(key), near)
	}
	return nil, fmt.Errorf("%s is not a known key; without a key all are listed", clip(key))
}

// findIn lists what holds in one environment.
func (l Loaded) findIn(name, key string) ([]Entry, error) {
	in := Loaded{Settings: l.Settings, given: l.given}
	if other, ok := l.others[name]; ok {
		in = other
	}
	in.Environments = nil
	found, err := in.Find(key)
	for i := range found {
		found[i].Key = environmentsKey + "." + name + "." + found[i].Key
	}
	return found, err
}

// explain lists all settings; given may be nil.
func explain(s Settings, given origins) []Entry {
	var entries []Entry
	abouts := describe()
	w := walker{leaf: func(path string, v reflect.Value, f fate, unit string) {
		e := Entry{Key: path, Value: written(v, unit), Fate: f.Fate, Origin: given.of(path), About: f.why}
		if f.Fate == Used {
			e.About = abouts.of(path)
		}
		for _, variable := range Variables() {
			if variable.Key == path {
				e.Variables = append(e.Variables, variable.Name)
			}
		}
		entries = append(entries, e)
	}}
	w.walk("", reflect.ValueOf(s), fate{Fate: Used}, "")
	return entries
}

// Show writes the settings that have an effect as a file would have them, secrets masked; with origins a comment behind each
// key that is not the default says where it comes from.
func (l Loaded) Show(w io.Writer, origins bool) error {
	y := yamlWriter{w: w, given: l.given, origins: origins}
	y.write("", "", reflect.ValueOf(l.Settings), "")
	return y.err
}
