package batch

import (
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"maps"
	"os"
	"slices"
	"time"

	"flowgate/messages"
)

// Limits of a file.
const (
	// MaxLineBytes bounds one line, in bytes, without its line end.
	MaxLineBytes = messages.MaxRequestBytes
	// MaxLines bounds the lines of a file; blank ones at its end do not count.
	MaxLines = 50_000
	// MaxFileBytes bounds a file, in bytes.
	MaxFileBytes = 200 << 20
	// MaxFaults is how many faulty lines an error of Open lists at most.
	MaxFaults = 10
)

// Options say how a file is read.
type Options struct {
	// Tenant is whose requests these are; a line that names another one is faulty.
	Tenant string
	// NotBefore is when lines may begin that name no not_before; zero: at once.
	NotBefore time.Time
	// Class is the class of lines that name neither class nor priority; empty: batch.
	Class messages.Class
	// SkipInvalid turns faulty lines into lines of the error file, instead of refusing the whole file.
	SkipInvalid bool
}

func (o Options) validate() (Options, error) {
	if err := messages.CheckTenant(o.Tenant); err != nil {
		return o, err
	}
	if o.Class == "" {
		o.Class = messages.ClassBatch
	}
	_, err := messages.ParseClass(string(o.Class))
	return o, err
}

// Line is what a file's line asks for, without its text.
type Line struct {
	// Number counts from 1, blank lines too.
	Number int
	// CustomID is the line's own id; a native line need not have one.
	CustomID string
	// OpenAI is true for a line of an OpenAI batch file; its result is written in that form.
	OpenAI bool
	Class  messages.Class
	// Fault is set on a faulty line, with Options.SkipInvalid only. It is not sent.
	Fault *LineError

	offset      int64
	length      int
	published   int // bytes of the request document
	fingerprint uint64
}

// File is a checked file of requests. It keeps where each line stands, not the text: a line is read again when it is
// sent. It can be read by several goroutines at once.
type File struct {
	options Options
	name    string
	source  *os.File
	digest  string
	seed    maphash.Seed
	lines   []Line
	invalid int
	models  map[string]bool
}

// Open reads the file at path and checks every line. A faulty line is a *LineError; several are joined, the first
// MaxFaults of them. Errors about the content do not name the file. A pipe is read to its end first. The caller MUST Close
// the file.
func Open(path string, o Options) (*File, error) {
	source, err := os.Open(path) //nolint:gosec // the user names the file
	if err != nil {
		return nil, fmt.Errorf("opening the batch: %w", err)
	}
	info, err := source.Stat()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening the batch: %w", err), source.Close())
	}
	if info.Mode().IsRegular() {
		return check(path, source, o)
	}
	f, err := Read(path, source, o)
	return f, errors.Join(err, source.Close())
}

// Read reads from r as Open does from a file; name stands in errors of reading. It keeps the bytes in a temporary file without a
// name. The caller MUST Close the file.
func Read(name string, r io.Reader, o Options) (*File, error) {
	spool, err := os.CreateTemp("", "flowgate-batch-*")
	if err != nil {
		return nil, fmt.Errorf("keeping %s: %w", name, err)
	}
	if err := os.Remove(spool.Name()); err != nil {
		return nil, errors.Join(fmt.Errorf("keeping %s: %w", name, err), spool.Close())
	}
	n, err := io.Copy(spool, io.LimitReader(r, MaxFileBytes+1))
	if err == nil && n <= MaxFileBytes {
		_, err = spool.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("reading %s: %w", name, err), spool.Close())
	}
	return check(name, spool, o)
}

func check(name string, source *os.File, o Options) (*File, error) {
	f := &File{name: name, source: source, seed: maphash.MakeSeed(), models: map[string]bool{}}
	var err error
	if f.options, err = o.validate(); err == nil {
		err = f.scan()
	}
	if err != nil {
		return nil, errors.Join(err, source.Close())
	}
	return f, nil
}

// Models are the names of the models that the lines ask, sorted; an empty one stands for lines that name none.
func (f *File) Models() []string { return slices.Sorted(maps.Keys(f.models)) }

// Close releases the file.
func (f *File) Close() error {
	if err := f.source.Close(); err != nil {
		return fmt.Errorf("closing the batch: %w", err)
	}
	return nil
}

// Name is what the file was opened as.
func (f *File) Name() string { return f.name }

// Digest is the SHA-256 of the file's bytes, in hexadecimal.
func (f *File) Digest() string { return f.digest }

// Len is the number of lines that ask for something or are faulty: the lines that a run writes.
func (f *File) Len() int { return len(f.lines) }

// Invalid is the number of faulty lines.
func (f *File) Invalid() int { return f.invalid }

// Line is the i-th line, i from 0 to Len()-1.
func (f *File) Line(i int) Line { return f.lines[i] }

// Document reads the request document of the i-th line again. It is an error if the file was changed meanwhile.
func (f *File) Document(i int) ([]byte, error) {
	l := &f.lines[i]
	if l.Fault != nil {
		return nil, l.Fault
	}
	raw := make([]byte, l.length)
	if _, err := f.source.ReadAt(raw, l.offset); err != nil {
		return nil, fmt.Errorf("reading line %d of %s again: %w", l.Number, f.name, err)
	}
	if maphash.Bytes(f.seed, raw) != l.fingerprint {
		return nil, fmt.Errorf("reading line %d of %s again: the file was changed after it was checked", l.Number, f.name)
	}
	p, err := parse(raw, f.options)
	if err != nil {
		return nil, lineError(l.Number, l.CustomID, err)
	}
	return p.document, nil
}

// largest is the line whose request document is the largest.
func (f *File) largest() *Line {
	top := &f.lines[0]
	for i := range f.lines {
		if f.lines[i].published > top.published {
			top = &f.lines[i]
		}
	}
	return top
}
