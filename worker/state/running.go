package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// ErrNotRunning says that no process has the folder, or that the one that has it is not yet ready.
var ErrNotRunning = errors.New("flowgate is not running in this state folder")

// ErrNotReady is the ErrNotRunning of a folder that a process has which is starting or stopping: a little later it may be
// ready.
var ErrNotReady = fmt.Errorf("%w yet", ErrNotRunning)

// Info is how other commands of the same user reach the running process.
type Info struct {
	PID       int       `json:"pid"`
	StartedAt time.Time `json:"started_at"`
	WorkerID  string    `json:"worker_id"`
	NATSURL   string    `json:"nats_url,omitempty"`
	// OperatorUser and OperatorPassword may everything on the broker: the file is the owner's alone.
	OperatorUser     string `json:"operator_user,omitempty"`
	OperatorPassword string `json:"operator_password,omitempty"`
	DatabaseURL      string `json:"database_url,omitempty"`
	// HTTPURL is where the console answers.
	HTTPURL string `json:"http_url,omitempty"`
	// TenantsVersion is that of the book of tenants by which its own broker lets connections in.
	TenantsVersion uint64 `json:"tenants_version,omitempty"`
}

// Publish tells other commands how this process is reached, whole or not at all. PID, WorkerID and, where it is zero,
// StartedAt are filled in. It may be called again.
func (f *Folder) Publish(info Info) error {
	info.PID, info.WorkerID = os.Getpid(), f.WorkerID()
	if info.StartedAt.IsZero() {
		info.StartedAt = time.Now().UTC()
	}
	data, err := json.MarshalIndent(info, "", "  ")
	if err != nil {
		return fmt.Errorf("publishing how this process is reached: %w", err)
	}
	return replace(filepath.Join(f.dir, fileRunning), append(data, '\n'), 0o600)
}

// Read tells how the process that has the folder is reached. What a dead process left is ErrNotRunning: the lock is the
// truth, not the file.
func Read(dir string) (Info, error) {
	unheld, err := free(dir)
	if err != nil {
		return Info{}, err
	}
	if unheld {
		return Info{}, fmt.Errorf("%w: %s", ErrNotRunning, dir)
	}
	var info Info
	path := filepath.Join(dir, fileRunning)
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return Info{}, fmt.Errorf("%w: %s (a process is starting or stopping)", ErrNotReady, dir)
	}
	if err != nil {
		return Info{}, fmt.Errorf("reading how the running process is reached: %w", err)
	}
	if err := json.Unmarshal(data, &info); err != nil {
		return Info{}, fmt.Errorf("reading how the running process is reached from %s: %w (start that process again: it writes the file anew)", path, err)
	}
	return info, nil
}
