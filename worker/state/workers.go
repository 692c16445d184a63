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

// WorkerDir is the folder of the n-th worker of a state root.
func WorkerDir(root string, n int) string { return filepath.Join(root, folderWorkers, strconv.Itoa(n)) }
