// Package postgres is the system of record: the ledger of admissions and money, what the recorder keeps, batches, and the
// questions that operators ask. It needs a database of Postgres 14 or later and no rights beyond making a schema in it;
// everything is in one schema, flowgate where no other is named. A statement does the work of a whole micro-batch in one round trip; the rules are
// in migrations/003_admit.sql and migrations/005_record_outcomes.sql.
//
// Read next: ledger.go, then record.go.
package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"flowgate/worker"
)

var (
	_ worker.Ledger      = (*DB)(nil)
	_ worker.RecordStore = (*DB)(nil)
)

// Options says how a database is used. The zero value is DefaultOptions.
type Options struct {
	// Schema is where everything is. Empty: DefaultSchema.
	Schema string
	// MaxConns bounds the connections of the pool; held locks have one more each. 0: 8.
	MaxConns int
	// ConnectTimeout bounds making one connection. 0: 5 s.
	ConnectTimeout time.Duration
	// Retries is how often a database that is not there yet is asked again, RetryDelay (0: 1 s) after each time.
	Retries    int
	RetryDelay time.Duration
	// OnWait, where set, is told why each time.
	OnWait func(error)
	// OnBlocked, where set, is told each time that a migration gave way to others who use what it changes. It is tried again.
	OnBlocked func(error)
	// AnswerTimeout bounds a piece of everyday work; chores have ten times as long. 0: 1 min.
	AnswerTimeout time.Duration
	// FreeTimeout bounds the wait for a connection of the pool. 0: 10 s.
	FreeTimeout time.Duration
	// LockTimeout is what a statement waits for a lock before it is repeated. 0: 2 s.
	LockTimeout time.Duration
	// IdleInTransaction is when the server ends a transaction that nobody goes on with. 0: 5 s.
	IdleInTransaction time.Duration
}

// DefaultOptions are the settings that a deployment starts with.
func DefaultOptions() Options {
	return Options{
		Schema: DefaultSchema, MaxConns: 8, ConnectTimeout: 5 * time.Second, RetryDelay: time.Second, AnswerTimeout: time.Minute,
		FreeTimeout: 10 * time.Second, LockTimeout: 2 * time.Second, IdleInTransaction: 5 * time.Second,
	}
}

func (o Options) withDefaults() Options {
	d := DefaultOptions()
	o.Schema = cmp.Or(o.Schema, d.Schema)
	o.MaxConns = cmp.Or(o.MaxConns, d.MaxConns)
	o.ConnectTimeout = cmp.Or(o.ConnectTimeout, d.ConnectTimeout)
	o.RetryDelay = cmp.Or(o.RetryDelay, d.RetryDelay)
	o.AnswerTimeout = cmp.Or(o.AnswerTimeout, d.AnswerTimeout)
	o.FreeTimeout = cmp.Or(o.FreeTimeout, d.FreeTimeout)
	o.LockTimeout = cmp.Or(o.LockTimeout, d.LockTimeout)
	o.IdleInTransaction = cmp.Or(o.IdleInTransaction, d.IdleInTransaction)
	return o
}

// Validate reports every fault at once.
func (o Options) Validate() error {
	var faults []error
	if o.MaxConns < 0 {
		faults = append(faults, fmt.Errorf("max_conns is %d, must not be negative", o.MaxConns))
	}
	if o.Retries < 0 {
		faults = append(faults, fmt.Errorf("retries is %d, must not be negative", o.Retries))
	}
	if o.Schema != "" {
		faults = append(faults, checkSchema(o.Schema))
	}
	for name, d := range map[string]time.Duration{
		"connect_timeout": o.ConnectTimeout, "lock_timeout": o.LockTimeout, "idle_in_transaction": o.IdleInTransaction,
		"retry_delay": o.RetryDelay, "answer_timeout": o.AnswerTimeout, "free_timeout": o.FreeTimeout,
	} {
		if d < 0 || d != 0 && d < time.Millisecond {
			faults = append(faults, fmt.Errorf("%s is %s, must be at least 1ms", name, d))
		}
	}
	return errors.Join(faults...)
}

// DB is one database. Its methods may be called from any goroutine.
type DB struct {
	pool *pool
}

// Open connects to a migrated database and makes sure that it answers. The schema MUST be the one of this build: see
// Migrate and MigrationStatus. The caller closes the DB.
func Open(ctx context.Context, url string, options Options) (*DB, error) {
	if err := options.Validate(); err != nil {
		return nil, fmt.Errorf("opening postgres: %w", err)
	}
	pool, err := openPool(ctx, url, options.withDefaults())
	if err != nil {
		return nil, err
	}
	db := &DB{pool: pool}
	if err := patiently(ctx, pool.options, func() error { return db.greet(ctx) }); err != nil {
		db.Close()
		return nil, err
	}
	return db, nil
}

// greet makes a first connection and looks who answers.
func (db *DB) greet(ctx context.Context) error {
	return db.pool.with(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		if err := checkVersion(conn.PgConn()); err != nil {
			return err
		}
		return conn.Ping(ctx)
	})
}

// Close waits until no connection is in use and closes them all.
func (db *DB) Close() { db.pool.close() }

// Ping tells whether the database answers.
func (db *DB) Ping(ctx context.Context) error {
	return db.pool.with(ctx, func(ctx context.Context, conn *pgx.Conn) error { return conn.Ping(ctx) })
}

// Server asks the server for its version and the name of this database.
func (db *DB) Server(ctx context.Context) (version, database string, err error) {
	err = db.pool.with(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, "SELECT current_setting('server_version'), current_database()").Scan(&version, &database)
	})
	if err != nil {
		return "", "", fmt.Errorf("asking the server for its version: %w", err)
	}
	return version, database, nil
}

// Connections counts the connections of the pool that are lent, and how many there may be.
func (db *DB) Connections() (lent, most int) {
	stat := db.pool.conns.Stat()
	return int(stat.AcquiredConns()), int(stat.MaxConns())
}
