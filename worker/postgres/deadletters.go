package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"flowgate/messages"
	"flowgate/worker"
)

// DeadLetter is a failure that can be replayed, as it is listed.
type DeadLetter struct {
	Outcome

	// Bytes is the size of its envelope.
	Bytes int `json:"bytes"`
	// Replayed is true where a later epoch was admitted.
	Replayed bool `json:"replayed"`
}

// DeadLetterBody is a dead letter with its whole envelope.
type DeadLetterBody struct {
	Epoch    int       `json:"epoch"`
	StoredAt time.Time `json:"stored_at"`
	// Envelope is the envelope as it was published.
	Envelope []byte `json:"envelope"`
}

const deadLettersSQL = `SELECT * FROM (SELECT ` + outcomeColumns + `, octet_length(d.body) AS bytes, EXISTS (
    SELECT FROM admission a WHERE a.tenant = d.tenant AND a.id = d.id AND a.epoch > d.epoch) AS replayed
FROM dead_letter d JOIN outcome o ON o.tenant = d.tenant AND o.id = d.id AND o.epoch = d.epoch
    AND o.stored_at = d.stored_at) o`

// DeadLetters lists failures whose bodies are still there, newest first.
func (db *DB) DeadLetters(ctx context.Context, f Filter) ([]DeadLetter, error) {
	conditions, args := f.sql()
	rows, err := collect(ctx, db, pgx.RowToStructByName[DeadLetter], deadLettersSQL+conditions, args...)
	if err != nil {
		return nil, fmt.Errorf("listing dead letters: %w", err)
	}
	return rows, nil
}

// DeadLetter reads the dead letter of an epoch, or with epoch < 0 of the newest failed one. Without any it gives
// worker.ErrNotFound.
func (db *DB) DeadLetter(ctx context.Context, key messages.Key, epoch int) (DeadLetterBody, error) {
	var d DeadLetterBody
	err := db.pool.with(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, `SELECT epoch, stored_at, body FROM dead_letter
WHERE tenant = $1 AND id = $2 AND ($3 < 0 OR epoch = $3) ORDER BY epoch DESC LIMIT 1`, key.Tenant, key.ID, epoch).
			Scan(&d.Epoch, &d.StoredAt, &d.Envelope)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		err = worker.ErrNotFound
	}
	if err != nil {
		return DeadLetterBody{}, fmt.Errorf("reading the dead letter of %s: %w", key, err)
	}
	return d, nil
}

// NeedsBody tells whether a stored body of that epoch of a request can still be asked for: the epoch or a later one, which
// may have carried the body over, is open or has a dead letter.
func (db *DB) NeedsBody(ctx context.Context, key messages.Key, epoch int) (bool, error) {
	var needed bool
	err := db.pool.with(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, `SELECT
EXISTS (SELECT FROM admission WHERE tenant = $1 AND id = $2 AND epoch >= $3 AND outcome_at IS NULL) OR
EXISTS (SELECT FROM dead_letter WHERE tenant = $1 AND id = $2 AND epoch >= $3)`, key.Tenant, key.ID, epoch).Scan(&needed)
	})
	if err != nil {
		return false, fmt.Errorf("asking whether the body of %s is needed: %w", key, err)
	}
	return needed, nil
}
