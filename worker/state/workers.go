package state

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
)

const (
	// folderWorkers has the folders of workers in a state root.
	folderWorkers = "workers"
	// MaxWorkers bounds the workers of one state root.
	MaxWorkers = 1000
)

// OpenWorker takes the first free folder workers/<n> of a state root, n from 1, so that several workers start on one machine
// without being told. The root itself stays free for a process with servers of its own.
func OpenWorker(root string) (*Folder, error) {
	for n := 1; n <= MaxWorkers; n++ {
		f, err := Open(WorkerDir(root, n))
		if _, held := errors.AsType[*HeldError](err); !held {
			return f, err
		}
	}
	return nil, fmt.Errorf("all %d folders for workers in %s are taken: choose another state folder with FLOWGATE_STATE", MaxWorkers, root)
}

// ReadWorkers tells how workers of a state root reach their servers: what the first of them says that knows each. Without
// any it is ErrNotRunning.
func ReadWorkers(root string) (Info, error) {
	folders, err := filepath.Glob(filepath.Join(root, folderWorkers, "*"))
	if err != nil {
		return Info{}, fmt.Errorf("looking for workers: %w", err)
	}
	var known Info
	for _, dir := range folders {
		one, err := Read(dir)
		if err != nil {
			continue // it is not running, or not yet
		}
		if known.PID == 0 {
			known = one
		}
		if known.DatabaseURL == "" {
			known.DatabaseURL = one.DatabaseURL
		}
	}
	if known.PID == 0 {
		return Info{}, fmt.Errorf("%w: %s", ErrNotRunning, root)
	}
	return known, nil
}

// WorkerDir is the folder of the n-th worker of a state root.
func WorkerDir(root string, n int) string { return filepath.Join(root, folderWorkers, strconv.Itoa(n)) }
