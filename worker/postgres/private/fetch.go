package private

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	// fetchGrace bounds a fetch, with the wait for another one.
	fetchGrace = 10 * time.Minute
	// maxFetch bounds what the packages of a fetch may weigh, and every file that is written on the way.
	maxFetch = 300 << 20
	// unfinished begins the names of folders that a fetch works in.
	unfinished = ".fetching-"
)

// Fetch says what to fetch, and who is told.
type Fetch struct {
	// Dir, which may be empty, is the folder of the server that the binaries are for: data in it decides on the version.
	Dir string
	// Say is told, in sentences, what is about to be fetched and where it goes. It MUST NOT be nil: nothing is fetched unsaid.
	Say func(string)

	// settings are further lines for apt.
	settings string
}

// Ensure returns the folder of FindBinaries. Where there is none it unpacks the packages of this machine's distribution
// into the cache (see CacheDir), needs no root for it and installs nothing: apt resolves, downloads and verifies in a state
// of its own, and dpkg-deb unpacks. A folder that PG_BINDIR names is the operator's word, and nothing is fetched in its
// place. Processes that fetch at once wait for the first. What a killed fetch leaves is removed by the next one.
func Ensure(ctx context.Context, f Fetch) (string, error) {
	bin, err := FindBinaries(ctx, "")
	if err == nil || os.Getenv("PG_BINDIR") != "" {
		return bin, err
	}
	return f.fetch(ctx)
}

func (f Fetch) fetch(ctx context.Context) (bin string, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, fetchGrace, fmt.Errorf("it took longer than %s", fetchGrace))
	defer cancel()
	defer func() {
		if err != nil {
			err = fmt.Errorf("fetching Postgres: %w", errors.Join(err, unlessSame(context.Cause(ctx), err)))
		}
	}()
	major, err := f.wanted()
	if err != nil {
		return "", err
	}
	place, err := shelf()
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(place, 0o755); err != nil { //nolint:gosec // for root, the server runs under another user
		return "", fmt.Errorf("making the cache folder (FLOWGATE_CACHE names another): %w", err)
	}
	release, err := takeTurn(ctx, filepath.Join(place, ".lock"))
	if err != nil {
		return "", err
	}
	defer release()
	for _, bin := range fetchedBins() { // by who had the turn before
		if m, err := readManifest(topOf(bin)); err == nil && (major == "" || fmt.Sprint(m.Major) == major) {
			return bin, nil
		}
	}
	return f.unpackInto(ctx, place, major)
}

// topOf is the folder of the manifest for a Debian path, usr/lib/postgresql/15/bin.
func topOf(bin string) string { return filepath.Join(bin, "..", "..", "..", "..", "..") }

// unlessSame leaves out a cause that the error tells already.
func unlessSame(cause, err error) error {
	if cause == nil || errors.Is(err, cause) {
		return nil
	}
	return cause
}

// wanted is the major version of the data, or nothing when any will do.
func (f Fetch) wanted() (string, error) {
	if f.Dir == "" {
		return "", nil
	}
	version, err := os.ReadFile(filepath.Join(f.Dir, "data", "PG_VERSION"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("reading the version of the data folder: %w", err)
	}
	return strings.TrimSpace(string(version)), nil
}

// takeTurn waits for the lock on a file. The system gives it back when this process is gone.
func takeTurn(ctx context.Context, path string) (release func(), err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the lock of the cache: %w", err)
	}
	tick := time.NewTicker(20 * pollEvery)
	defer tick.Stop()
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return func() { _ = file.Close() }, nil
		case !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR):
			return nil, errors.Join(fmt.Errorf("locking the cache: %w", err), file.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("waiting for another process that fetches: %w", ctx.Err()), file.Close())
		case <-tick.C:
		}
	}
}

// unpackInto does the work in a folder that gets its name when everything is there. The caller has the turn.
func (f Fetch) unpackInto(ctx context.Context, place, major string) (bin string, err error) {
	left, err := filepath.Glob(filepath.Join(place, unfinished+"*"))
	if err != nil {
		return "", err
	}
	for _, dir := range left {
		if err := os.RemoveAll(dir); err != nil {
			return "", fmt.Errorf("removing what a killed fetch left: %w", err)
		}
	}
	work, err := os.MkdirTemp(place, unfinished)
	if err != nil {
		return "", fmt.Errorf("making a folder in the cache: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	f.Say("No Postgres programs found. Asking the package sources of this machine; nothing will be installed (FLOWGATE_FETCH_POSTGRES=0 refuses this).")
	apt, err := newApt(filepath.Join(work, "apt"), f.settings)
	if err != nil {
		return "", err
	}
	server, packages, err := apt.plan(ctx, major)
	if err != nil {
		return "", err
	}
	final := filepath.Join(place, server.version)
	f.Say(fmt.Sprintf("Fetching %s %s and %d packages that it needs, %.1f MB, and unpacking them into %s.",
		server.name, server.version, len(packages)-1, float64(weight(packages))/1e6, final))
	top := filepath.Join(work, "root")
	if err := apt.unpack(ctx, packages, top); err != nil {
		return "", err
	}
	m, err := describe(top, server, packages)
	if err != nil {
		return "", err
	}
	if err := finish(ctx, top, final, m); err != nil {
		return "", err
	}
	f.Say("Postgres " + server.version + " is there.")
	return filepath.Join(final, m.Bin), nil
}

// finish writes the manifest, tries the programs, has everything on the disk and gives the folder its name.
func finish(ctx context.Context, top, final string, m manifest) error {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(top, manifestFile), text, 0o644); err != nil { //nolint:gosec // for root, the server runs under another user
		return fmt.Errorf("writing the manifest: %w", err)
	}
	own := identity{mode: asItself}
	for _, program := range []string{"postgres", "initdb"} {
		if _, err := output(ctx, own, filepath.Join(top, m.Bin, program), "--version"); err != nil {
			return fmt.Errorf("trying what was fetched: %w", err)
		}
	}
	if err := flush(top); err != nil {
		return fmt.Errorf("flushing what was fetched: %w", err)
	}
	if err := os.RemoveAll(final); err != nil { // a folder without a manifest, or one that was damaged
		return fmt.Errorf("removing a damaged copy: %w", err)
	}
	if err := os.Rename(top, final); err != nil {
		return fmt.Errorf("naming what was fetched: %w", err)
	}
	return syncFolder(filepath.Dir(final))
}
