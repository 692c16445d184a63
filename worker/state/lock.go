package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// HeldError says that another process (or this one, before) has the folder.
type HeldError struct {
	Dir string
	// PID and Command name the process; 0 and "" where it has not yet said.
	PID     int
	Command string
	Since   time.Time
}

func (e *HeldError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("state folder %s is in use by another process (choose another with FLOWGATE_STATE)", e.Dir)
	}
	return fmt.Sprintf("state folder %s is in use by process %d (%s) since %s (stop it, or choose another folder with FLOWGATE_STATE)",
		e.Dir, e.PID, e.Command, e.Since.Format(time.RFC3339))
}

// owner is what the lock file says of the process that has it. An empty file: the last owner closed it.
type owner struct {
	PID       int       `json:"pid"`
	Command   string    `json:"command"`
	StartedAt time.Time `json:"started_at"`
}

func thisProcess(now time.Time) owner {
	return owner{PID: os.Getpid(), Command: command(os.Args), StartedAt: now.UTC()}
}

// command is the program and its subcommands: what comes from the first flag on may be secret.
func command(args []string) string {
	words := []string{filepath.Base(args[0])}
	for _, a := range args[1:] {
		if strings.HasPrefix(a, "-") || strings.ContainsAny(a, ":=/@") {
			break
		}
		words = append(words, a)
	}
	return strings.Join(words, " ")
}

const (
	// A lock whose owner is unknown or dead is held by a look of Read, or by an owner that is about to write its name.
	lockPatience = 200 * time.Millisecond
	lockPause    = 2 * time.Millisecond
)

// take locks the folder for this process and tells whether the former owner left its name: it did not Close.
func take(dir string) (lock *os.File, former bool, err error) {
	lock, err = os.OpenFile(filepath.Join(dir, fileLock), os.O_RDWR|os.O_CREATE, 0o644) //nolint:gosec // it names a process, no secret
	if err != nil {
		return nil, false, fmt.Errorf("opening the lock of the state folder: %w", err)
	}
	for end := time.Now().Add(lockPatience); ; time.Sleep(lockPause) {
		err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			break
		}
		o, _ := readOwner(lock)
		if errors.Is(err, syscall.EWOULDBLOCK) && !o.alive() && time.Now().Before(end) {
			continue
		}
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = &HeldError{Dir: dir, PID: o.PID, Command: o.Command, Since: o.StartedAt}
		}
		return nil, false, errors.Join(err, lock.Close())
	}
	info, err := lock.Stat()
	if err != nil {
		return nil, false, errors.Join(fmt.Errorf("reading the lock of the state folder: %w", err), lock.Close())
	}
	return lock, info.Size() > 0, nil
}

// free tells whether nobody has the folder, by a look that lasts microseconds.
func free(dir string) (bool, error) {
	lock, err := os.Open(filepath.Join(dir, fileLock))
	if errors.Is(err, os.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("opening the lock of the state folder: %w", err)
	}
	defer func() { _ = lock.Close() }() // unlocks; nothing was written
	err = syscall.Flock(int(lock.Fd()), syscall.LOCK_SH|syscall.LOCK_NB)
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, syscall.EWOULDBLOCK):
		return false, nil
	}
	return false, fmt.Errorf("looking at the lock of the state folder: %w", err)
}

func (o owner) alive() bool {
	if o.PID <= 0 {
		return false
	}
	err := syscall.Kill(o.PID, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}

func readOwner(lock *os.File) (owner, error) {
	var o owner
	data, err := io.ReadAll(io.NewSectionReader(lock, 0, 1<<16))
	if err != nil {
		return o, fmt.Errorf("reading the lock of the state folder: %w", err)
	}
	if err := json.Unmarshal(data, &o); err != nil {
		return owner{}, fmt.Errorf("reading the lock of the state folder: %w", err)
	}
	return o, nil
}

// writeOwner writes in place, since the lock belongs to this very file.
func writeOwner(lock *os.File, o owner) error {
	data, err := json.Marshal(o)
	if err != nil {
		return fmt.Errorf("writing the lock of the state folder: %w", err)
	}
	data = append(data, '\n')
	if _, err = lock.WriteAt(data, 0); err == nil {
		err = lock.Truncate(int64(len(data)))
	}
	if err == nil {
		err = lock.Sync()
	}
	if err != nil {
		return fmt.Errorf("writing the lock of the state folder: %w", err)
	}
	return nil
}

func clearOwner(lock *os.File) error {
	return errors.Join(lock.Truncate(0), lock.Sync())
}
