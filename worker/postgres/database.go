package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// stateDuplicateDatabase is what a CREATE DATABASE gets that came second.
const stateDuplicateDatabase = "42P04"

// CreateDatabase makes a database where it is missing; url names any database of the server, and a role that may make one.
func CreateDatabase(ctx context.Context, url, name string) error {
	return migrating(ctx, url, DefaultOptions(), func(conn *pgx.Conn, _ string) error {
		var there bool
		if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name).Scan(&there); err != nil {
			return fmt.Errorf("looking for the database %s: %w", name, err)
		}
		if there {
			return nil
		}
		if _, err := conn.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize()); err != nil && sqlState(err) != stateDuplicateDatabase {
			return fmt.Errorf("creating the database %s: %w", name, err)
		}
		return nil
	})
}
