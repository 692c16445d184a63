package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"flowgate/messages"
	"flowgate/worker/actions"
)

// executionLines tell what came of an agreement's action: how, how far it can be relied on, and its document.
func executionLines(x *messages.Execution) []string {
	lines := []string{fmt.Sprintf("  action    %s: %s, %.3f s", printable(x.Action), x.Mode, x.Seconds)}
	if x.Action == "" {
		lines[0] = fmt.Sprintf("  action    %s", x.Mode)
	}
	if x.Because != "" {
		lines = append(lines, titled("because", x.Because)...)
	}
	if x.Result == nil && !x.Apart() {
		return lines
	}
	lines = append(lines, fmt.Sprintf("  rests on  %d samples, confidence %.2f", x.Samples, x.Confidence))
	if x.Fallback != "" {
		lines = append(lines, "  stood in  "+printable(x.Fallback))
	} else if x.Mode == messages.ExecutionFallback {
		age := time.Duration(x.AgeSeconds * float64(time.Second)).Round(time.Second)
		lines = append(lines, fmt.Sprintf("  measured  %s, %s ago", x.MeasuredAt.UTC().Format(time.RFC3339), age))
	}
	if x.Apart() {
		return append(lines, fmt.Sprintf("  document  of %d bytes, which may have had answers of models: it is kept no longer", x.ResultBytes))
	}
	return append(lines, documentLines(x)...)
}

// documentLines show the document of an action: those of the built-in ones and of templates as tables, others as they are.
func documentLines(x *messages.Execution) []string {
	tables := map[string]func(w io.Writer, document []byte) error{
		actions.PerformanceTestAction: reportShown(showPerformance),
		actions.ScalabilityTestAction: reportShown(showScalability),
		actions.CostAnalysisAction:    reportShown(showCosts),
		actions.ErrorAnalysisAction:   reportShown(showErrors),
		actions.IntegrationTestAction: reportShown(showComponents),
		actions.SecurityTestAction:    reportShown(showSecurity),
	}
	var text bytes.Buffer
	if show, known := tables[cmp.Or(x.Fallback, x.Action)]; known && show(&text, x.Result) == nil {
		return strings.Split(strings.TrimSuffix(text.String(), "\n"), "\n")
	}
	text.Reset()
	if templateShown(&text, x) == nil {
		return strings.Split(strings.TrimSuffix(text.String(), "\n"), "\n")
	}
	text.Reset()
	if json.Indent(&text, x.Result, "", "  ") != nil {
		return nil
	}
	lines := []string{""}
	for line := range strings.SplitSeq(text.String(), "\n") {
		lines = append(lines, printable(line))
	}
	return lines
}

// reportShown shows a document that is a report of a kind. One that is none is an error.
func reportShown[T any](show func(r *report, of *T)) func(w io.Writer, document []byte) error {
	return func(w io.Writer, document []byte) error {
		var of T
		if err := json.Unmarshal(document, &of); err != nil {
			return err
		}
		r := &report{w: w}
		show(r, &of)
		return r.err
	}
}

// report writes lines under a title each, and tables, each after an empty line. It keeps the first error.
type report struct {
	w   io.Writer
	err error
}

// line writes what a title says of the whole.
func (r *report) line(title, format string, args ...any) {
	for _, line := range titled(title, fmt.Sprintf(format, args...)) {
		r.write(line + "\n")
	}
}

// titled is a text beside a title, on as many lines as it takes.
func titled(title, text string) []string {
	lines := wrapped([]string{printable(text)}, tableWidth-12)
	for i, line := range lines {
		lines[i] = fmt.Sprintf("  %-9s %s", title, line)
		title = ""
	}
	return lines
}

// table writes rows that may have notes; none: it writes nothing. more are rows that were left out.
func (r *report) table(header string, rows [][]string, noted string, notes []string) {
	if len(rows) == 0 || r.err != nil {
		return
	}
	if notes == nil {
		notes = make([]string, len(rows))
	}
	r.write("\n")
	if len(rows) <= mostRows {
		r.err = notedTable(r.w, header, rows, noted, notes)
		return
	}
	r.err = notedTable(r.w, header, rows[:mostRows], noted, notes[:mostRows])
	r.write(fmt.Sprintf("… and %d more, which --json has\n", len(rows)-mostRows))
}

func (r *report) write(text string) {
	if r.err == nil {
		_, r.err = io.WriteString(r.w, text)
	}
}

// mostRows is how many rows of a table are shown, longestName how many cells a name may have there.
const (
	mostRows    = 20
	longestName = 32
)

// named shortens a name for a table, in its middle: names of models differ at their ends. Of none it says that it is none.
func named(name string) string {
	name = orDash(printable(name))
	if cellsOf(name) <= longestName {
		return name
	}
	all := []rune(name)
	head, tail := 0, len(all)
	for used := 1; ; {
		next := &head
		c := all[head]
		if head > len(all)-tail {
			next, c = &tail, all[tail-1]
		}
		if used += cells(c); used > longestName {
			return string(all[:head]) + "…" + string(all[tail:])
		}
		if next == &head {
			head++
		} else {
			tail--
		}
	}
}

// share is a part of a whole, for people.
func share(part float64) string { return fmt.Sprintf("%.1f%%", 100*part) }

// window is the stretch of time that a report is about.
func (r *report) window(w actions.Window) {
	const minute = "2006-01-02 15:04"
	r.line("window", "%s to %s UTC", w.Since.UTC().Format(minute), w.Until.UTC().Format(minute))
}
