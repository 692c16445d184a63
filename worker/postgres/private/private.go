// Package private starts a Postgres of flowgate's own below a data folder: made when missing, reachable over a unix
// socket only, stopped with the process that started it, and fit to be started again after any kill.
//
// The order of a start is the body of Start: binaries and identity, leftovers of an earlier process, initdb, server,
// readiness. The caller MUST hold a lock on the folder, because Start ends every server that it finds running on it.
//
// Read server.go next, then identity.go for what root needs.
package private

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"go.uber.org/zap"
)

// Options says where the server's data and binaries are.
type Options struct {
	// Dir is the folder of this server and is made if missing: Dir/data, Dir/socket (see SocketDir) and Dir/log.
	Dir string
	// BinDir is the folder with initdb and postgres. Empty: searched for, see FindBinaries.
	BinDir string
	// Durable says that a committed row survives a power cut. False turns fsync off and is for tests only.
	Durable bool
	// Database is the name of the database that is there after the start. Empty: postgres.
	Database string
	// Templates is a folder for templates of new data folders, see template. Empty: none is kept or used.
	Templates string
	// Settings are further server settings, for example max_connections; they win over the launcher's own. Those that
	// place the server (sockets, ports, folders) are refused.
	Settings map[string]string
	// Logger may be nil: silent. The server's own log is Dir/log/postgres.log.
	Logger *zap.Logger
}

// Start starts the server, after initdb when the folder is new, and returns when connections are accepted. Recovery
// after a crash has no time limit but ctx. When ctx ends during the start, or Start fails, nothing is left running;
// afterwards ctx has no effect and the server runs until Stop, or until this process is gone.
func Start(ctx context.Context, opts Options) (*Server, error) {
	return start(ctx, opts, candidates)
}

// start is Start with the identities that may be tried as an argument, so that tests can forbid some.
func start(ctx context.Context, opts Options, identities func(owner int) ([]identity, error)) (*Server, error) {
	if err := validate(opts); err != nil {
		return nil, err
	}
	if opts.Logger == nil {
		opts.Logger = zap.NewNop()
	}
	opts.Database = cmp.Or(opts.Database, firstDatabase)
	place, err := openFolder(opts.Dir)
	if err != nil {
		return nil, err
	}
	bin, err := pickBinaries(ctx, opts.BinDir, place, identities)
	if err != nil {
		return nil, err
	}
	if err := place.giveTo(bin.identity); err != nil {
		return nil, err
	}
	if err := clearLeftovers(ctx, place, opts.Logger); err != nil {
		return nil, err
	}
	log, err := openLog(place.logFile())
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	if err := initialise(ctx, place, bin, opts, log); err != nil {
		return nil, err
	}
	return launch(ctx, place, bin, opts, log)
}

// validate reports every fault of opts at once.
func validate(opts Options) error {
	var faults []error
	if opts.Dir == "" {
		faults = append(faults, errors.New("private postgres: Dir is empty: name the folder for the server's data"))
	}
	return errors.Join(append(faults, refusePlacement(opts.Settings)...)...)
}

// folder is the place of one server, with symbolic links resolved.
type folder struct{ root, socket string }

func (f folder) data() string    { return filepath.Join(f.root, "data") }
func (f folder) fresh() string   { return filepath.Join(f.root, "data.new") }
func (f folder) pidFile() string { return filepath.Join(f.data(), "postmaster.pid") }
func (f folder) logFile() string { return filepath.Join(f.root, "log", "postgres.log") }

// openFolder makes the root open to other users, because the server may run as one of them, and what is in it closed.
func openFolder(dir string) (folder, error) {
	root, err := resolve(dir)
	if err != nil {
		return folder{}, err
	}
	if err := os.MkdirAll(root, 0o755); err != nil {
		return folder{}, fmt.Errorf("making the folder of the private postgres: %w", err)
	}
	if err := os.Mkdir(filepath.Join(root, "log"), 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return folder{}, fmt.Errorf("making the log folder of the private postgres: %w", err)
	}
	return folder{root: root, socket: SocketDir(root)}, nil
}
