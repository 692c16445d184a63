package configs

import (
	"net/url"
	"reflect"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"flowgate/pipelines/privacy"
)

// LiteralSecrets names the keys of a settings file whose secret stands in it, and tells how many values it looked at: what a secret is
// set to but ${NAME}, and what looks like one under another key. An address counts where it holds a password.
func LiteralSecrets(path string) (keys []string, looked int, err error) {
	data, err := readFile(path, MaxSettingsBytes)
	if err != nil {
		return nil, 0, err
	}
	root, err := parseYAML(path, data)
	if err != nil || root == nil {
		return nil, 0, err
	}
	s := literalSearch{decoder: &decoder{file: path, anchors: map[string]ast.Node{}, lines: map[string]int{}}, secret: secretKeys(), scanner: privacy.New()}
	ast.Walk(s.decoder, root)
	s.visit(place{line: lineOf(root)}, root)
	return s.found, s.looked, nil
}

// secretKeys are the keys of settings that are secrets.
func secretKeys() map[string]bool {
	all := map[string]bool{}
	walker{leaf: func(path string, v reflect.Value, _ fate, _ string) {
		if _, ok := reflect.TypeAssert[Secret](v); ok {
			all[path] = true
		}
	}}.walk("", reflect.ValueOf(Default()), fate{Fate: Used}, "")
	return all
}

type literalSearch struct {
	*decoder

	secret  map[string]bool
	scanner *privacy.Scanner
	found   []string
	looked  int
}

func (s *literalSearch) visit(p place, n ast.Node) {
	if s.exceeded(p) {
		return
	}
	switch v := s.resolve(p, n).(type) {
	case nil, *ast.NullNode:
	case *ast.MappingNode, *ast.MappingValueNode:
		for _, kv := range s.pairs(p, v) {
			s.visit(p.child(clip(kv.key), kv.line), kv.value)
		}
	case *ast.SequenceNode:
		for i, one := range v.Values {
			s.visit(p.child("["+strconv.Itoa(i)+"]", lineOf(one)), one)
		}
	default:
		if l, ok := s.literal(p, v); ok {
			s.looked++
			if s.is(p.key, l.text) {
				s.found = append(s.found, p.key)
			}
		}
	}
}

// is tells whether a value is a secret that stands there as itself.
func (s *literalSearch) is(key, text string) bool {
	plain := key
	if rest, ok := strings.CutPrefix(key, environmentsKey+"."); ok {
		_, plain, _ = strings.Cut(rest, ".")
	}
	if s.secret[plain] {
		return literalSecret(text)
	}
	letters := []rune(text)
	for _, f := range s.scanner.Scan(text) {
		if f.Type.Class() == privacy.ClassSecret && !strings.Contains(string(letters[f.Start:f.End]), "${") {
			return true
		}
	}
	return false
}

// variableMark stands for a variable in an address.
const variableMark = "VARIABLE"

// literalSecret tells whether the text of a secret's key says more than where to find it.
func literalSecret(text string) bool {
	var whole strings.Builder
	variables, defaults, rest := 0, false, text
	for {
		before, after, found := strings.Cut(rest, "${")
		whole.WriteString(before)
		if !found {
			break
		}
		inside, tail, closed := strings.Cut(after, "}")
		if strings.HasSuffix(before, "$") || !closed {
			whole.WriteString("{")
			rest = after
			continue
		}
		_, fallback, _ := strings.Cut(inside, ":-")
		if variables++; fallback != "" {
			defaults = true
			whole.WriteString(fallback)
		} else {
			whole.WriteString(variableMark)
		}
		rest = tail
	}
	if said := whole.String(); strings.Contains(said, "://") {
		return literalPassword(said)
	}
	return text != "" && (variables == 0 || defaults)
}

// literalPassword tells whether one of the addresses in a text, which commas separate, holds a password.
func literalPassword(addresses string) bool {
	for one := range strings.SplitSeq(addresses, ",") {
		u, err := url.Parse(strings.TrimSpace(one))
		if err != nil {
			return strings.Contains(one, "@") // nobody can tell: better told once too often
		}
		password, _ := u.User.Password()
		for _, said := range []string{password, u.Query().Get("password"), u.Query().Get("sslpassword")} {
			if said != "" && !strings.Contains(said, variableMark) {
				return true
			}
		}
	}
	return false
}
