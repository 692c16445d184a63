package main

import (
	"strings"
	"testing"

	"flowgate/messages"
)

// A terminal that obeyed an answer could be made to show another one, or to type for its user.
func TestAnswersDoNotCommandTheTerminal(t *testing.T) {
	const answer = "red \x1b[31m\r\n\tC1 \u009b31m, bidi \u202Eevil\u2066, bell \a, a family 👨\u200d👩, a mark \u200f\rend"
	const shown = "red \\x1b[31m\n\tC1 \\u009b31m, bidi \\u202eevil\\u2066, bell \\a, a family 👨\u200d👩, a mark \u200f\\rend"
	r := messages.Result{State: messages.ResultDone, Status: messages.StatusSuccess, Reason: messages.ReasonOK, Answer: answer, Metadata: &messages.ResultMetadata{}}
	var out, raw strings.Builder
	if err := writeResult(&out, &globals{}, r); err != nil || !strings.HasSuffix(out.String(), "\n"+shown+"\n") {
		t.Errorf("%v: %q, want the end %q", err, out.String(), shown)
	}
	if err := writeResult(&raw, &globals{json: true}, r); err != nil || !strings.Contains(raw.String(), "bidi \u202eevil") {
		t.Errorf("%v: JSON is %s", err, raw.String())
	}
	model := comparedModel{Model: "m", Result: &r}
	if got := strings.Join(model.answer(), "\n"); got != strings.ReplaceAll(shown, "\t", " ") {
		t.Errorf("side by side %q", got)
	}
	if got := printable("a\u202eb\u009bc\u2028d\te\u200d"); got != "a\ufffdb\ufffdc\ufffdd e\u200d" {
		t.Errorf("one line %q", got)
	}
}
