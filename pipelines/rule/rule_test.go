package rule_test

import (
	"strings"
	"testing"

	"flowgate/pipelines/rule"
)

type facts struct {
	text string
	list []string
	read *int
}

func language(t *testing.T) *rule.Language[facts] {
	t.Helper()
	l, err := rule.New([]rule.Fact[facts]{
		rule.Text("text", "a text", func(f *facts) string {
			if f.read != nil {
				*f.read++
			}
			return f.text
		}),
		rule.Texts("list", "a list", 4, func(f *facts) []string { return f.list }),
		rule.Truth("yes", "true", func(*facts) bool { return true }),
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestAFactIsReadOnceForAllExpressions(t *testing.T) {
	read := 0
	l, f := language(t), &facts{text: "a", list: []string{"a"}, read: &read}
	bound := l.Bind(f)
	for _, text := range []string{`text == "a"`, `text in list && yes`, `text != "b"`} {
		e, err := l.Compile(text)
		if err != nil {
			t.Fatal(err)
		}
		if holds, err := e.Holds(bound); !holds || err != nil {
			t.Errorf("%s: %v, %v", text, holds, err)
		}
	}
	if read != 1 {
		t.Errorf("read %d times", read)
	}
}

func TestWhatIsLargerThanItWasEstimatedWithIsCounted(t *testing.T) {
	l := language(t)
	const loop = `list.exists(a, list.exists(b, a == b + "x"))`
	e, err := l.Compile(loop)
	if err != nil {
		t.Fatal(err)
	}
	if holds, err := e.Holds(l.Bind(&facts{list: []string{"a", "b", "c", "d"}})); holds || err != nil {
		t.Errorf("as large as estimated: %v, %v", holds, err)
	}
	if _, err := e.Holds(l.Bind(&facts{list: strings.Split(strings.Repeat("a,", 200), ",")})); err == nil || !strings.Contains(err.Error(), "cost") {
		t.Errorf("fifty times as large: %v, want it stopped at its cost", err)
	}
	one, err := l.Compile(`size(text) == 5000`)
	if err != nil {
		t.Fatal(err)
	}
	if holds, err := one.Holds(l.Bind(&facts{text: strings.Repeat("a", 5000)})); !holds || err != nil {
		t.Errorf("a long text in a cheap expression: %v, %v", holds, err)
	}
}

func TestWhatIsNoConditionIsRefused(t *testing.T) {
	l := language(t)
	for _, text := range []string{``, `text`, `text ==`, `nobody == 1`, strings.Repeat("(", 60) + "yes" + strings.Repeat(")", 60), `list.all(a, list.all(b, list.all(c, list.all(d, list.all(e, list.all(f, list.all(g, a == g)))))))`} {
		if _, err := l.Compile(text); err == nil {
			t.Errorf("%.60s is compiled", text)
		}
	}
	if _, err := (rule.Expression[facts]{}).Holds(l.Bind(&facts{})); err == nil {
		t.Error("no expression holds")
	}
}
