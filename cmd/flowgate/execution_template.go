package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"flowgate/messages"
	"flowgate/worker/actions"
)

// templateShown shows the document of a template of requests. One that is none is an error.
func templateShown(w io.Writer, x *messages.Execution) error {
	var t actions.TemplateReport
	if err := json.Unmarshal(x.Result, &t); err != nil {
		return err
	}
	if name := cmp.Or(x.Fallback, x.Action); t.Template != name || len(t.Steps) == 0 {
		return fmt.Errorf("the document of %.40q is of no template", name)
	}
	r := &report{w: w}
	showTemplate(r, &t)
	return r.err
}

// showTemplate shows what each step came to, and then the answer.
func showTemplate(r *report, t *actions.TemplateReport) {
	r.line("cost", "%s, %d tokens in, %d out", dollars(t.CostMicroUSD), t.TokensIn, t.TokensOut)
	if t.Note != "" {
		r.line("note", "%s", t.Note)
	}
	rows, notes := make([][]string, len(t.Steps)), make([]string, len(t.Steps))
	for i, s := range t.Steps {
		rows[i] = []string{s.Name, string(s.Status), millis(s.Seconds), dollars(s.CostMicroUSD), fmt.Sprint(s.TokensIn), fmt.Sprint(s.TokensOut)}
		notes[i] = s.Backend + prefixed(", ", s.Model)
		if s.Reused {
			notes[i] += ", its answer was there"
		}
	}
	r.table("STEP STATUS SECONDS COST TOKENS_IN TOKENS_OUT", rows, "BY", notes)
	answer := t.Answer
	if t.JSON != nil {
		var text bytes.Buffer
		if json.Indent(&text, t.JSON, "", "  ") == nil {
			answer = text.String()
		}
	}
	r.write("\n" + strings.TrimRight(printableText(answer), "\n") + "\n")
}
