package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Kept is a kind of what is kept for deciding again.
type Kept string

// The kinds: the settings of layer 1 (prices and agreements with them), and the bundle of a policy's rules.
const (
	KeptSettings Kept = "settings"
	KeptPolicy   Kept = "policy"
	// KeptAgreement are the terms of an agreement.
	KeptAgreement Kept = "agreement"
)

// KeepSettings keeps what decides from now on, by its version. What is kept already stays as it is.
func (db *DB) KeepSettings(ctx context.Context, kind Kept, version string, body []byte) error {
	const sql = `INSERT INTO decision_settings (kind, version, body)
SELECT $1::text, $2::text, $3::text::json WHERE NOT EXISTS (SELECT FROM decision_settings WHERE kind = $1 AND version = $2) ON CONFLICT DO NOTHING`
	if _, err := db.exec(ctx, sql, string(kind), version, string(body)); err != nil {
		return fmt.Errorf("keeping the %s of version %s: %w", kind, version, err)
	}
	return nil
}

// Settings are the bodies that are kept, by version.
func (db *DB) Settings(ctx context.Context, kind Kept) (map[string][]byte, error) {
	bodies := make(map[string][]byte)
	_, err := collect(ctx, db, func(row pgx.CollectableRow) (version string, err error) {
		var body string
		err = row.Scan(&version, &body)
		bodies[version] = []byte(body)
		return version, err
	}, `SELECT version, body::text FROM decision_settings WHERE kind = $1`, string(kind))
	if err != nil {
		return nil, fmt.Errorf("reading the %s that decided: %w", kind, err)
	}
	return bodies, nil
}
