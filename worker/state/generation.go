package state

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// identity names one process among all that ever had the folder. The folder's own name is new where the folder was copied:
// the copy's processes are not the original's.
type identity struct {
	// Folder is <host>-<8 random hexadecimal digits>.
	Folder     string `json:"folder"`
	Generation uint64 `json:"generation"`
	// Host, Device and Inode say which folder Folder names.
	Host   string `json:"host"`
	Device uint64 `json:"device"`
	Inode  uint64 `json:"inode"`
}

// WorkerID names this process's workers: <folder>-<generation>. No other process ever has it.
func (f *Folder) WorkerID() string {
	return f.id.Folder + "-" + strconv.FormatUint(f.id.Generation, 10)
}

// Generation counts the processes that have had the folder, from 1.
func (f *Folder) Generation() uint64 { return f.id.Generation }

// Earlier tells whether a worker's id belongs to an earlier process of this very folder, which is therefore dead: it had
// the lock that this process has.
func (f *Folder) Earlier(workerID string) bool {
	number, ok := strings.CutPrefix(workerID, f.id.Folder+"-")
	if !ok {
		return false
	}
	n, err := strconv.ParseUint(number, 10, 64)
	return err == nil && n >= 1 && n < f.id.Generation && strconv.FormatUint(n, 10) == number
}

// nextGeneration counts one up; the number is on the disk before it is returned.
func nextGeneration(dir string) (identity, error) {
	place, err := placeOf(dir)
	if err != nil {
		return identity{}, err
	}
	path := filepath.Join(dir, fileGeneration)
	id, err := readIdentity(path)
	if err != nil {
		return identity{}, err
	}
	if id.Host != place.Host || id.Device != place.Device || id.Inode != place.Inode {
		id = place
		id.Folder = folderName(place.Host)
	}
	id.Generation++
	data, err := json.Marshal(id)
	if err != nil {
		return identity{}, fmt.Errorf("writing %s: %w", path, err)
	}
	if err := replace(path, append(data, '\n'), 0o644); err != nil {
		return identity{}, err
	}
	return id, nil
}

// readIdentity gives the zero identity where there is no file.
func readIdentity(path string) (identity, error) {
	var id identity
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return id, nil
	}
	if err != nil {
		return id, fmt.Errorf("reading the folder's generation: %w", err)
	}
	if err := json.Unmarshal(data, &id); err != nil {
		return id, fmt.Errorf("reading the folder's generation from %s: %w (remove the file: a new name is made for the folder)", path, err)
	}
	return id, nil
}

func placeOf(dir string) (identity, error) {
	host, err := os.Hostname()
	if err != nil {
		return identity{}, fmt.Errorf("naming the state folder: %w", err)
	}
	var st syscall.Stat_t
	if err := syscall.Stat(dir, &st); err != nil {
		return identity{}, fmt.Errorf("naming the state folder: %w", err)
	}
	return identity{Host: host, Device: uint64(st.Dev), Inode: st.Ino}, nil //nolint:gosec,unconvert // the type differs between systems
}

func folderName(host string) string {
	var random [4]byte
	_, _ = rand.Read(random[:]) // never fails
	host, _, _ = strings.Cut(host, ".")
	return host + "-" + hex.EncodeToString(random[:])
}

// Replace writes a file of the folder whole or not at all, and returns when it is on the disk.
func Replace(path string, data []byte, mode os.FileMode) error { return replace(path, data, mode) }

// replace writes a file whole or not at all, and returns when it is on the disk.
func replace(path string, data []byte, mode os.FileMode) error {
	dir := filepath.Dir(path)
	tmp, err := os.CreateTemp(dir, "."+filepath.Base(path)+temporary+"*")
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	_, err = tmp.Write(data)
	err = errors.Join(err, tmp.Chmod(mode), tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("writing %s: %w", path, err), remove(tmp.Name()))
	}
	return syncDir(dir)
}

// syncDir makes a rename durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("flushing %s: %w", dir, err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("flushing %s: %w", dir, err)
	}
	return nil
}
