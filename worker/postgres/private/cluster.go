package private

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// superuser owns the database server; whoever may open the socket is trusted to be it.
const superuser = "flowgate"

// initialise makes the data folder if there is none. initdb works in data.new, which gets its name when it is whole, so
// that a kill in between leaves nothing that looks like a database.
func initialise(ctx context.Context, place folder, bin binaries, durable bool, log *logFile) error {
	if _, err := os.Stat(place.data()); err == nil {
		return nil
	}
	if err := makeFresh(place, bin.identity); err != nil {
		return fmt.Errorf("making the data folder: %w", err)
	}
	args := []string{
		"--pgdata=" + place.fresh(), "--username=" + superuser, "--auth=trust", "--encoding=UTF8", "--locale=C",
	}
	if !durable || canFlush {
		args = append(args, "--no-sync") // which syncs a thousand files one by one
	}
	command := exec.Command(filepath.Join(bin.dir, "initdb"), args...)
	command.Dir = place.root
	command.Stdout, command.Stderr = log.file, log.file
	c, err := spawn(bin.identity, command)
	if err == nil {
		err = c.wait(ctx)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("running initdb: %w%s", err, log.complaint()), os.RemoveAll(place.fresh()))
	}
	if durable && canFlush {
		if err := flush(place.fresh()); err != nil {
			return fmt.Errorf("flushing the data folder: %w", err)
		}
	}
	if err := os.Rename(place.fresh(), place.data()); err != nil {
		return fmt.Errorf("naming the data folder: %w", err)
	}
	return syncFolder(place.root)
}

// makeFresh makes the empty folder itself: the server's user may not write beside it.
func makeFresh(place folder, id identity) error {
	if err := os.Mkdir(place.fresh(), 0o700); err != nil {
		return err
	}
	if id.mode != switched {
		return nil
	}
	return os.Chown(place.fresh(), id.uid, id.gid)
}

// syncFolder makes a rename in dir survive a power cut.
func syncFolder(dir string) error {
	opened, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("opening %s: %w", dir, err)
	}
	if err := errors.Join(opened.Sync(), opened.Close()); err != nil {
		return fmt.Errorf("syncing %s: %w", dir, err)
	}
	return nil
}
