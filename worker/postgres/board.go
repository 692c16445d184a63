package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// LetterCount counts dead letters whose bodies are still there.
type LetterCount struct {
	All int64 `json:"all"`
	// Open are those that were not replayed.
	Open int64 `json:"open"`
}

// CountDeadLetters counts the dead letters of all tenants.
func (db *DB) CountDeadLetters(ctx context.Context) (LetterCount, error) {
	const sql = `SELECT count(*), count(*) FILTER (WHERE NOT EXISTS (
    SELECT FROM admission a WHERE a.tenant = d.tenant AND a.id = d.id AND a.epoch > d.epoch)) FROM dead_letter d`
	rows, err := collect(ctx, db, pgx.RowToStructByPos[LetterCount], sql)
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
}

// ChargedSince adds up the calls of all tenants that began since a moment.
func (db *DB) ChargedSince(ctx context.Context, since time.Time) (Charged, error) {
	rows, err := collect(ctx, db, pgx.RowToStructByPos[Charged], `SELECT coalesce(sum(charged), 0)::bigint, count(*) FROM attempt WHERE at >= $1`, since)
	if err != nil {
		return Charged{}, fmt.Errorf("adding up what calls are charged: %w", err)
	}
	return rows[0], nil
}
