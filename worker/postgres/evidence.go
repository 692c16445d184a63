package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Evidence is what a drill compares with what it has seen elsewhere: the whole record of a tenant in counts, and each call.
type Evidence struct {
	Admissions  int `json:"admissions"`
	Open        int `json:"open"`
	Intents     int `json:"intents"`
	DeadLetters int `json:"dead_letters"`
	// Scopes are all of the deployment, not of the tenant alone.
	Scopes []ScopeBalance `json:"scopes"`
	Calls  []CallEvidence `json:"calls"`
}

// ScopeBalance is how a scope of money stands, in micro-dollars.
type ScopeBalance struct {
	Name     string `json:"name"`
	Settled  int64  `json:"settled"`
	Reserved int64  `json:"reserved"`
}

// CallEvidence is a recorded attempt. Doubt tells that it was given up as in doubt, also where its cost became known later.
type CallEvidence struct {
	ID    string `json:"id"`
	Epoch int    `json:"epoch"`
	K     int    `json:"k"`
	Doubt bool   `json:"doubt"`
}

// Evidence reads all of it in one snapshot: a report, no routine.
func (db *DB) Evidence(ctx context.Context, tenant string) (e Evidence, err error) {
	err = db.snapshot(ctx, func(tx pgx.Tx) error {
		row := tx.QueryRow(ctx, `SELECT count(*), count(*) FILTER (WHERE outcome_at IS NULL),
(SELECT count(*) FROM intent WHERE tenant = $1), (SELECT count(*) FROM dead_letter WHERE tenant = $1)
FROM admission WHERE tenant = $1`, tenant)
		if err := row.Scan(&e.Admissions, &e.Open, &e.Intents, &e.DeadLetters); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, "SELECT name, settled, reserved FROM scope ORDER BY name")
		if err != nil {
			return err
		}
		if e.Scopes, err = pgx.CollectRows(rows, pgx.RowToStructByName[ScopeBalance]); err != nil {
			return err
		}
		rows, err = tx.Query(ctx, `SELECT id, epoch, k, doubt IS NOT NULL AS doubt
FROM attempt WHERE tenant = $1 ORDER BY id, epoch, k`, tenant)
		if err != nil {
			return err
		}
		e.Calls, err = pgx.CollectRows(rows, pgx.RowToStructByName[CallEvidence])
		return err
	})
	if err != nil {
		return Evidence{}, fmt.Errorf("reading the evidence of tenant %s: %w", tenant, err)
	}
	return e, nil
}
