package private

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// port names the socket file and is never listened on.
const port = "5432"

// maxSocketPath is what the system's socket address holds besides its closing zero: 107 bytes on Linux, 103 on macOS.
const maxSocketPath = len(syscall.RawSockaddrUnix{}.Path) - 1

// SocketDir returns the folder of the socket of the server in dir: dir/socket, or, when that path is too long for a
// socket or holds a comma (which separates hosts in a connection string), a folder in the temporary directory whose
// name derives from dir. Processes with the same temporary directory get the same answer, whether the server runs or
// not.
func SocketDir(dir string) string {
	root, err := resolve(dir)
	if err != nil {
		root = dir
	}
	if inside := filepath.Join(root, "socket"); fitsSocket(inside) {
		return inside
	}
	sum := sha256.Sum256([]byte(root))
	name := "flowgate-" + hex.EncodeToString(sum[:8])
	if moved := filepath.Join(os.TempDir(), name); fitsSocket(moved) {
		return moved
	}
	return filepath.Join("/tmp", name)
}

func fitsSocket(dir string) bool {
	return len(filepath.Join(dir, ".s.PGSQL."+port)) <= maxSocketPath && !strings.Contains(dir, ",")
}

// resolve returns dir absolute and without symbolic links. Parts that do not exist yet are kept as they are, so that
// the answer is the same before and after the folder is made.
func resolve(dir string) (string, error) {
	path, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("finding the folder of the private postgres: %w", err)
	}
	missing := ""
	for existing := path; ; existing = filepath.Dir(existing) {
		if found, err := filepath.EvalSymlinks(existing); err == nil {
			return filepath.Join(found, missing), nil
		}
		if existing == filepath.Dir(existing) {
			return path, nil
		}
		missing = filepath.Join(filepath.Base(existing), missing)
	}
}

// openSocketDir makes the folder, closed to everybody but id, or checks the one that is there: in a shared temporary
// directory somebody else may have made it first.
func openSocketDir(dir string, id identity) error {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("making the socket folder: %w", err)
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("checking the socket folder: %w", err)
	}
	owner := ownerOf(info)
	if !info.IsDir() || owner != id.uid && owner != os.Geteuid() {
		return fmt.Errorf("socket folder %s is not a folder of uid %d: remove it", dir, id.uid)
	}
	if owner != id.uid {
		if err := os.Lchown(dir, id.uid, id.gid); err != nil {
			return fmt.Errorf("giving the socket folder to %s: %w", id, err)
		}
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return fmt.Errorf("closing the socket folder: %w", err)
	}
	return nil
}
