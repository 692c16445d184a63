package private

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"go.uber.org/zap"
)

// process is a live server process, or initdb, that works in a data folder.
type process struct {
	pid, parent int
	main        bool // postmaster or initdb, not a child of theirs
}

// EndLeftovers ends the server that an earlier process left running in the folder of a server (Options.Dir), so that the
// folder may be moved. It needs no binaries. The caller MUST hold a lock on the folder.
func EndLeftovers(ctx context.Context, dir string, logger *zap.Logger) error {
	root, err := resolve(dir)
	if err != nil {
		return err
	}
	return clearLeftovers(ctx, folder{root: root, socket: SocketDir(root)}, logger)
}

// clearLeftovers ends what an earlier process left running on the folder and removes what would keep a server from
// starting. Afterwards the folder is as a clean stop, or a crash, leaves it.
func clearLeftovers(ctx context.Context, place folder, logger *zap.Logger) error {
	for _, dir := range []string{place.data(), place.fresh()} {
		if err := endOrphans(ctx, dir, logger); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(place.fresh()); err != nil {
		return fmt.Errorf("removing the leftovers of an initdb: %w", err)
	}
	if err := removeStalePID(place.pidFile(), logger); err != nil {
		return err
	}
	for _, name := range []string{".s.PGSQL." + port, ".s.PGSQL." + port + ".lock"} {
		if err := os.Remove(filepath.Join(place.socket, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("removing a stale socket: %w", err)
		}
	}
	return nil
}

// removeStalePID removes a postmaster.pid whose process lives. No server runs on the folder at this point, so the
// number is a stranger's by now, or a zombie's, and the server would take either for a server and refuse to start. The
// file of a dead process stays: the server checks and removes it.
func removeStalePID(path string, logger *zap.Logger) error {
	lines, err := pidLines(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the stale postmaster.pid: %w", err)
	}
	pid, err := strconv.Atoi(strings.TrimPrefix(lines[0], "-")) // single-user mode writes its number negated
	if err == nil && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return nil
	}
	logger.Warn("removing a stale postmaster.pid", zap.String("file", path), zap.String("pid", lines[0]))
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("removing the stale postmaster.pid: %w", err)
	}
	return nil
}

// pidLines returns the trimmed lines of a postmaster.pid, at least one.
func pidLines(path string) ([]string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	lines := strings.Split(string(text), "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return lines, nil
}

// endOrphans stops the server that an earlier process left on dir: politely, then without a checkpoint, then by force.
func endOrphans(ctx context.Context, dir string, logger *zap.Logger) error {
	for _, step := range politeFirst(stopGrace) {
		found, err := processesOn(dir)
		if err != nil {
			return fmt.Errorf("looking for a server on %s: %w", dir, err)
		}
		if len(found) == 0 {
			return nil
		}
		for _, p := range found {
			if p.main && p.parent == os.Getpid() && p.parent != 1 {
				return fmt.Errorf("this process already runs the server on %s, as pid %d", dir, p.pid)
			}
		}
		logger.Warn("ending a server that an earlier process left", zap.String("dir", dir),
			zap.Int("pid", found[0].pid), zap.Stringer("signal", step.signal))
		signalAll(found, step.signal)
		if err := awaitGone(ctx, dir, step.grace); !errors.Is(err, errStillThere) {
			return err
		}
	}
	return fmt.Errorf("a server on %s does not end: stop it by hand", dir)
}

// signalAll signals the postmaster, who tells its children; they are signalled themselves when it is gone, or by force.
func signalAll(found []process, sig syscall.Signal) {
	headless := true
	for _, p := range found {
		headless = headless && !p.main
	}
	if headless && sig == syscall.SIGINT {
		sig = syscall.SIGQUIT // to a child, SIGINT means only that its query is cancelled
	}
	for _, p := range found {
		if p.main || headless || sig == syscall.SIGKILL {
			_ = syscall.Kill(p.pid, sig) // gone since is as good
		}
	}
}

var errStillThere = errors.New("still there")

// awaitGone returns nil when no process works in dir any more and errStillThere when grace has passed.
func awaitGone(ctx context.Context, dir string, grace time.Duration) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	late := time.NewTimer(grace)
	defer late.Stop()
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for an earlier server to end: %w", ctx.Err())
		case <-late.C:
			return errStillThere
		case <-tick.C:
		}
		found, err := processesOn(dir)
		if err != nil {
			return fmt.Errorf("looking for a server on %s: %w", dir, err)
		}
		if len(found) == 0 {
			return nil
		}
	}
}
