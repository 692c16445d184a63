package configs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// The largest files that are read, in bytes.
const (
	MaxSettingsBytes   = 1 << 20
	MaxAgreementsBytes = 1 << 20
	MaxPricesBytes     = 16 << 20
)

// readFile reads a regular file, or what a link to one leads to, of at most limit bytes. Of a pipe nobody knows whether its end ever comes.
func readFile(path string, limit int64) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) //nolint:gosec // the operator names the file; a pipe must not block
	if err != nil {
		if fault, ok := errors.AsType[*fs.PathError](err); ok {
			err = fault.Err
		}
		return nil, fmt.Errorf("opening the file %q: %w", path, err)
	}
	defer func() { _ = f.Close() }() // opened for reading: nothing can be lost
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("examining configuration: %w", err)
	}
	if info.IsDir() {
		return nil, &Fault{File: path, Text: "is a directory; name a file in it"}
	}
	if !info.Mode().IsRegular() {
		return nil, &Fault{File: path, Text: "is no regular file"}
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("reading configuration: %w", err)
	}
	if int64(len(data)) > limit {
		return nil, &Fault{File: path, Text: fmt.Sprintf("is larger than %d bytes", limit)}
	}
	return data, nil
}
