package private

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
)

// awaitReady watches the status line of postmaster.pid, which costs no connection and leaves no error in the log, and
// then proves it with a connection.
func (s *Server) awaitReady(ctx context.Context, log *logFile) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for postgres to accept connections: %w", ctx.Err())
		case <-s.child.done:
			return fmt.Errorf("starting postgres: %w%s", ending(s.child.err), log.complaint())
		case <-tick.C:
		}
		if s.saysReady() {
			break
		}
	}
	conn, err := pgx.Connect(ctx, s.URL("postgres"))
	if err != nil {
		return fmt.Errorf("connecting to the private postgres: %w", err)
	}
	if err := conn.Close(ctx); err != nil {
		return fmt.Errorf("closing the first connection to the private postgres: %w", err)
	}
	return nil
}

// saysReady reads the first and eighth line: whose file it is, and the status.
func (s *Server) saysReady() bool {
	lines, err := pidLines(s.place.pidFile())
	if err != nil || len(lines) < 8 {
		return false
	}
	return lines[0] == strconv.Itoa(s.PID()) && lines[7] == "ready"
}
