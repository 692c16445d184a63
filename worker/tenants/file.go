package tenants

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"flowgate/messages"
	"flowgate/worker/state"
)

// Names in the state folder.
const (
	fileBook = "tenants.json"
	fileLock = "tenants.lock"
)

// maxBytes bounds the file.
const maxBytes = 32 << 20

// ErrLost says that there was a book and is none: as if nobody had ever been added, it would let everybody in.
var ErrLost = errors.New("the tenants' book is lost")

// Load reads the book of a state folder; where there never was one nobody was added yet, and the version is 0. One that is gone is
// ErrLost.
func Load(dir string) (Book, error) {
	path, lock := filepath.Join(dir, fileBook), filepath.Join(dir, fileLock)
	mark, err := os.Stat(lock) // before the book, since it is marked after
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return Book{}, fmt.Errorf("reading the tenants: %w", err)
	}
	marked := err == nil && mark.Size() > 0
	b := Book{V: messages.Version}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist) && marked:
		return b, fmt.Errorf("reading the tenants: %w: %s is missing, %s says that there was one. Restore it from a backup; or remove "+
			"%s, then there are no tenants, and everybody who reaches the listener is a producer of each", ErrLost, path, lock, lock)
	case errors.Is(err, os.ErrNotExist):
		return b, nil
	case err != nil:
		return b, fmt.Errorf("reading the tenants: %w", err)
	case info.Size() > maxBytes:
		return b, fmt.Errorf("reading the tenants: %s is larger than %d bytes", path, maxBytes)
	}
	data, err := os.ReadFile(path) //nolint:gosec // in the state folder
	if err != nil {
		return b, fmt.Errorf("reading the tenants: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	if err := d.Decode(&b); err != nil {
		return b, fmt.Errorf("reading the tenants from %s: %w", path, err)
	}
	if err := b.validate(); err != nil {
		return b, fmt.Errorf("reading the tenants from %s: %w", path, err)
	}
	return b, nil
}

// Change changes the book of a state folder, whole or not at all; changes at the same time wait for one another. An error of
// change leaves it as it was.
func Change(dir string, change func(*Book) error) (Book, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // the state folder; the file in it is the owner's alone
		return Book{}, fmt.Errorf("changing the tenants: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, fileLock), os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // in the state folder
	if err != nil {
		return Book{}, fmt.Errorf("changing the tenants: %w", err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil { //nolint:gosec // a descriptor fits
		return Book{}, fmt.Errorf("changing the tenants: %w", err)
	}
	b, err := Load(dir)
	if err != nil {
		return b, err
	}
	if err := change(&b); err != nil {
		return b, err
	}
	b.Version++
	if err := b.validate(); err != nil {
		return b, fmt.Errorf("changing the tenants: %w", err)
	}
	data, err := json.MarshalIndent(b, "", "  ")
	if err != nil {
		return b, fmt.Errorf("changing the tenants: %w", err)
	}
	if err := state.Replace(filepath.Join(dir, fileBook), append(data, '\n'), 0o600); err != nil {
		return b, err
	}
	return b, mark(lock)
}

// mark writes into the lock that there is a book now.
func mark(lock *os.File) error {
	if info, err := lock.Stat(); err == nil && info.Size() > 0 {
		return nil
	}
	_, err := lock.WriteString(fileBook + " is in this folder; without it nobody is let in\n")
	if err = errors.Join(err, lock.Sync()); err != nil {
		return fmt.Errorf("the tenants are changed, but it is not noted that there are some: say it again: %w", err)
	}
	return nil
}

// watchEvery is how often the file is looked at.
const watchEvery = 200 * time.Millisecond

// Watch tells each book that follows a version, until ctx ends. A file that is gone or cannot be read is told as an error,
// once: what was in force goes on.
func Watch(ctx context.Context, dir string, version uint64, tell func(Book), fault func(error)) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	var seen os.FileInfo
	for {
		info, err := os.Stat(filepath.Join(dir, fileBook))
		switch {
		case err != nil && seen != nil:
			fault(fmt.Errorf("reading the tenants: %w; those that were known stay in force", err))
			seen = nil
		case err == nil && (seen == nil || !os.SameFile(seen, info) || !info.ModTime().Equal(seen.ModTime()) || info.Size() != seen.Size()):
			seen = info
			b, err := Load(dir)
			if err != nil {
				fault(fmt.Errorf("%w; those that were known stay in force", err))
			} else if b.Version != version {
				version = b.Version
				tell(b)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
