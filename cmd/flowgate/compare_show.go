package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"flowgate/messages"
)

const (
	// leastWidth is that of a terminal on which answers stand side by side, leastColumn that of each of them, in cells.
	leastWidth  = 80
	leastColumn = 24
	// betweenColumns separates them.
	betweenColumns = " │ "
)

// write prints a comparison. width is that of the terminal in cells; 0: there is none.
func (r *comparison) write(w io.Writer, show bool, width int) error {
	rows := make([][]string, len(r.Models))
	for i := range r.Models {
		rows[i] = r.Models[i].row()
	}
	err := table(w, "MODEL BACKEND STATUS TIME IN OUT COST CACHE LENGTH", rows)
	say := func(format string, a ...any) {
		_, wrong := fmt.Fprintf(w, format+"\n", a...)
		err = errors.Join(err, wrong)
	}
	for i := range r.Models {
		if why := r.Models[i].why(); why != "" {
			say("  %s: %s", printable(r.Models[i].Model), printable(why))
		}
	}
	t := r.Totals
	say("%d of %d succeeded in %.1f s, %s, cost %s, tokens %d in, %d out", t.Succeeded, t.Requests, t.Seconds, plural(t.Calls, "call"), dollars(t.CostMicroUSD), t.TokensIn, t.TokensOut)
	if t.Reused > 0 {
		say("  %s reused, saved %s and %.1f s", plural(t.Reused, "answer"), dollars(t.SavedMicroUSD), t.SavedSeconds)
	}
	for i := range r.Models {
		m := &r.Models[i]
		if m.Model == r.Cheapest {
			say("  cheapest  %s, %s", printable(m.Model), dollars(m.price()))
		}
	}
	for i := range r.Models {
		m := &r.Models[i]
		if m.Model == r.Fastest {
			say("  fastest   %s, %.3f s", printable(m.Model), m.pace())
		}
	}
	if show {
		say("")
		err = errors.Join(err, r.writeAnswers(w, width))
	}
	return err
}

// row is the table's line of a model.
func (m *comparedModel) row() []string {
	row := []string{m.Model, "-", "not sent", "-", "-", "-", "-", "-", "-"}
	if m.Result == nil {
		return row
	}
	switch {
	case m.Result.State != messages.ResultDone:
		row[2] = where(*m.Result)
	case m.Result.Reason == messages.ReasonOK:
		row[2] = string(m.Result.Status)
	default:
		row[2] = fmt.Sprintf("%s (%s)", m.Result.Status, m.Result.Reason)
	}
	d := m.Result.Metadata
	if d == nil {
		return row
	}
	if d.Backend != "" {
		row[1] = d.Backend
	}
	row[3], row[4], row[5] = fmt.Sprintf("%.3f s", d.ProcessingTime), strconv.FormatInt(d.Tokens.Input, 10), strconv.FormatInt(d.Tokens.Output, 10)
	row[6], row[8] = dollars(d.CostMicroUSD), strconv.Itoa(d.ResponseLength)
	switch u := d.Reused; {
	case u == nil && !d.CacheHit:
	case u == nil:
		row[7] = "hit"
	case u.From == messages.ReusedRequest:
		row[7] = "shared"
	default:
		row[7] = "hit, " + u.Age()
	}
	return row
}

// why says in words why a model did not answer; empty: it did.
func (m *comparedModel) why() string {
	switch {
	case m.Error != "":
		return m.Error
	case m.succeeded():
		return ""
	}
	return m.Result.Message
}

// answer is what a model answered, in lines.
func (m *comparedModel) answer() []string {
	if !m.succeeded() {
		return []string{"(no answer)"}
	}
	var lines []string
	if m.Result.Answer != "" {
		lines = strings.Split(strings.TrimRight(printableText(m.Result.Answer), "\n"), "\n")
	}
	for _, c := range m.Result.ToolCalls {
		lines = append(lines, fmt.Sprintf("calls %s(%s)", c.Name, c.Arguments))
	}
	if text := vectorsText(m.Result.Embeddings); text != "" {
		lines = append(lines, text)
	}
	for i := range lines {
		lines[i] = printable(lines[i])
	}
	return lines
}

// writeAnswers prints the answers side by side, or one below the other where the width does not do for that.
func (r *comparison) writeAnswers(w io.Writer, width int) error {
	n := len(r.Models)
	each := (width - (n-1)*utf8.RuneCountInString(betweenColumns)) / n
	if width < leastWidth || each < leastColumn || n == 1 {
		for i := range r.Models {
			_, err := fmt.Fprintf(w, "--- %s\n%s\n", printable(r.Models[i].Model), strings.Join(r.Models[i].answer(), "\n"))
			if err != nil {
				return err
			}
		}
		return nil
	}
	columns := make([][]string, n)
	longest := 0
	for i := range r.Models {
		columns[i] = append(wrapped([]string{printable(r.Models[i].Model)}, each), strings.Repeat("─", each))
		columns[i] = append(columns[i], wrapped(r.Models[i].answer(), each)...)
		longest = max(longest, len(columns[i]))
	}
	for line := range longest {
		cells := make([]string, n)
		for i, column := range columns {
			text := ""
			if line < len(column) {
				text = column[line]
			}
			cells[i] = text + strings.Repeat(" ", each-cellsOf(text))
		}
		if _, err := fmt.Fprintln(w, strings.TrimRight(strings.Join(cells, betweenColumns), " ")); err != nil {
			return err
		}
	}
	return nil
}

// wrapped breaks lines at spaces into lines of at most so many cells; what has no space is cut.
func wrapped(lines []string, width int) []string {
	var all []string
	for _, line := range lines {
		for cellsOf(line) > width {
			at, used := 0, 0
			for i, c := range line {
				if used += cells(c); used > width {
					break
				}
				at = i + utf8.RuneLen(c)
			}
			cut := at
			if space := strings.LastIndexByte(line[:at], ' '); space > 0 && line[at] != ' ' {
				cut = space
			}
			all = append(all, strings.TrimRight(line[:cut], " "))
			line = strings.TrimLeft(line[cut:], " ")
		}
		all = append(all, line)
	}
	return all
}

// cellsOf is how many cells of a terminal a text takes.
func cellsOf(text string) int {
	n := 0
	for _, c := range text {
		n += cells(c)
	}
	return n
}

// cells is how many a character takes: two in the scripts of East Asia and for pictures, none for marks on others.
func cells(c rune) int {
	switch {
	case unicode.In(c, unicode.Mn, unicode.Me, unicode.Cf):
		return 0
	case unicode.In(c, unicode.Han, unicode.Hangul, unicode.Hiragana, unicode.Katakana), c >= 0x1F300 && c <= 0x1FAFF, c >= 0xFF01 && c <= 0xFF60, c >= 0x3000 && c <= 0x303F:
		return 2
	}
	return 1
}
