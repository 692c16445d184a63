package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"flowgate/pipelines/privacy"
)

// Bounds of what is scanned at once, in bytes.
const (
	largestScan = 64 << 20
	longestLine = 16 << 20
)

func newScan(g *globals) *cobra.Command {
	var lines bool
	cmd := &cobra.Command{
		Use: "scan FILE", Short: "Find personal data and secrets in a text", Args: cobra.ExactArgs(1),
		Long: "Find personal data and secrets in a text: cards, account and national numbers, addresses of people and machines,\n" +
			"telephone numbers, keys, tokens and passwords. What is found is told by type and place, never by value. Names and\n" +
			"postal addresses are not covered. FILE - is the standard input.\n\n" +
			"With --jsonl each line is a JSON object with the key text; with --json as well, each gives one line with findings\n" +
			"of type, start, end (in characters, end exclusive) and score (0.5 to 1), or with an error.",
		Example: "  flowgate scan letter.txt\n  flowgate scan --jsonl prompts.jsonl --json\n  git diff | flowgate scan -",
		RunE: func(cmd *cobra.Command, args []string) error {
			in, size, err := openScan(cmd.InOrStdin(), args[0])
			if err != nil {
				return err
			}
			defer func() { _ = in.Close() }()
			s := scanning{Scanner: privacy.New(), out: cmd.OutOrStdout(), json: g.json, name: args[0], counts: make(map[privacy.Type]int)}
			if lines {
				far := &measured{Reader: in, progress: newProgress("scanned MiB:", int(size>>20))}
				defer far.close()
				return s.jsonl(cmd.Context(), far)
			}
			return s.file(in)
		},
	}
	cmd.Flags().BoolVar(&lines, "jsonl", false, "FILE has a JSON object with the key text on each line")
	return cmd
}

// openScan opens what is scanned; size is in bytes, 0 if it is not known.
func openScan(stdin io.Reader, name string) (in io.ReadCloser, size int64, err error) {
	if name == "-" {
		return io.NopCloser(stdin), 0, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, 0, usageError{err}
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = fmt.Errorf("%s is a folder: give a file", name)
	}
	if err != nil {
		_ = f.Close()
		return nil, 0, usageError{err}
	}
	return f, info.Size(), nil
}

// measured tells how many MiB of a file are read; of one that has no size it tells nothing.
type measured struct {
	io.Reader
	*progress

	read int64
}

func (m *measured) Read(b []byte) (int, error) {
	n, err := m.Reader.Read(b)
	for m.read += int64(n); m.total > 0 && int64(m.done+1)<<20 <= m.read; {
		m.add()
	}
	return n, err
}

// scanning scans one file.
type scanning struct {
	*privacy.Scanner

	out    io.Writer
	json   bool
	name   string
	counts map[privacy.Type]int
}

// notCovered is what no finding says is absent.
func notCovered() []string { return []string{"names", "postal addresses"} }

// file scans all of a file as one text.
func (s *scanning) file(in io.Reader) error {
	data, err := io.ReadAll(io.LimitReader(in, largestScan+1))
	if err != nil {
		return fmt.Errorf("reading %s: %w", s.name, err)
	}
	if len(data) > largestScan {
		return usageError{fmt.Errorf("%s has more than %d MiB: split it, or scan lines with --jsonl", s.name, largestScan>>20)}
	}
	text := string(data)
	found := s.Scan(text)
	if s.json {
		return printJSON(s.out, struct {
			File       string               `json:"file"`
			Characters int                  `json:"characters"`
			Counts     map[privacy.Type]int `json:"counts"`
			Findings   []privacy.Finding    `json:"findings"`
			NotCovered []string             `json:"not_covered"`
		}{s.name, utf8.RuneCountInString(text), privacy.Count(found), found, notCovered()})
	}
	rows := make([][]string, 0, len(found))
	at := place{rest: text, line: 1, column: 1}
	for _, f := range found {
		at.walk(f.Start)
		rows = append(rows, []string{strconv.Itoa(at.line), strconv.Itoa(at.column), string(f.Type), strconv.Itoa(f.End - f.Start), fmt.Sprintf("%.2f", f.Score)})
		s.counts[f.Type]++
	}
	if len(rows) > 0 {
		if err := table(s.out, "LINE COLUMN TYPE CHARACTERS SCORE", rows); err != nil {
			return err
		}
	}
	return s.summary("")
}

