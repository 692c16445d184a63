package configs

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// maxYAMLValues bounds the values of a file, those that aliases repeat included.
const maxYAMLValues = 200_000

// decoder writes a YAML document into a struct, strictly. It goes on after a fault, so that all are reported at once.
//
// A struct's field is named by its yaml tag. The tags later and void say that it has no effect (see fate.go): its key is
// checked as any other, but gets a warning, and a variable that is not set is no fault in it. The tag unit says how a number
// is to be read (seconds), or a date (until: through the end of that day). A Secret may also come from a file, which its key
// with _file behind it names; where a variable of it is not set it is left empty, with a warning, unless the tag address says
// that it names a server: an empty one would be another server. A key whose value is null counts as left out.
type decoder struct {
	file string
	// env expands ${NAME}; nil leaves texts as they are.
	env      Lookup
	anchors  map[string]ast.Node
	values   int
	faults   []error
	warnings []Warning
	// lines has the line of every key that was given, by path; null does not count.
	lines map[string]int
	// secretFiles has the file of every secret that came from one, by the secret's path.
	secretFiles map[string]string
	// overlays are the subtrees of environments, by name.
	overlays map[string]subtree
	// dry checks form alone: no file of a secret is read and no variable missed.
	dry bool
	// adding adds to maps instead of replacing them.
	adding bool
}

// place is where in the file the decoder is.
type place struct {
	key   string
	line  int
	depth int
	// idle is true where keys have no effect, lenient where a variable that is not set is no fault.
	idle, lenient bool
	unit          string
}

func (p place) child(key string, line int) place {
	path := key
	if p.key != "" && !strings.HasPrefix(key, "[") {
		path = "." + key
	}
	return place{key: p.key + path, line: line, depth: p.depth + 1, idle: p.idle, lenient: p.idle}
}

// decodeYAML reads data into the struct or slice that into points to.
func decodeYAML(file string, data []byte, env Lookup, into any) (*decoder, error) {
	d := &decoder{
		file: file, env: env, anchors: map[string]ast.Node{}, lines: map[string]int{}, secretFiles: map[string]string{},
		overlays: map[string]subtree{},
	}
	root, err := parseYAML(file, data)
	if err != nil {
		return d, err
	}
	if root != nil {
		ast.Walk(d, root)
		d.value(place{line: lineOf(root)}, root, reflect.ValueOf(into).Elem())
	}
	return d, errors.Join(d.faults...)
}

// Visit collects anchors. It makes the decoder an ast.Visitor.
func (d *decoder) Visit(n ast.Node) ast.Visitor {
	if a, ok := n.(*ast.AnchorNode); ok && a.Name != nil {
		d.anchors[a.Name.GetToken().Value] = a.Value
	}
	return d
}

func (d *decoder) fault(p place, format string, args ...any) {
	d.faults = append(d.faults, &Fault{File: d.file, Line: p.line, Key: p.key, Text: fmt.Sprintf(format, args...)})
}

func (d *decoder) value(p place, n ast.Node, into reflect.Value) {
	if d.exceeded(p) {
		return
	}
	n = d.resolve(p, n)
	if n == nil || n.Type() == ast.NullType {
		return
	}
	switch {
	case isScalar(into):
		d.scalar(p, n, into)
	case into.Kind() == reflect.Pointer:
		into.Set(reflect.New(into.Type().Elem()))
		d.value(p, n, into.Elem())
	case into.Kind() == reflect.Struct:
		d.structure(p, n, into)
	case into.Kind() == reflect.Map:
		d.mapping(p, n, into)
	case into.Kind() == reflect.Slice:
		d.sequence(p, n, into)
	case into.Kind() == reflect.Interface:
		if v := d.free(p, n); v != nil {
			into.Set(reflect.ValueOf(v))
		}
	default:
		d.scalar(p, n, into)
	}
}

// exceeded counts a value and tells whether the file has too many, or nests too deep; aliases can make both out of little.
func (d *decoder) exceeded(p place) bool {
	if d.values++; d.values > maxYAMLValues {
		if d.values == maxYAMLValues+1 {
			d.fault(p, "the file has more than %d values", maxYAMLValues)
		}
		return true
	}
	if p.depth > maxYAMLNesting {
		d.fault(p, "is nested more than %d deep", maxYAMLNesting)
		d.values = maxYAMLValues + 1
		return true
	}
	return false
}

// resolve follows aliases and takes anchors away. It is nil after a fault.
func (d *decoder) resolve(p place, n ast.Node) ast.Node {
	for range maxYAMLNesting {
		switch v := n.(type) {
		case *ast.AnchorNode:
			n = v.Value
		case *ast.AliasNode:
			target, ok := d.anchors[v.Value.GetToken().Value]
			if !ok {
				d.fault(p, "refers to an anchor that the file does not have")
				return nil
			}
			n = target
		case *ast.TagNode:
			d.fault(p, "has a YAML tag; none is needed here")
			return nil
		default:
			return n
		}
	}
	d.fault(p, "refers to itself")
	return nil
}

// pair is one key of a mapping with its value.
type pair struct {
	key   string
	line  int
	value ast.Node
}

