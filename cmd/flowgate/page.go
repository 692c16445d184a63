package main

import (
	"fmt"
	"io"
	"os"
	"strings"
)

// pageWidth is how many cells the lines of a page have at most.
const pageWidth = 100

// page prints lines for people: made for pageWidth cells, and cut where the terminal has fewer, so that none is broken by it. Texts of
// strangers are printable there. The first error of writing is kept.
type page struct {
	w io.Writer
	// width is how many cells a line may have, at most pageWidth.
	width int
	err   error
}

// newPage is a page on w, as wide as its terminal, where it is one.
func newPage(w io.Writer) *page {
	p := &page{w: w, width: pageWidth}
	if f, file := w.(*os.File); file {
		if width := terminalWidth(f); width > 0 {
			p.width = min(p.width, width)
		}
	}
	return p
}

// say prints one line.
func (p *page) say(format string, a ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintln(p.w, strings.TrimRight(fitted(printable(fmt.Sprintf(format, a...)), p.width), " "))
	}
}

// fact prints a text behind a label, on further lines below it where pageWidth does not do.
func (p *page) fact(label, text string) {
	indent := strings.Repeat(" ", cellsOf(label))
	for i, line := range wrapped([]string{printable(text)}, pageWidth-cellsOf(label)) {
		if i > 0 {
			label = indent
		}
		p.say("%s%s", label, line)
	}
}

// table prints aligned rows under a header, each beginning with indent; the last column has what is left of the line.
func (p *page) table(indent string, header []string, rows [][]string) {
	all := append([][]string{header}, rows...)
	widths := make([]int, len(header))
	for _, row := range all {
		for i, cell := range row {
			widths[i] = max(widths[i], cellsOf(printable(cell)))
		}
	}
	for _, row := range all {
		var line strings.Builder
		line.WriteString(indent)
		for i, cell := range row {
			cell = printable(cell)
			line.WriteString(cell)
			if i < len(row)-1 {
				line.WriteString(strings.Repeat(" ", widths[i]-cellsOf(cell)+2))
			}
		}
		p.say("%s", line.String())
	}
}

// fitted is a text of at most so many cells: what is longer ends with an ellipsis.
func fitted(text string, width int) string {
	if cellsOf(text) <= width {
		return text
	}
	used := 0
	for i, c := range text {
		if used+cells(c) > width-1 {
			return text[:i] + "…"
		}
		used += cells(c)
	}
	return text
}
