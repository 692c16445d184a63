package configs

import (
	"errors"
	"fmt"
	"strings"
)

// Fault is one thing that is wrong in a file. It shows no value of the file, since that may be a secret.
type Fault struct {
	// File is where the fault stands; empty where it is in no file.
	File string `json:"file,omitempty"`
	// Line counts from 1; 0 where no single line has the fault.
	Line int `json:"line,omitempty"`
	// Key is the path of the key, such as retry.default.max_delay; empty where the whole file is meant.
	Key string `json:"key,omitempty"`
	// Text says what is wrong, and where possible how to mend it.
	Text string `json:"text"`
}

func (f *Fault) Error() string {
	var b strings.Builder
	b.WriteString(f.File)
	if f.Line > 0 {
		fmt.Fprintf(&b, ":%d", f.Line)
	}
	if b.Len() > 0 {
		b.WriteString(": ")
	}
	if f.Key != "" {
		b.WriteString(f.Key + ": ")
	}
	return b.String() + f.Text
}

// Warning is a key of a file that is accepted but does not do what its author may expect.
type Warning struct {
	Key string `json:"key"`
	// Line counts from 1; 0 where no line has the key.
	Line int    `json:"line,omitempty"`
	Text string `json:"text"`
}

func (w Warning) String() string {
	if w.Line == 0 {
		return fmt.Sprintf("%s: %s", w.Key, w.Text)
	}
	return fmt.Sprintf("line %d: %s: %s", w.Line, w.Key, w.Text)
}

// faults collects what Validate finds.
type faults []error

func (f *faults) add(key, format string, args ...any) {
	*f = append(*f, &Fault{Key: key, Text: fmt.Sprintf(format, args...)})
}

func (f *faults) join() error { return errors.Join(*f...) }

// Nearest is the known name that a misspelt one most likely means; empty where none is near.
func Nearest(name string, known []string) string { return nearest(name, known) }

// nearest is the known name that a misspelt one most likely means; empty where none is near.
func nearest(name string, known []string) string {
	best, least := "", 1+min(2, max(1, len(name)/2))
	for _, k := range known {
		if n := editDistance(name, k); n < least {
			best, least = k, n
		}
	}
	return best
}

// editDistance is the Levenshtein distance of two names; names of over 64 bytes are near to nothing.
func editDistance(a, b string) int {
	const longest = 64
	if len(a) > longest || len(b) > longest {
		return longest
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			next := min(row[j+1]+1, row[j]+1, diagonal+cost)
			diagonal, row[j+1] = row[j+1], next
		}
	}
	return row[len(b)]
}
