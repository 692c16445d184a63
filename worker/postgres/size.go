package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Size is how much of the server the database takes.
type Size struct {
	// Bytes are those of the database on disk.
	Bytes int64 `json:"bytes"`
	// Connections are those of every client to the database, this one included.
	Connections int64 `json:"connections"`
}

// Size asks the server.
func (db *DB) Size(ctx context.Context) (Size, error) {
	rows, err := collect(ctx, db, pgx.RowToStructByPos[Size], `SELECT pg_database_size(current_database()),
(SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend')`)
	if err != nil {
		return Size{}, fmt.Errorf("asking how large the database is: %w", err)
	}
	return rows[0], nil
}
