package fleet

import (
	"fmt"
	"syscall"
)

// DiskOf measures the file system of a path: what an ordinary user can still write there.
func DiskOf(path string) (*Disk, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(path, &s); err != nil {
		return nil, fmt.Errorf("measuring the disk of %s: %w", path, err)
	}
	block := uint64(s.Bsize) //nolint:gosec // sizes are not negative
	return &Disk{Path: path, FreeBytes: s.Bavail * block, TotalBytes: s.Blocks * block}, nil
}
