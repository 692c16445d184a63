package messages_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"strconv"
	"testing"

	"flowgate/messages"
)

// reasonConstants are the codes of every constant of type Reason, as reasons.go declares them.
func reasonConstants(t *testing.T) map[messages.Reason]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "reasons.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := map[messages.Reason]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		typ, named := spec.Type.(*ast.Ident)
		value, literal := spec.Values[0].(*ast.BasicLit)
		if !named || !literal || typ.Name != "Reason" {
			return true
		}
		code, err := strconv.Unquote(value.Value)
		if err != nil {
			t.Fatal(err)
		}
		if other, taken := found[messages.Reason(code)]; taken {
			t.Errorf("%s and %s are both %q", other, spec.Names[0], code)
		}
		found[messages.Reason(code)] = spec.Names[0].Name
		return true
	})
	if len(found) < 30 {
		t.Fatalf("found %d reasons only: has reasons.go another form?", len(found))
	}
	return found
}

func TestReasonListHasEveryReasonOnce(t *testing.T) {
	missing := reasonConstants(t)
	for _, info := range messages.ReasonList() {
		if _, ok := missing[info.Reason]; !ok {
			t.Errorf("%q stands twice in the list or is no constant", info.Reason)
		}
		delete(missing, info.Reason)
	}
	for code, name := range missing {
		t.Errorf("%s (%q) is not in the list", name, code)
	}
}

func TestEveryReasonSaysWhatHappenedAndWhatToDo(t *testing.T) {
	code := regexp.MustCompile(`^[a-z][a-z_]*[a-z]$`)
	sentence := regexp.MustCompile(`^[A-Za-z_].*\.$`)
	for _, info := range messages.ReasonList() {
		if !code.MatchString(string(info.Reason)) {
			t.Errorf("%q is no code of a-z and _", info.Reason)
		}
		if !sentence.MatchString(info.Text) || !sentence.MatchString(info.Next) {
			t.Errorf("%s: text %q or next %q is no sentence", info.Reason, info.Text, info.Next)
		}
		if got := messages.Explain(info.Reason); got != info {
			t.Errorf("Explain(%s) is %+v", info.Reason, got)
		}
	}
}

func TestReasonOfANewerVersionExplainsItself(t *testing.T) {
	if got := messages.Explain("from_the_future"); got.Reason != "from_the_future" || got.Text != "from_the_future" || got.Retry {
		t.Errorf("got %+v", got)
	}
}