// pairs lists the keys of a mapping in the file's order, then those that << merges into it. It reports duplicates.
func (d *decoder) pairs(p place, n ast.Node) []pair {
	var nodes []*ast.MappingValueNode
	switch v := n.(type) {
	case *ast.MappingNode:
		nodes = v.Values
	case *ast.MappingValueNode:
		nodes = []*ast.MappingValueNode{v}
	default:
		d.fault(p, "must be keys with values, is %s", shape(n))
		return nil
	}
	var pairs []pair
	var merged []ast.Node
	seen := map[string]bool{}
	for _, node := range nodes {
		if node.Key == nil {
			continue
		}
		if _, isMerge := node.Key.(*ast.MergeKeyNode); isMerge {
			merged = append(merged, node.Value)
			continue
		}
		key, ok := keyText(node.Key)
		at := p.child(clip(key), lineOf(node.Key))
		switch {
		case !ok:
			d.fault(place{key: p.key, line: at.line}, "has a key that is no plain text")
		case seen[key]:
			d.fault(at, "is there twice")
		default:
			seen[key] = true
			pairs = append(pairs, pair{key, at.line, node.Value})
		}
	}
	for _, m := range merged {
		pairs = d.merge(p, m, pairs, seen)
	}
	return pairs
}

// merge adds the keys of a << value that are not there yet.
func (d *decoder) merge(p place, n ast.Node, pairs []pair, seen map[string]bool) []pair {
	p.depth++
	if d.exceeded(p) {
		return pairs
	}
	n = d.resolve(p, n)
	if s, ok := n.(*ast.SequenceNode); ok {
		for _, item := range s.Values {
			pairs = d.merge(p, item, pairs, seen)
		}
		return pairs
	}
	if n == nil {
		return pairs
	}
	for _, add := range d.pairs(p, n) {
		if !seen[add.key] {
			seen[add.key] = true
			pairs = append(pairs, add)
		}
	}
	return pairs
}

func (d *decoder) structure(p place, n ast.Node, into reflect.Value) {
	fields := fieldsOf(into.Type())
	for _, kv := range d.pairs(p, n) {
		at := p.child(clip(kv.key), kv.line)
		index, known := fields[kv.key]
		if !known {
			if stem, ok := secretStem(into.Type(), fields, kv.key); ok {
				d.secretFile(p, at, kv.value, into.Field(fields[stem]))
				continue
			}
			d.unknown(at, kv.key, fields)
			continue
		}
		if isNull(kv.value) {
			continue
		}
		d.field(p, at, kv, into.Type().Field(index), into.Field(index))
	}
}

// field reads the value of a struct's field.
func (d *decoder) field(p, at place, kv pair, field reflect.StructField, into reflect.Value) {
	if into.Type() == reflect.TypeFor[Environments]() {
		d.environments(p, at, kv.value, into)
		return
	}
	at.unit = field.Tag.Get("unit")
	if text := fateOf(field.Tag).warning(); text != "" && !at.idle {
		at.idle, at.lenient = true, true
		d.warnings = append(d.warnings, Warning{Key: at.key, Line: kv.line, Text: text})
	}
	if _, address := field.Tag.Lookup("address"); into.Type() == reflect.TypeFor[Secret]() {
		at.lenient = at.lenient || !address
		if d.secretTwice(at, at.key) {
			return
		}
	}
	d.lines[at.key] = kv.line
	d.value(at, kv.value, into)
}

func (d *decoder) unknown(p place, key string, fields map[string]int) {
	names := make([]string, 0, len(fields))
	for name := range fields {
		names = append(names, name)
	}
	if near := nearest(key, names); near != "" {
		d.fault(p, "is not a known key; did you mean %s?", near)
		return
	}
	d.fault(p, "is not a known key")
}

// mapping replaces a map as a whole: a file's keys are not added to the defaults. Those of an environment are.
func (d *decoder) mapping(p place, n ast.Node, into reflect.Value) {
	m := reflect.MakeMap(into.Type())
	if d.adding {
		for before := into.MapRange(); before.Next(); {
			m.SetMapIndex(before.Key(), before.Value())
		}
	}
	for _, kv := range d.pairs(p, n) {
		at := p.child(clip(kv.key), kv.line)
		if !isNull(kv.value) {
			d.lines[at.key] = kv.line
		}
		v := reflect.New(into.Type().Elem()).Elem()
		if before := m.MapIndex(reflect.ValueOf(kv.key)); before.IsValid() {
			v.Set(before)
		}
		d.value(at, kv.value, v)
		m.SetMapIndex(reflect.ValueOf(kv.key), v)
	}
	into.Set(m)
}

func (d *decoder) sequence(p place, n ast.Node, into reflect.Value) {
	list, ok := n.(*ast.SequenceNode)
	if !ok {
		d.fault(p, "must be a list, is %s", shape(n))
		return
	}
	items := reflect.MakeSlice(into.Type(), 0, min(len(list.Values), maxYAMLValues))
	for i, item := range list.Values {
		at := p.child(fmt.Sprintf("[%d]", i), lineOf(item))
		if isNull(item) {
			d.fault(at, "must not be empty")
			continue
		}
		d.lines[at.key] = at.line
		v := reflect.New(into.Type().Elem()).Elem()
		d.value(at, item, v)
		items = reflect.Append(items, v)
	}
	into.Set(items)
}

// fieldsOf is the index of each field of a struct by its key.
func fieldsOf(t reflect.Type) map[string]int {
	fields := make(map[string]int, t.NumField())
	for i := range t.NumField() {
		if key := t.Field(i).Tag.Get("yaml"); key != "" && key != "-" {
			fields[key] = i
		}
	}
	return fields
}

// isScalar tells whether a value is written as one text or number, though its Go type may be a struct.
func isScalar(v reflect.Value) bool {
	if v.Type() == reflect.TypeFor[time.Time]() {
		return true
	}
	_, ok := reflect.TypeAssert[textual](v.Addr())
	return ok
}

func isNull(n ast.Node) bool { return n == nil || n.Type() == ast.NullType }

func clip(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
