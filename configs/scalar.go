package configs

import (
	"errors"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// textual is a type that is written as one text or number in its own way. The error says what the value must be and MUST
// NOT show it.
type textual interface {
	fromText(text string) error
}

// literal is a scalar of the file.
type literal struct {
	text string
	// node says what it looks like; a text with variables in it may stand for anything.
	node     ast.NodeType
	expanded bool
}

func (l literal) is(types ...ast.NodeType) bool {
	return l.expanded || slices.Contains(types, l.node)
}

func (d *decoder) scalar(p place, n ast.Node, into reflect.Value) {
	l, ok := d.literal(p, n)
	if !ok {
		return
	}
	if rule := set(into, l, p.unit); rule != "" {
		d.fault(p, "%s", rule)
	}
}

// literal reads a scalar and puts variables in. It is false after a fault, and where the value counts as left out.
func (d *decoder) literal(p place, n ast.Node) (literal, bool) {
	l := literal{node: n.Type()}
	switch v := n.(type) {
	case *ast.StringNode:
		l.text = v.Value
	case *ast.LiteralNode:
		l.text, l.node = v.Value.Value, ast.StringType
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		l.text = n.GetToken().Value
	default:
		d.fault(p, "must be a single value, is %s", shape(n))
		return l, false
	}
	if l.node != ast.StringType || d.env == nil || !strings.Contains(l.text, "${") {
		return l, true
	}
	text, err := expand(l.text, d.env)
	var unset *unsetError
	switch {
	case errors.As(err, &unset) && d.dry:
		return l, false
	case errors.As(err, &unset) && p.lenient:
		d.warnings = append(d.warnings, Warning{Key: p.key, Line: p.line, Text: "left empty: the environment variable " + unset.variable + " is not set"})
		return l, false
	case err != nil:
		d.fault(p, "%s", err)
		return l, false
	}
	l.text, l.expanded = text, true
	return l, true
}

// set writes a scalar into a value. It gives the rule that the scalar breaks, or nothing.
func set(into reflect.Value, l literal, unit string) string {
	if t, ok := reflect.TypeAssert[textual](into.Addr()); ok {
		if err := t.fromText(l.text); err != nil {
			return err.Error()
		}
		return ""
	}
	switch {
	case into.Type() == reflect.TypeFor[time.Duration]():
		return setDuration(into, l, unit)
	case into.Type() == reflect.TypeFor[time.Time]():
		return setTime(into, l, unit)
	case into.Kind() == reflect.String:
		into.SetString(l.text)
		return ""
	case into.Kind() == reflect.Bool:
		return setBool(into, l)
	case into.CanInt():
		return setInt(into, l)
	case into.CanFloat():
		return setFloat(into, l)
	}
	return "cannot be set"
}

func setBool(into reflect.Value, l literal) string {
	v := strings.ToLower(l.text)
	if !l.is(ast.BoolType) || (v != "true" && v != "false") {
		return "must be true or false"
	}
	into.SetBool(v == "true")
	return ""
}

func setInt(into reflect.Value, l literal) string {
	v, err := strconv.ParseInt(l.text, 10, 64)
	if !l.is(ast.IntegerType) || err != nil || into.OverflowInt(v) {
		return "must be a whole number"
	}
	into.SetInt(v)
	return ""
}

func setFloat(into reflect.Value, l literal) string {
	v, err := strconv.ParseFloat(l.text, 64)
	if !l.is(ast.IntegerType, ast.FloatType) || err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
		return "must be a number"
	}
	into.SetFloat(v)
	return ""
}

// setDuration reads a text with a unit, or for unit seconds a number.
func setDuration(into reflect.Value, l literal, unit string) string {
	if unit == "seconds" {
		v, err := strconv.ParseFloat(l.text, 64)
		const most = 1e9 // some thirty years: what is longer is a mistake, and must not overflow
		if !l.is(ast.IntegerType, ast.FloatType) || err != nil || math.IsNaN(v) || math.Abs(v) > most {
			return "must be a number of seconds"
		}
		into.SetInt(int64(math.Round(v * float64(time.Second))))
		return ""
	}
	v, err := time.ParseDuration(l.text)
	if l.node != ast.StringType || err != nil {
		return "must be a time with its unit, such as 500ms, 30s or 10m"
	}
	into.SetInt(int64(v))
	return ""
}

// setTime reads a moment, or a day in UTC: its first moment, and for unit until the first after it.
func setTime(into reflect.Value, l literal, unit string) string {
	if v, err := time.Parse(time.DateOnly, l.text); err == nil {
		if unit == "until" {
			v = v.AddDate(0, 0, 1)
		}
		into.Set(reflect.ValueOf(v))
		return ""
	}
	v, err := time.Parse(time.RFC3339, l.text)
	if err != nil {
		return "must be a day such as 2026-01-31 or a moment such as 2026-01-31T12:00:00Z"
	}
	into.Set(reflect.ValueOf(v.UTC()))
	return ""
}

// free reads a value whose form the file decides, as encoding/json would.
func (d *decoder) free(p place, n ast.Node) any {
	switch v := n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		m := map[string]any{}
		d.mapping(p, v, reflect.ValueOf(&m).Elem())
		return m
	case *ast.SequenceNode:
		s := []any{}
		d.sequence(p, v, reflect.ValueOf(&s).Elem())
		return s
	}
	l, ok := d.literal(p, n)
	if !ok {
		return nil
	}
	switch l.node { //nolint:exhaustive // every other scalar is a text
	case ast.IntegerType:
		if v, err := strconv.ParseInt(l.text, 10, 64); err == nil {
			return v
		}
		d.fault(p, "must be a whole number of at most 64 bits, in decimal")
		return nil
	case ast.FloatType:
		if v, err := strconv.ParseFloat(l.text, 64); err == nil {
			return v
		}
		d.fault(p, "must be a number in decimal")
		return nil
	case ast.InfinityType, ast.NanType:
		d.fault(p, "must be a finite number")
		return nil
	case ast.BoolType:
		return strings.EqualFold(l.text, "true")
	}
	return l.text
}

// keyText is a mapping's key as text.
func keyText(k ast.MapKeyNode) (string, bool) {
	switch v := k.(type) {
	case *ast.StringNode:
		return v.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return v.GetToken().Value, true
	}
	return "", false
}

// shape says what a value looks like without showing it.
func shape(n ast.Node) string {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "keys with values"
	case *ast.SequenceNode:
		return "a list"
	case *ast.IntegerNode, *ast.FloatNode:
		return "a number"
	case *ast.BoolNode:
		return "true or false"
	case *ast.StringNode, *ast.LiteralNode:
		return "a text"
	}
	return "something else"
}
