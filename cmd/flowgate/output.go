package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"golang.org/x/sys/unix"
)

// printJSON writes one JSON document.
func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// verdict ends a command that has printed what it found: exit code 1 unless that is good.
func verdict(printing error, good bool) error {
	if printing == nil && !good {
		return errSaid
	}
	return printing
}

// table writes aligned rows under a header.
func table(w io.Writer, header string, rows [][]string) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if _, err := fmt.Fprintln(tw, strings.ReplaceAll(header, " ", "\t")); err != nil {
		return err
	}
	for _, row := range rows {
		for i := range row {
			row[i] = printable(row[i])
		}
		if _, err := fmt.Fprintln(tw, strings.Join(row, "\t")); err != nil {
			return err
		}
	}
	return tw.Flush()
}

// tableWidth is how wide tables with notes are, in cells of a terminal.
const tableWidth = 100

// notedTable writes a table whose rows each have a note, which may be long or empty: it stands behind its row where there is room, else
// below it.
func notedTable(w io.Writer, header string, rows [][]string, noted string, notes []string) error {
	var text strings.Builder
	if err := table(&text, header, rows); err != nil {
		return err
	}
	lines := strings.Split(strings.TrimSuffix(text.String(), "\n"), "\n")
	widest := 0
	for _, line := range lines {
		widest = max(widest, cellsOf(line))
	}
	out := &bytes.Buffer{}
	for i, line := range lines {
		note := noted
		if i > 0 {
			note = printable(notes[i-1])
		}
		switch room := tableWidth - widest - 2; {
		case note == "":
			fmt.Fprintln(out, strings.TrimRight(line, " "))
		case cellsOf(note) <= room:
			fmt.Fprintf(out, "%s%s%s\n", line, strings.Repeat(" ", widest-cellsOf(line)+2), note)
		default:
			fmt.Fprintf(out, "%s\n    %s\n", strings.TrimRight(line, " "), strings.Join(wrapped([]string{note}, tableWidth-4), "\n    "))
		}
	}
	_, err := w.Write(out.Bytes())
	return err
}

// printable keeps control characters of strangers away from the terminal, on one line.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' || r == '\n' {
			return ' '
		}
		if commands(r) {
			return '\ufffd'
		}
		return r
	}, s)
}

// printableText is a text of strangers with its lines and tabs, whose other control characters stand there as Go writes them: \x1b, \u202e.
func printableText(s string) string {
	s = strings.ReplaceAll(s, "\r\n", "\n")
	if !strings.ContainsFunc(s, commands) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if !commands(r) || r == '\t' || r == '\n' {
			b.WriteRune(r)
			continue
		}
		b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
	}
	return b.String()
}

// commands tells whether a terminal obeys a character instead of showing it: a control character, a line separator, or one that turns the
// direction of what follows, so that it reads as something else. Marks that scripts and pictures need are none.
func commands(r rune) bool {
	return unicode.IsControl(r) || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 || r == 0x2028 || r == 0x2029
}

// dollars prints micro-dollars exactly.
func dollars(micro int64) string {
	sign := ""
	if micro < 0 {
		sign, micro = "-", -micro
	}
	return fmt.Sprintf("%s$%d.%06d", sign, micro/1_000_000, micro%1_000_000)
}

func clock(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04:05.000")
}

func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// terminalWidth is that of the terminal which f is, in cells; 0: it is none.
func terminalWidth(f *os.File) int {
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ) //nolint:gosec // a file descriptor is small
	if err != nil {
		return 0
	}
	return int(size.Col)
}