// place walks through a text by characters.
type place struct {
	rest             string
	at, line, column int
}

func (p *place) walk(to int) {
	for p.at < to {
		r, size := utf8.DecodeRuneInString(p.rest)
		p.rest, p.at, p.column = p.rest[size:], p.at+1, p.column+1
		if r == '\n' {
			p.line, p.column = p.line+1, 1
		}
	}
}

// summary tells how much of what was found.
func (s *scanning) summary(of string) error {
	var kinds []string
	total := 0
	for _, kind := range slices.Sorted(maps.Keys(s.counts)) {
		kinds = append(kinds, fmt.Sprintf("%s %d", kind, s.counts[kind]))
		total += s.counts[kind]
	}
	said := "nothing found"
	if total > 0 {
		said = fmt.Sprintf("%d found: %s", total, strings.Join(kinds, ", "))
	}
	_, err := fmt.Fprintf(s.out, "%s%s%s. Not covered: %s.\n", printable(s.name), of, ": "+said, strings.Join(notCovered(), ", "))
	return err
}

// scannedLine is what is said of one line.
type scannedLine struct {
	Line     int               `json:"line"`
	Findings []privacy.Finding `json:"findings"`
	Error    string            `json:"error,omitempty"`
}

// jsonl scans each line's text by itself. A line that cannot be read is told and fails the command; the others are scanned.
func (s *scanning) jsonl(ctx context.Context, in io.Reader) error {
	r := bufio.NewReaderSize(in, 64<<10)
	w := bufio.NewWriter(s.out)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	n, bad := 0, 0
	for {
		line, end, err := readLine(r, longestLine)
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return errors.Join(fmt.Errorf("%s, after line %d: %w", s.name, n, err), w.Flush())
		}
		if end && len(line) == 0 {
			break
		}
		if n++; n == 1 {
			line = bytes.TrimPrefix(line, []byte("\xef\xbb\xbf")) // a byte order mark, as some programs write it
		}
		said := s.line(n, line)
		if said.Error != "" {
			bad++
		}
		switch {
		case s.json:
			err = enc.Encode(said)
		case said.Error != "":
			_, err = fmt.Fprintf(w, "line %d: %s\n", n, said.Error)
		case len(said.Findings) > 0:
			_, err = fmt.Fprintf(w, "line %d: %s\n", n, counted(said.Findings))
		}
		if err != nil {
			return err
		}
		if end {
			break
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	var err error
	if !s.json {
		of := fmt.Sprintf(", %d lines", n)
		if bad > 0 {
			of += fmt.Sprintf(", %d of them unreadable", bad)
		}
		err = s.summary(of)
	}
	return verdict(err, bad == 0)
}

func counted(found []privacy.Finding) string {
	counts := privacy.Count(found)
	var kinds []string
	for _, kind := range slices.Sorted(maps.Keys(counts)) {
		kinds = append(kinds, fmt.Sprintf("%s %d", kind, counts[kind]))
	}
	return strings.Join(kinds, ", ")
}

func (s *scanning) line(n int, line []byte) scannedLine {
	said := scannedLine{Line: n, Findings: []privacy.Finding{}}
	var document struct {
		Text *string `json:"text"`
	}
	switch err := json.Unmarshal(line, &document); {
	case line == nil:
		said.Error = fmt.Sprintf("is longer than %d MiB: split its text", longestLine>>20)
	case err != nil:
		said.Error = "is no JSON object whose text is a string"
	case document.Text == nil:
		said.Error = "has no key text"
	default:
		said.Findings = s.Scan(*document.Text)
		for _, f := range said.Findings {
			s.counts[f.Type]++
		}
	}
	return said
}

// readLine reads one line without its end; nil is one over the limit, which is read over. end tells that it is the last.
func readLine(r *bufio.Reader, limit int) (line []byte, end bool, err error) {
	line = []byte{}
	for {
		part, err := r.ReadSlice('\n')
		if line != nil {
			line = append(line, part...)
		}
		if len(line) > limit {
			line = nil
		}
		switch {
		case err == nil:
			return bytes.TrimRight(line, "\r\n"), false, nil
		case errors.Is(err, io.EOF):
			return line, true, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, false, err
		}
	}
}
