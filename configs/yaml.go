package configs

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Bounds of a YAML file. The parser recurses and is not linear, so both are checked on its tokens.
const (
	maxYAMLTokens  = 50_000
	maxYAMLNesting = 64
)

// parseYAML reads one YAML document. The node is nil where the file has none.
func parseYAML(file string, data []byte) (node ast.Node, err error) {
	// A file that makes the parser panic is one that cannot be read, no reason to die without a word.
	defer func() {
		if r := recover(); r != nil {
			node, err = nil, &Fault{File: file, Text: "cannot be read as YAML"}
		}
	}()
	if !utf8.Valid(data) {
		return nil, &Fault{File: file, Text: "must be UTF-8"}
	}
	tokens := lexer.Tokenize(strings.TrimPrefix(string(data), "\ufeff")) // editors of other systems write a byte order mark
	if fault := tooLarge(tokens); fault != nil {
		fault.File = file
		return nil, fault
	}
	// Duplicate keys are found by our own decoder, which names their path.
	parsed, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return nil, syntaxFault(file, err)
	}
	for _, doc := range parsed.Docs {
		switch {
		case doc == nil || doc.Body == nil || doc.Body.Type() == ast.CommentType || doc.Body.Type() == ast.DirectiveType:
		case node != nil:
			return nil, &Fault{File: file, Line: lineOf(doc.Body), Text: "a second document; a file has one"}
		default:
			node = doc.Body
		}
	}
	return node, nil
}

// tooLarge finds files that would keep the parser busy for long or nest too deep for it.
func tooLarge(tokens token.Tokens) *Fault {
	if len(tokens) > maxYAMLTokens {
		return &Fault{Text: fmt.Sprintf("has more than %d YAML tokens", maxYAMLTokens)}
	}
	brackets, line, marks := 0, 0, 0
	for _, t := range tokens {
		if t.Position.Line != line {
			line, marks = t.Position.Line, 0
		}
		switch t.Type { //nolint:exhaustive // the others do not nest
		case token.SequenceStartType, token.MappingStartType:
			brackets++
		case token.SequenceEndType, token.MappingEndType:
			brackets--
		case token.SequenceEntryType, token.MappingKeyType, token.MappingValueType, token.AnchorType, token.TagType:
			if brackets == 0 {
				marks++
			}
		}
		if brackets > maxYAMLNesting || marks > maxYAMLNesting {
			return &Fault{Line: line, Text: fmt.Sprintf("is nested more than %d deep", maxYAMLNesting)}
		}
	}
	return nil
}

// syntaxFault is the parser's error without the excerpt of the file, and without what it quotes from it.
func syntaxFault(file string, err error) error {
	fault := &Fault{File: file, Text: "cannot be read as YAML"}
	var syntax yaml.Error
	if !errors.As(err, &syntax) {
		return fault
	}
	message, _, _ := strings.Cut(syntax.GetMessage(), `"`)
	fault.Text += ": " + strings.TrimRight(message, " :")
	if t := syntax.GetToken(); t != nil && t.Position != nil {
		fault.Line = t.Position.Line
	}
	return fault
}

func lineOf(n ast.Node) int {
	if n == nil {
		return 0
	}
	if t := n.GetToken(); t != nil && t.Position != nil {
		return t.Position.Line
	}
	return 0
}
