package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// MostCounted bounds what a board counts: it is asked for every few seconds, while all of it may be millions of rows.
const MostCounted = 10_000

// LetterCount counts dead letters whose bodies are still there.
type LetterCount struct {
	All int64 `json:"all"`
	// Open are those that were not replayed.
	Open int64 `json:"open"`
	// More: there are more than MostCounted, of which that many were looked at.
	More bool `json:"more,omitempty"`
}

// CountDeadLetters counts the dead letters of all tenants, up to MostCounted.
func (db *DB) CountDeadLetters(ctx context.Context) (LetterCount, error) {
	const sql = `WITH d AS MATERIALIZED (SELECT tenant, id, epoch FROM dead_letter LIMIT $1),
n AS MATERIALIZED (SELECT tenant, id, epoch FROM d LIMIT $1 - 1)
SELECT count(*), count(*) FILTER (WHERE NOT EXISTS (
    SELECT FROM admission a WHERE a.tenant = n.tenant AND a.id = n.id AND a.epoch > n.epoch)), (SELECT count(*) FROM d) >= $1 FROM n`
	rows, err := collect(ctx, db, pgx.RowToStructByPos[LetterCount], sql, MostCounted+1)
	if err != nil {
		return LetterCount{}, fmt.Errorf("counting dead letters: %w", err)
	}
	return rows[0], nil
}

// Charged is what calls to models are charged.
type Charged struct {
	// MicroUSD is their sum, calls under way and in doubt at their bound.
	MicroUSD int64 `json:"microusd"`
	Calls    int64 `json:"calls"`
	// More: there are more than MostCounted. Calls is that many, and MicroUSD what is charged at least.
	More bool `json:"more,omitempty"`
}

// ChargedSince adds up the calls of all tenants that began since a moment, up to MostCounted. Where there are more, it tells what the
// ledger has settled in the tenants' scopes of a window of the calendar (its suffix, such as :day:2026-01-31), which only those with a
// limit have, or what the calls that were counted are charged, whichever is more.
func (db *DB) ChargedSince(ctx context.Context, since time.Time, suffix string) (Charged, error) {
	const sql = `WITH n AS MATERIALIZED (SELECT charged FROM attempt WHERE at >= $1 LIMIT $3),
c AS (SELECT coalesce(sum(charged), 0)::bigint AS charged, count(*) AS calls FROM n)
SELECT CASE WHEN calls < $3 THEN charged ELSE greatest(charged, (SELECT coalesce(sum(settled), 0)::bigint FROM scope
    WHERE right(name, 14) = right($2, 14) AND name LIKE 'tenant:%' AND right(name, length($2)) = $2)) END, least(calls, $3 - 1), calls >= $3 FROM c`
	rows, err := collect(ctx, db, pgx.RowToStructByPos[Charged], sql, since, suffix, MostCounted+1)
	if err != nil {
		return Charged{}, fmt.Errorf("adding up what calls are charged: %w", err)
	}
	return rows[0], nil
}
