//go:build linux

package private

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// canFlush tells whether flush works here.
const canFlush = true

// flush has everything that was written to the file system of dir on the disk when it returns.
func flush(dir string) error {
	opened, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(unix.Syncfs(int(opened.Fd())), opened.Close())
}
