package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Spent is how much of a bound on money is taken, in micro-dollars.
type Spent struct {
	Scope string
	// Settled is spent, Reserved is held by open requests.
	Settled, Reserved int64
}

// SpentOver lists the bounds whose names end with a suffix (such as :day:2026-01-31) and of which at least amount is taken,
// most first, at most limit.
func (db *DB) SpentOver(ctx context.Context, suffix string, amount int64, limit int) ([]Spent, error) {
	const sql = `SELECT name, settled, reserved FROM scope
WHERE right(name, length($1)) = $1 AND settled + reserved >= $2 ORDER BY settled + reserved DESC, name LIMIT $3`
	found, err := collect(ctx, db, pgx.RowToStructByPos[Spent], sql, suffix, amount, limit)
	if err != nil {
		return nil, fmt.Errorf("asking what is spent: %w", err)
	}
	return found, nil
}
