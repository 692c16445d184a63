package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Clock is the server's clock.
func (db *DB) Clock(ctx context.Context) (time.Time, error) {
	rows, err := collect(ctx, db, pgx.RowTo[time.Time], "SELECT clock_timestamp()")
	if err != nil {
		return time.Time{}, fmt.Errorf("reading the server's clock: %w", err)
	}
	return rows[0], nil
}
