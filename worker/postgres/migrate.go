package postgres

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/tern/v2/migrate"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

const (
	// migrationLock keeps migrations of one database apart from the first statement on; tern's own lock comes later.
	migrationLock = "flowgate.migrate"
	// statusTimeout bounds the question how far a database is migrated.
	statusTimeout = 30 * time.Second
)

// Status tells how far a database is migrated.
type Status struct {
	// Version is the database's; 0 where it has none of our tables.
	Version int `json:"version"`
	// Latest is the version of this build. A database whose version is higher was migrated by a later build; since migrations
	// only add, this one can work with it.
	Latest int `json:"latest"`
	// Pending are the names of the migrations to come.
	Pending []string `json:"pending,omitempty"`
}

// Migration is one step of the schema.
type Migration struct {
	Name string `json:"name"`
	SQL  string `json:"sql"`
}

// Migrate brings the database to the version of this build, forward only, and tells its version before and after. Any number
// of processes may call it at once; one of them does the work. A database that is newer stays as it is.
func Migrate(ctx context.Context, url string, options Options) (from, to int, err error) {
	err = migrating(ctx, url, options, func(conn *pgx.Conn, schema string) error {
		status, err := statusOf(ctx, conn, schema)
		if from, to = status.Version, status.Version; err != nil || len(status.Pending) == 0 {
			return err
		}
		if err := awaitMigrations(ctx, conn); err != nil {
			return err
		}
		if err := makeSchema(ctx, conn, schema); err != nil {
			return err
		}
		m, err := migrator(ctx, conn, schema)
		if err != nil {
			return err
		}
		version, err := m.GetCurrentVersion(ctx)
		if err != nil {
			return fmt.Errorf("reading the schema version: %w", err)
		}
		if from, to = int(version), int(version); from >= len(m.Migrations) {
			return nil // another process has been here
		}
		if err := migrateWaiting(ctx, conn, m, options.withDefaults()); err != nil {
			return fmt.Errorf("migrating from version %d to %d: %w", from, len(m.Migrations), err)
		}
		to = len(m.Migrations)
		return nil
	})
	return from, to, err
}

// awaitMigrations waits for those of other processes, however long they take.
func awaitMigrations(ctx context.Context, conn *pgx.Conn) error {
	for _, sql := range []string{
		"SET lock_timeout = 0", "SELECT pg_advisory_lock(hashtextextended('" + migrationLock + "', 0))", "RESET lock_timeout",
	} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("waiting for other migrations: %w", err)
		}
	}
	return nil
}

// makeSchema looks first, because CREATE SCHEMA IF NOT EXISTS asks for the right even where there is nothing to do.
func makeSchema(ctx context.Context, conn *pgx.Conn, schema string) error {
	var there bool
	if err := conn.QueryRow(ctx, "SELECT to_regnamespace($1) IS NOT NULL", schema).Scan(&there); err != nil {
		return fmt.Errorf("looking for the schema %s: %w", schema, err)
	}
	if there {
		return nil
	}
	if _, err := conn.Exec(ctx, "CREATE SCHEMA "+schema); err != nil {
		return fmt.Errorf("creating the schema %s (the role needs CREATE on the database): %w", schema, err)
	}
	return nil
}

// MigrationStatus tells the version of the database and what Migrate would do. It changes nothing.
func MigrationStatus(ctx context.Context, url string, options Options) (s Status, err error) {
	err = migrating(ctx, url, options, func(conn *pgx.Conn, schema string) (err error) {
		s, err = statusOf(ctx, conn, schema)
		return err
	})
	return s, err
}

// Status is MigrationStatus of an open database.
func (db *DB) Status(ctx context.Context) (s Status, err error) {
	err = db.pool.with(ctx, func(ctx context.Context, conn *pgx.Conn) (err error) {
		s, err = statusOf(ctx, conn, db.pool.options.Schema)
		return err
	})
	return s, err
}

func statusOf(ctx context.Context, conn *pgx.Conn, schema string) (s Status, err error) {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	var there bool
	if err := conn.QueryRow(ctx, "SELECT to_regclass($1) IS NOT NULL", versionTable(schema)).Scan(&there); err != nil {
		return s, fmt.Errorf("looking for the schema version: %w", err)
	}
	if there {
		if err := conn.QueryRow(ctx, "SELECT version FROM "+versionTable(schema)).Scan(&s.Version); err != nil {
			return s, fmt.Errorf("reading the schema version: %w", err)
		}
	}
	all, err := Migrations(schema)
	if err != nil {
		return s, err
	}
	s.Latest = len(all)
	for _, m := range all[min(s.Version, len(all)):] {
		s.Pending = append(s.Pending, m.Name)
	}
	return s, nil
}

// Migrations are all steps of the schema that this build knows, in order.
func Migrations(schema string) ([]Migration, error) {
	files, err := migrationDir()
	if err != nil {
		return nil, err
	}
	names, err := migrate.FindMigrations(files)
	if err != nil {
		return nil, fmt.Errorf("reading the migrations: %w", err)
	}
	all := make([]Migration, len(names))
	for i, name := range names {
		sql, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, fmt.Errorf("reading the migrations: %w", err)
		}
		all[i] = Migration{Name: name, SQL: inSchema(string(sql), schema)}
	}
	return all, nil
}

func versionTable(schema string) string { return schema + ".schema_version" }

// migrating lends a connection of its own; a transaction on it may pause as long as it likes.
func migrating(ctx context.Context, url string, options Options, use func(conn *pgx.Conn, schema string) error) error {
	if err := options.Validate(); err != nil {
		return fmt.Errorf("opening postgres: %w", err)
	}
	options = options.withDefaults()
	config, err := connConfig(url, options)
	if err != nil {
		return err
	}
	config.RuntimeParams["lock_timeout"] = milliseconds(options.migrationLockTimeout())
	delete(config.RuntimeParams, "idle_in_transaction_session_timeout")
	var conn *pgx.Conn
	err = patiently(ctx, options, func() (err error) {
		if conn, err = pgx.ConnectConfig(ctx, config); err != nil {
			return unreached(err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	defer closeConn(conn)
	if err := checkVersion(conn.PgConn()); err != nil {
		return err
	}
	return use(conn, options.Schema)
}

func migrator(ctx context.Context, conn *pgx.Conn, schema string) (*migrate.Migrator, error) {
	m, err := migrate.NewMigrator(ctx, conn, versionTable(schema))
	if err != nil {
		return nil, fmt.Errorf("preparing the schema version: %w", err)
	}
	files, err := migrationDir()
	if err != nil {
		return nil, err
	}
	if err := m.LoadMigrations(files); err != nil {
		return nil, fmt.Errorf("reading the migrations: %w", err)
	}
	for _, one := range m.Migrations {
		one.UpSQL = inSchema(one.UpSQL, schema)
	}
	return m, nil
}

func migrationDir() (fs.FS, error) {
	files, err := fs.Sub(migrationFiles, "migrations")
	if err != nil {
		return nil, fmt.Errorf("reading the migrations: %w", err)
	}
	return files, nil
}
