package private

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
)

// awaitReady watches the status line of postmaster.pid, which costs no connection and leaves no error in the log, and
// then proves it with a connection, over which the database gets its name.
func (s *Server) awaitReady(ctx context.Context, database string, log *logFile) error {
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
	conn, err := pgx.Connect(ctx, s.URL("template1"))
	if err != nil {
		return fmt.Errorf("connecting to the private postgres: %w", err)
	}
	return errors.Join(nameDatabase(ctx, conn, database), conn.Close(ctx))
}

// nameDatabase makes sure that there is a database of that name. A new server has an empty one, and renaming it takes no
// time; a copy is 7 MB and two checkpoints.
func nameDatabase(ctx context.Context, conn *pgx.Conn, name string) error {
	var named, unnamed bool
	const look = "SELECT coalesce(bool_or(datname = $1), false), coalesce(bool_or(datname = $2), false) FROM pg_database"
	if err := conn.QueryRow(ctx, look, name, firstDatabase).Scan(&named, &unnamed); err != nil {
		return fmt.Errorf("looking for the database %s: %w", name, err)
	}
	if named {
		return nil
	}
	statement := "CREATE DATABASE " + pgx.Identifier{name}.Sanitize()
	if unnamed {
		statement = fmt.Sprintf("ALTER DATABASE %s RENAME TO %s", firstDatabase, pgx.Identifier{name}.Sanitize())
	}
	if _, err := conn.Exec(ctx, statement); err != nil {
		return fmt.Errorf("making the database %s: %w", name, err)
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
