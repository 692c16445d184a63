package configs

import (
	"bytes"
	"reflect"
	"regexp"
	"strings"
)

// abouts are the words of settings.yaml about its keys.
type abouts map[string]string

// describe reads the comments of the sample: the lines above a key, else those above the keys before it on the same level, else
// those of its section.
func describe() abouts {
	var s Settings
	d, err := decodeYAML("settings.yaml", SampleSettings, nil, &s)
	if err != nil {
		return nil // a test reads the sample
	}
	rows := strings.Split(string(bytes.TrimSpace(SampleSettings)), "\n")
	found := make(abouts, len(d.lines))
	for key, line := range d.lines {
		found[key] = commentAbove(rows, line-1)
	}
	return found
}

// commentAbove are the comments above a row, or above the rows of keys right before it that are as deep.
func commentAbove(rows []string, row int) string {
	depth := indentOf(rows[row])
	for row--; row >= 0 && indentOf(rows[row]) == depth && !strings.HasPrefix(strings.TrimSpace(rows[row]), "#"); row-- {
	}
	var lines []string
	for ; row >= 0 && indentOf(rows[row]) == depth; row-- {
		text, comment := strings.CutPrefix(strings.TrimSpace(rows[row]), "#")
		if !comment {
			break
		}
		lines = append([]string{strings.TrimSpace(text)}, lines...)
	}
	return strings.Join(lines, " ")
}

func indentOf(row string) int { return len(row) - len(strings.TrimLeft(row, " ")) }

// of is what is known about a key: its own comment, else that of the nearest section above it that has one.
func (a abouts) of(key string) string {
	for {
		if text := a[key]; text != "" {
			return text
		}
		i := strings.LastIndexByte(key, '.')
		if i < 0 {
			return ""
		}
		key = key[:i]
	}
}

// described is the entry of a key that is known and not set: one below a name that nobody has given yet.
func described(key string) (Entry, bool) {
	found, ok := Entry{}, false
	patterns("", reflect.TypeFor[Settings](), fate{Fate: Used}, func(pattern string, f fate) {
		if ok || !strings.Contains(pattern, "*") {
			return
		}
		if !(Key{Pattern: pattern}).Matches(key) {
			return
		}
		found, ok = Entry{Key: key, Fate: f.Fate, Origin: Origin{Source: FromDefault}, About: f.why}, true
		if f.Fate == Used {
			found.About = describe().of(key)
		}
	})
	return found, ok
}

// patterns visits every key that a file may have; * stands for any name.
func patterns(path string, t reflect.Type, f fate, visit func(pattern string, f fate)) {
	switch {
	case t == reflect.TypeFor[Environments]():
	case t.Kind() == reflect.Map:
		patterns(join(path, "*"), t.Elem(), f, visit)
	case t.Kind() == reflect.Struct && !isLeaf(reflect.Zero(t)):
		for field := range t.Fields() {
			if key := field.Tag.Get("yaml"); key != "" {
				patterns(join(path, key), field.Type, fateOf(field.Tag).under(f), visit)
			}
		}
	default:
		visit(path, f)
	}
}

// Key is a key that a file may have; * in it stands for any name.
type Key struct {
	Pattern string
	Fate    Fate
}

// Matches tells whether a key is one of the pattern.
func (k Key) Matches(key string) bool {
	form := strings.ReplaceAll(regexp.QuoteMeta(k.Pattern), `\*`, `.+`)
	matched, err := regexp.MatchString("^"+form+"$", key)
	return err == nil && matched
}

// Keys are all keys that a file may have, in the order of the structs.
func Keys() []Key {
	var all []Key
	patterns("", reflect.TypeFor[Settings](), fate{Fate: Used}, func(pattern string, f fate) {
		all = append(all, Key{pattern, f.Fate})
	})
	return all
}
