package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"

	"flowgate/worker/postgres/private"
)

// setAside moves the queue and the database of the state folder, which belong together, into a folder of their own in it.
// This process holds the state folder; a server that an earlier one left is ended first.
func (n *node) setAside(ctx context.Context, wanted bool) error {
	if !wanted {
		return nil
	}
	if err := private.EndLeftovers(ctx, n.folder.Path("postgres"), n.log); err != nil {
		return err
	}
	aside := n.folder.Path("set-aside-" + time.Now().UTC().Format("20060102T150405.000Z"))
	if err := os.Mkdir(aside, 0o700); err != nil {
		return fmt.Errorf("making a folder for what is set aside: %w", err)
	}
	for _, name := range []string{"nats", "postgres"} {
		err := os.Rename(n.folder.Path(name), filepath.Join(aside, name))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("setting aside what was kept (what was moved is in %s): %w", aside, err)
		}
	}
	n.log.Warn("starting over: what was kept is set aside", zap.String("folder", aside))
	return nil
}
