package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/tern/v2/migrate"
)

const (
	// migrationLockTimeout is the longest that a migration stands in a queue for a table: who comes after it waits behind it, readers too.
	migrationLockTimeout = 2 * time.Second
	// migrationRounds bounds how often a migration is tried that others stand in the way of. With the pauses it is some five minutes.
	migrationRounds = 60
)

// migrationLockTimeout is what a statement of a migration waits for a lock.
func (o Options) migrationLockTimeout() time.Duration {
	return min(o.LockTimeout, migrationLockTimeout)
}

// migrateWaiting runs the migrations to come, each in a transaction of its own. One that gets no lock in time gives way and is tried
// again after a pause, which is longer than it stood in the way: a reader of hours, such as a dump, MUST NOT stop admission.
func migrateWaiting(ctx context.Context, conn *pgx.Conn, m *migrate.Migrator, options Options) error {
	for round := 1; ; round++ {
		err := m.Migrate(ctx)
		if err == nil || !conflict(err) {
			return err
		}
		err = fmt.Errorf("%w: others use what it changes%s", err, holders(ctx, conn, options.Schema))
		if round == migrationRounds {
			return fmt.Errorf("%w; tried %d times, migrations before it are done: let them end, or end them, then run `flowgate migrate` again", err, round)
		}
		if options.OnBlocked != nil {
			options.OnBlocked(err)
		}
		if ended := pause(ctx, options.migrationLockTimeout()*3/2); ended != nil {
			return errors.Join(err, ended)
		}
	}
}

// holders names the server's processes whose transactions hold tables of the schema, the oldest first; empty where none is seen.
func holders(ctx context.Context, conn *pgx.Conn, schema string) string {
	var pids []int32
	err := conn.QueryRow(ctx, `SELECT coalesce(array_agg(pid ORDER BY xact_start), '{}') FROM (
    SELECT DISTINCT a.pid, a.xact_start FROM pg_locks l JOIN pg_stat_activity a USING (pid) JOIN pg_class c ON c.oid = l.relation
    WHERE l.granted AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND a.pid <> pg_backend_pid()
          AND c.relnamespace = to_regnamespace($1) ORDER BY a.xact_start LIMIT 5) held`, schema).Scan(&pids)
	if err != nil || len(pids) == 0 {
		return ""
	}
	return fmt.Sprintf(" (see pg_stat_activity of pid %v)", pids)
}
