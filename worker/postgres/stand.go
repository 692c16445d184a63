package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// heldSQL: every reservation counts in a scope of the day and in one of the month, where those limits are set.
const heldSQL = `SELECT greatest(coalesce(sum(reserved) FILTER (WHERE name LIKE 'tenant:%:day:%'), 0),
    coalesce(sum(reserved) FILTER (WHERE name LIKE 'tenant:%:month:%'), 0))::bigint
FROM scope WHERE reserved <> 0`

// Held is what open requests hold in reserve, in micro-dollars.
func (db *DB) Held(ctx context.Context) (int64, error) {
	rows, err := collect(ctx, db, pgx.RowTo[int64], heldSQL)
	if err != nil {
		return 0, fmt.Errorf("reading what is held in reserve: %w", err)
	}
	return rows[0], nil
}

// PoolStand is how the pool stands.
type PoolStand struct {
	InUse, Idle, Max int
	// Waits counts how often somebody waited because all connections were lent; Waited is how long all did.
	Waits  int64
	Waited time.Duration
}

// Pool tells how the pool stands, without asking the server.
func (db *DB) Pool() PoolStand {
	s := db.pool.conns.Stat()
	return PoolStand{
		InUse: int(s.AcquiredConns()), Idle: int(s.IdleConns()), Max: int(s.MaxConns()), Waits: s.EmptyAcquireCount(), Waited: s.EmptyAcquireWaitTime(),
	}
}
