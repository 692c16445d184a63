package postgres

import (
	"context"
	"embed"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/tern/v2/migrate"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

const (
	versionTable = "flowgate.schema_version"
	// migrationLock keeps migrations of one database apart from the first statement on; tern's own lock comes later.
	migrationLock = "flowgate.migrate"
)

// Status tells how far a database is migrated.
type Status struct {
	// Version is the database's; 0 where it has none of our tables.
	Version int `json:"version"`
	// Latest is the version of this build.
	Latest int `json:"latest"`
	// Pending are the names of the migrations to come.
	Pending []string `json:"pending,omitempty"`
}

// Migrate brings the database to the version of this build, forward only, and tells from and to. Any number of processes
// may call it at once. A database newer than this build is an error.
func Migrate(ctx context.Context, url string) (from, to int, err error) {
	err = migrating(ctx, url, func(conn *pgx.Conn) error {
		if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock(hashtextextended($1, 0))", migrationLock); err != nil {
			return fmt.Errorf("waiting for other migrations: %w", err)
		}
		if err := makeSchema(ctx, conn); err != nil {
			return err
		}
		m, err := migrator(ctx, conn)
		if err != nil {
			return err
		}
		version, err := m.GetCurrentVersion(ctx)
		if err != nil {
			return fmt.Errorf("reading the schema version: %w", err)
		}
		from, to = int(version), len(m.Migrations)
		if from > to {
			return fmt.Errorf("the database has schema version %d, this build knows %d: use a newer flowgate", from, to)
		}
		if err := m.Migrate(ctx); err != nil {
			return fmt.Errorf("migrating from version %d to %d: %w", from, to, err)
		}
		return nil
	})
	return from, to, err
}

// makeSchema looks first, because CREATE SCHEMA IF NOT EXISTS asks for the right even where there is nothing to do.
func makeSchema(ctx context.Context, conn *pgx.Conn) error {
	var there bool
	if err := conn.QueryRow(ctx, "SELECT to_regnamespace('flowgate') IS NOT NULL").Scan(&there); err != nil {
		return fmt.Errorf("looking for the schema flowgate: %w", err)
	}
	if there {
		return nil
	}
	if _, err := conn.Exec(ctx, "CREATE SCHEMA flowgate"); err != nil {
		return fmt.Errorf("creating the schema flowgate (the role needs CREATE on the database): %w", err)
	}
	return nil
}

// MigrationStatus tells the version of the database and what Migrate would do. It changes nothing.
func MigrationStatus(ctx context.Context, url string) (Status, error) {
	var s Status
	err := migrating(ctx, url, func(conn *pgx.Conn) error {
		var there bool
		if err := conn.QueryRow(ctx, "SELECT to_regclass($1) IS NOT NULL", versionTable).Scan(&there); err != nil {
			return fmt.Errorf("looking for the schema version: %w", err)
		}
		if there {
			if err := conn.QueryRow(ctx, "SELECT version FROM "+versionTable).Scan(&s.Version); err != nil {
				return fmt.Errorf("reading the schema version: %w", err)
			}
		}
		files, err := migrationDir()
		if err != nil {
			return err
		}
		names, err := migrate.FindMigrations(files)
		if err != nil {
			return fmt.Errorf("reading the migrations: %w", err)
		}
		s.Latest = len(names)
		s.Pending = names[min(s.Version, len(names)):]
		return nil
	})
	return s, err
}

// migrating lends a connection of its own, without the time limits of everyday work.
func migrating(ctx context.Context, url string, use func(*pgx.Conn) error) error {
	config, err := connConfig(url, DefaultOptions())
	if err != nil {
		return err
	}
	delete(config.RuntimeParams, "lock_timeout")
	delete(config.RuntimeParams, "idle_in_transaction_session_timeout")
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return fmt.Errorf("connecting to postgres: %w", err)
	}
	defer closeConn(conn)
	return use(conn)
}

func migrator(ctx context.Context, conn *pgx.Conn) (*migrate.Migrator, error) {
	m, err := migrate.NewMigrator(ctx, conn, versionTable)
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
	return m, nil
}

func migrationDir() (fs.FS, error) {
	files, err := fs.Sub(migrationFiles, "migrations")
	if err != nil {
		return nil, fmt.Errorf("reading the migrations: %w", err)
	}
	return files, nil
}
