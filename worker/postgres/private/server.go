package private

import (
	"context"
	"fmt"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
)

const (
	// pollEvery is how often a state that sends no event is looked at.
	pollEvery = 5 * time.Millisecond
	// boundEvery is how often the size of the log is looked at.
	boundEvery = time.Minute
	// firstDatabase is the one that initdb makes for its users.
	firstDatabase = "postgres"
)

// Server is a running private Postgres. Its methods may be called from any goroutine.
type Server struct {
	child    *child
	place    folder
	grace    time.Duration
	logger   *zap.Logger
	watching sync.WaitGroup
	stop     func() error
}

// launch starts the postmaster and returns when it accepts connections.
func launch(ctx context.Context, place folder, bin binaries, opts Options, log *logFile) (*Server, error) {
	command := exec.Command(filepath.Join(bin.dir, "postgres"), arguments(place, opts)...)
	command.Dir = place.root
	command.Stdout, command.Stderr = log.file, log.file
	c, err := spawn(bin.identity, command)
	if err != nil {
		return nil, fmt.Errorf("starting postgres: %w", err)
	}
	s := &Server{child: c, place: place, grace: stopGrace, logger: opts.Logger}
	s.stop = sync.OnceValue(s.shutDown)
	if err := s.awaitReady(ctx, opts.Database, log); err != nil {
		_ = s.Stop() // the reason why it did not get ready says more than how it ended
		return nil, err
	}
	s.watching.Go(s.watchLog)
	opts.Logger.Info("private postgres ready", zap.Int("pid", s.PID()), zap.String("version", bin.major),
		zap.String("socket", place.socket), zap.Bool("durable", opts.Durable))
	return s, nil
}

// URL returns the connection string of a database, over the unix socket and as the superuser, for pgx and libpq. An
// empty name is postgres, which a server that was started for another Database does not have.
func (s *Server) URL(database string) string {
	if database == "" {
		database = firstDatabase
	}
	query := url.Values{"host": {s.place.socket}, "port": {port}, "sslmode": {"disable"}}
	address := url.URL{
		Scheme: "postgres", User: url.User(superuser), Path: "/" + database,
		RawQuery: strings.ReplaceAll(query.Encode(), "+", "%20"), // libpq takes a plus for a plus
	}
	return address.String()
}

// PID returns the process id of the postmaster.
func (s *Server) PID() int { return s.child.process.Pid }

// Done is closed when the postmaster has exited, for whatever reason; Stop then says how.
func (s *Server) Done() <-chan struct{} { return s.child.done }

// Stop ends the server and waits for it. Open transactions are rolled back. Every call returns the same: an error when
// the server had ended by itself or had to be forced; a durable server loses no committed row by either.
func (s *Server) Stop() error { return s.stop() }

// watchLog bounds the log until the server has ended.
func (s *Server) watchLog() {
	tick := time.NewTicker(boundEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.child.done:
			return
		case <-tick.C:
		}
		if err := boundLog(s.place.logFile()); err != nil {
			s.logger.Warn("bounding the log of postgres", zap.Error(err))
		}
	}
}
