package main

import (
	"fmt"
	"os"
)

// freshFolder is where a command runs that shows or measures something on its own: the folder of --state, which must be empty and
// stays, or one that is removed afterwards unless it is to be kept.
func freshFolder(g *globals, keep bool) (string, func() error, error) {
	if g.state != "" {
		if entries, err := os.ReadDir(g.state); err == nil && len(entries) > 0 {
			return "", nil, usageError{fmt.Errorf("%s is not empty, and this wants a fresh folder: name another with --state, or none", g.state)}
		}
		return g.state, func() error { return nil }, nil
	}
	dir, err := os.MkdirTemp("", "flowgate-fresh-")
	if err != nil {
		return "", nil, environmentError{err}
	}
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // Postgres runs under another user; what is secret lies deeper
		return "", nil, environmentError{err}
	}
	if keep {
		return dir, func() error { return nil }, nil
	}
	return dir, func() error { return os.RemoveAll(dir) }, nil
}
