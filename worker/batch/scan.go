package batch

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/maphash"
	"io"

	"flowgate/messages"
)

// scanner goes once over a file and checks every line.
type scanner struct {
	file   *File
	number int   // of the line in hand
	offset int64 // where it begins
	// blank is the number of the first line of the blank ones before the line in hand, 0 for none.
	blank  int
	seen   map[string]int // custom id -> line
	faults []error
}

func (f *File) scan() error {
	info, err := f.source.Stat()
	if err != nil {
		return fmt.Errorf("reading %s: %w", f.name, err)
	}
	if info.Size() > MaxFileBytes {
		return tooLarge("%d bytes at most", MaxFileBytes)
	}
	sum := sha256.New()
	r := bufio.NewReaderSize(io.TeeReader(f.source, sum), MaxLineBytes+len("\r\n"))
	s := &scanner{file: f, seen: map[string]int{}}
	if err := s.lines(r); err != nil {
		return err
	}
	if len(f.lines) == 0 && len(s.faults) == 0 {
		return ErrNoRequests
	}
	f.digest = hex.EncodeToString(sum.Sum(nil))
	return s.fault()
}

func tooLarge(format string, limit int) error {
	return fmt.Errorf("%w: "+format+"; split it", ErrTooLarge, limit)
}

// lines takes line by line until the end, or until there are faults enough.
func (s *scanner) lines(r *bufio.Reader) error {
	for len(s.faults) <= MaxFaults {
		raw, err := r.ReadSlice('\n')
		length := len(raw)
		long := errors.Is(err, bufio.ErrBufferFull)
		for errors.Is(err, bufio.ErrBufferFull) {
			raw, err = r.ReadSlice('\n')
			length += len(raw)
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("reading %s: %w", s.file.name, err)
		}
		if length > 0 {
			s.number++
			if err := s.take(raw, long); err != nil {
				return err
			}
			s.offset += int64(length)
		}
		if s.offset > MaxFileBytes {
			return tooLarge("%d bytes at most", MaxFileBytes)
		}
		if err != nil {
			return nil //nolint:nilerr // the end of the file
		}
	}
	return nil
}

// take checks a line. Faults are collected; the error is about the whole file.
func (s *scanner) take(raw []byte, long bool) error {
	l := Line{Number: s.number, offset: s.offset}
	if s.number == 1 { // a byte order mark, as some programs write it
		bare := bytes.TrimPrefix(raw, []byte("\xef\xbb\xbf"))
		l.offset += int64(len(raw) - len(bare))
		raw = bare
	}
	raw = bytes.TrimRight(raw, "\r\n")
	if !long && len(bytes.TrimSpace(raw)) == 0 {
		if s.blank == 0 {
			s.blank = s.number
		}
		return nil
	}
	if s.number > MaxLines {
		return tooLarge("%d lines at most", MaxLines)
	}
	s.blanks()
	if long || len(raw) > MaxLineBytes {
		s.reject(l, &messages.FieldError{Field: document, Rule: fmt.Sprintf("must be at most %d bytes", MaxLineBytes), Got: "a longer line"})
		return nil
	}
	p, err := parse(raw, s.file.options)
	l.CustomID, l.OpenAI, l.Class = p.customID, p.openAI, p.class
	if err == nil {
		err = s.unique(l)
	}
	if err != nil {
		s.reject(l, err)
		return nil
	}
	s.file.models[p.model] = true
	l.length, l.published, l.fingerprint = len(raw), len(p.document), maphash.Bytes(s.file.seed, raw)
	s.file.lines = append(s.file.lines, l)
	return nil
}

// blanks rejects the blank lines before the line in hand: only those at the end of a file mean nothing.
func (s *scanner) blanks() {
	for n := s.blank; n > 0 && n < s.number; n++ {
		s.reject(Line{Number: n}, &messages.FieldError{Field: document, Rule: "must be a JSON object", Got: "a blank line"})
	}
	s.blank = 0
}

func (s *scanner) unique(l Line) error {
	if l.CustomID == "" {
		return nil
	}
	if first, twice := s.seen[l.CustomID]; twice {
		field := fieldCustomID
		if !l.OpenAI {
			field = "id"
		}
		return &messages.FieldError{Field: field, Rule: fmt.Sprintf("must be unique in the file, line %d has the same", first)}
	}
	s.seen[l.CustomID] = l.Number
	return nil
}

func (s *scanner) reject(l Line, err error) {
	l.Fault = lineError(l.Number, l.CustomID, err)
	if !s.file.options.SkipInvalid {
		s.faults = append(s.faults, l.Fault)
		return
	}
	s.file.invalid++
	s.file.lines = append(s.file.lines, l)
}

// fault is the one fault, or the first of them.
func (s *scanner) fault() error {
	switch {
	case len(s.faults) == 0:
		return nil
	case len(s.faults) == 1:
		return s.faults[0]
	case len(s.faults) > MaxFaults:
		return errors.Join(append(s.faults[:MaxFaults:MaxFaults], errors.New("… and more"))...)
	}
	return errors.Join(s.faults...)
}
