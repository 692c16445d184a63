package private

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"go.uber.org/zap"
)

// superuser owns the database server; whoever may open the socket is trusted to be it.
const superuser = "flowgate"

// initialise makes the data folder if there is none: a copy of the template, else by initdb, whose work becomes one. Both
// work in data.new, which gets its name when it is whole, so that a kill in between leaves nothing that looks like a database.
func initialise(ctx context.Context, place folder, bin binaries, opts Options, log *logFile) error {
	if _, err := os.Stat(place.data()); err == nil {
		return nil
	}
	args := []string{"--username=" + superuser, "--auth=trust", "--encoding=UTF8", "--locale=C"}
	templates := opts.Templates
	if opts.Durable && !canFlush {
		templates = "" // a copy would not be on the disk
	}
	t, err := templateOf(templates, bin, args)
	if err != nil {
		return err
	}
	copied, err := fromTemplate(place, bin.identity, t)
	if !copied {
		if err != nil {
			opts.Logger.Warn("the template of new databases is of no use: initdb takes its place", zap.Error(err))
		}
		if err := initdb(ctx, place, bin, append(args, syncArgument(opts.Durable)...), log); err != nil {
			return err
		}
	}
	if opts.Durable && canFlush {
		if err := flush(place.fresh()); err != nil {
			return fmt.Errorf("flushing the data folder: %w", err)
		}
	}
	if err := os.Rename(place.fresh(), place.data()); err != nil {
		return fmt.Errorf("naming the data folder: %w", err)
	}
	if !copied {
		if err := t.keep(place.data()); err != nil { // nothing depends on it
			opts.Logger.Info("no template of new databases is kept: the next one takes a second longer", zap.Error(err))
		}
	}
	return syncFolder(place.root)
}

// fromTemplate makes the new folder as a copy; without success nothing is left of it.
func fromTemplate(place folder, id identity, t template) (copied bool, err error) {
	if err = makeFresh(place, id); err == nil {
		copied, err = t.copyTo(place.fresh(), id)
	}
	if !copied {
		err = errors.Join(err, os.RemoveAll(place.fresh()))
	}
	return copied, err
}

// syncArgument leaves the flush to us where that can be done at once: initdb syncs a thousand files one by one.
func syncArgument(durable bool) []string {
	if durable && !canFlush {
		return nil
	}
	return []string{"--no-sync"}
}

// initdb runs initdb in the new folder.
func initdb(ctx context.Context, place folder, bin binaries, args []string, log *logFile) error {
	if err := makeFresh(place, bin.identity); err != nil {
		return fmt.Errorf("making the data folder: %w", err)
	}
	command := exec.Command(filepath.Join(bin.dir, "initdb"), append(args, "--pgdata="+place.fresh())...)
	command.Dir = place.root
	command.Stdout, command.Stderr = log.file, log.file
	c, err := spawn(bin.identity, command)
	if err == nil {
		err = c.wait(ctx)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("running initdb: %w%s", err, log.complaint()), os.RemoveAll(place.fresh()))
	}
	return nil
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
