package private

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// maxLog bounds the server's log; one earlier log of about that size is kept beside it.
const maxLog = 10 << 20

// logFile is where initdb and the server write, each at the end of the file.
type logFile struct {
	file  *os.File
	start int64 // what is before was written by an earlier start
}

func openLog(path string) (*logFile, error) {
	if err := boundLog(path); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the log of postgres: %w", err)
	}
	start, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("reading the log of postgres: %w", err), file.Close())
	}
	return &logFile{file: file, start: start}, nil
}

// Close closes this process's hold on the file; the server has its own.
func (l *logFile) Close() error { return l.file.Close() }

// complaint returns, as the end of an error message, the last error that was written since the start.
func (l *logFile) complaint() string {
	const enough = 16 << 10
	text := make([]byte, enough)
	end, err := l.file.Seek(0, io.SeekEnd)
	if err != nil {
		return ""
	}
	n, err := l.file.ReadAt(text, max(l.start, end-enough))
	if err != nil && !errors.Is(err, io.EOF) {
		return ""
	}
	lines := strings.Split(string(bytes.TrimSpace(text[:n])), "\n")
	slices.Reverse(lines)
	for _, line := range lines {
		for _, mark := range []string{"FATAL: ", "PANIC: ", "ERROR: ", "error: "} {
			if _, message, found := strings.Cut(line, mark); found {
				return ": " + strings.TrimSpace(message)
			}
		}
	}
	return " (see " + l.file.Name() + ")"
}

// boundLog moves the content of a log that is too long to path.old. The file itself stays, because a running server
// holds it open; it appends, so its next line is the first. Lines written during the copy may be lost.
func boundLog(path string) error {
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("measuring the log of postgres: %w", err)
	}
	if info.Size() <= maxLog {
		return nil
	}
	if _, err := copyFile(path, path+".old", io.Discard); err != nil {
		return fmt.Errorf("keeping the old log of postgres: %w", err)
	}
	if err := os.Truncate(path, 0); err != nil {
		return fmt.Errorf("emptying the log of postgres: %w", err)
	}
	return nil
}

// copyFile returns how many bytes it copied; sum gets them too.
func copyFile(from, to string, sum io.Writer) (n int64, err error) {
	source, err := os.Open(from)
	if err != nil {
		return 0, err
	}
	defer func() { _ = source.Close() }()
	target, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return 0, err
	}
	n, err = io.Copy(io.MultiWriter(target, sum), source)
	return n, errors.Join(err, target.Close())
}
