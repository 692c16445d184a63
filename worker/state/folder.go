// Package state is the state folder of one flowgate process: one lock that covers the broker and the database in it, the
// generation that tells processes of the folder apart, and what other commands must know to reach the running one.
//
// Read next: lock.go, then running.go.
package state

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Names of the files in the folder.
const (
	fileLock       = "lock"
	fileGeneration = "generation"
	fileRunning    = "run.json"

	// temporary marks files that are not yet renamed.
	temporary = ".flowgate-tmp-"
)

// DefaultDir is FLOWGATE_STATE, else flowgate in XDG_STATE_HOME, else ~/.local/state/flowgate.
func DefaultDir() (string, error) {
	if dir := os.Getenv("FLOWGATE_STATE"); dir != "" {
		return dir, nil
	}
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) { // the XDG specification ignores relative ones
		return filepath.Join(dir, "flowgate"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("finding the state folder: %w (set FLOWGATE_STATE)", err)
	}
	return filepath.Join(home, ".local", "state", "flowgate"), nil
}

// Folder is a state folder that this process holds.
type Folder struct {
	dir     string
	lock    *os.File
	id      identity
	unclean bool

	once   sync.Once
	closed error
}

// Open makes the folder where there is none and takes it for this process. A folder that is taken is a *HeldError at once.
// The caller MUST Close it, after everything that works in it has ended.
func Open(dir string) (*Folder, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("opening the state folder: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // Postgres runs in it under another user; what is secret has a folder of its own
		return nil, fmt.Errorf("making the state folder: %w", err)
	}
	lock, former, err := take(dir)
	if err != nil {
		return nil, err
	}
	f := &Folder{dir: dir, lock: lock, unclean: former}
	if err := f.begin(); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return f, nil
}

// begin writes that this process is the owner. It comes last that the former owner's marker is overwritten: a process that
// dies in here leaves the folder as unclean as it found it.
func (f *Folder) begin() error {
	left, err := filepath.Glob(filepath.Join(f.dir, ".*"+temporary+"*"))
	if err != nil {
		return fmt.Errorf("looking for what the former process left: %w", err)
	}
	for _, path := range append(left, filepath.Join(f.dir, fileRunning)) {
		if err := remove(path); err != nil {
			return fmt.Errorf("removing what the former process left: %w", err)
		}
	}
	id, err := nextGeneration(f.dir)
	if err != nil {
		return err
	}
	f.id = id
	return writeOwner(f.lock, thisProcess(time.Now()))
}

// Dir is the folder's absolute path.
func (f *Folder) Dir() string { return f.dir }

// Path is a path in the folder; nothing is made.
func (f *Folder) Path(elem ...string) string {
	return filepath.Join(append([]string{f.dir}, elem...)...)
}

// Secret makes a folder in the folder that only the owner can enter, and returns its path.
func (f *Folder) Secret(name string) (string, error) {
	path := f.Path(name)
	if err := os.MkdirAll(path, 0o700); err != nil {
		return "", fmt.Errorf("making a folder for %s: %w", name, err)
	}
	return path, nil
}

// Unclean tells that the process before this one did not Close the folder: it crashed, was killed, or lost power.
func (f *Folder) Unclean() bool { return f.unclean }

// Close gives the folder back. Only the first call does anything.
func (f *Folder) Close() error {
	f.once.Do(func() {
		f.closed = errors.Join(
			remove(filepath.Join(f.dir, fileRunning)),
			clearOwner(f.lock),
			f.lock.Close(), // unlocks
		)
		if f.closed != nil {
			f.closed = fmt.Errorf("closing the state folder: %w", f.closed)
		}
	})
	return f.closed
}

// remove is os.Remove that does not mind what is not there.
func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
