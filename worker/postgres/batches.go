package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"flowgate/worker"
)

// Batch is one run of a file of requests. Its requests have the ids <ID>-<line number>.
type Batch struct {
	ID     string `json:"id"`
	Tenant string `json:"tenant"`
	// Name and Digest name the file and its content.
	Name   string `json:"name"`
	Digest string `json:"digest"`
	// Run counts the runs of the same content from 1.
	Run       int       `json:"run"`
	Total     int       `json:"total"`
	CreatedAt time.Time `json:"created_at"`
	Path      string    `json:"path"`
}

// batchIDBytes is how much of a digest an id has that we make.
const batchIDBytes = 8

// RegisterBatch writes a batch down, so that submitting the same content twice continues its newest run. With again it
// begins a new run instead. An ID that is empty is made from tenant, name, digest and run. It returns the batch as it is
// stored and whether it was created.
func (db *DB) RegisterBatch(ctx context.Context, b Batch, again bool) (stored Batch, created bool, err error) {
	err = withRetries(ctx, func() error {
		return db.pool.with(ctx, func(ctx context.Context, conn *pgx.Conn) error {
			return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) (err error) {
				stored, created, err = registerBatch(ctx, tx, b, again)
				return err
			})
		})
	})
	if err != nil {
		return Batch{}, false, fmt.Errorf("registering the batch %s of %s: %w", b.Name, b.Tenant, err)
	}
	return stored, created, nil
}

const batchColumns = `id, tenant, name, digest, run, total, created_at, path`

func registerBatch(ctx context.Context, tx pgx.Tx, b Batch, again bool) (Batch, bool, error) {
	one := strings.Join([]string{b.Tenant, b.Name, b.Digest}, "\x01")
	if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || '.batch.' || $1, 0))", one); err != nil {
		return Batch{}, false, err
	}
	rows, err := tx.Query(ctx, "SELECT "+batchColumns+` FROM batch
WHERE tenant = $1 AND name = $2 AND digest = $3 ORDER BY run DESC LIMIT 1`, b.Tenant, b.Name, b.Digest)
	if err != nil {
		return Batch{}, false, err
	}
	newest, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Batch])
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return Batch{}, false, err
	}
	if err == nil && !again {
		return newest, false, nil
	}
	b.Run = newest.Run + 1
	if b.ID == "" {
		sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%d", one, b.Run))
		b.ID = hex.EncodeToString(sum[:batchIDBytes])
	}
	rows, err = tx.Query(ctx, `INSERT INTO batch (id, tenant, name, digest, run, total, path)
VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING `+batchColumns, b.ID, b.Tenant, b.Name, b.Digest, b.Run, b.Total, b.Path)
	if err != nil {
		return Batch{}, false, err
	}
	b, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Batch])
	return b, err == nil, err
}

// ListBatches lists the batches of a tenant (of all where it is empty), newest first.
func (db *DB) ListBatches(ctx context.Context, tenant string, limit int) ([]Batch, error) {
	rows, err := collect(ctx, db, pgx.RowToStructByName[Batch], "SELECT "+batchColumns+` FROM batch
WHERE $1 = '' OR tenant = $1 ORDER BY created_at DESC, id LIMIT $2`, tenant, limit)
	if err != nil {
		return nil, fmt.Errorf("listing batches: %w", err)
	}
	return rows, nil
}

// Batch reads one batch, or gives worker.ErrNotFound.
func (db *DB) Batch(ctx context.Context, tenant, id string) (Batch, error) {
	rows, err := collect(ctx, db, pgx.RowToStructByName[Batch], "SELECT "+batchColumns+` FROM batch
WHERE tenant = $1 AND id = $2`, tenant, id)
	if err == nil && len(rows) == 0 {
		err = worker.ErrNotFound
	}
	if err != nil {
		return Batch{}, fmt.Errorf("reading the batch %s: %w", id, err)
	}
	return rows[0], nil
}

// BatchCounts is how far a batch is, each request by its newest epoch.
type BatchCounts struct {
	// Admitted are the requests that layer 1 has decided on: those that wait, are on their way, and have ended.
	Admitted int `json:"admitted"`
	Waiting  int `json:"waiting"`
	Running  int `json:"running"`
	Ended    int `json:"ended"`
	// Statuses and Reasons count those that ended.
	Statuses map[string]int `json:"statuses"`
	Reasons  map[string]int `json:"reasons"`
	// CostMicroUSD is what all epochs have cost together.
	CostMicroUSD int64 `json:"cost_microusd"`
}

// In the order of bytes "." follows "-", so this is one range of the primary key.
const batchCountsSQL = `SELECT coalesce(outcome_status, ''), coalesce(outcome_reason, ''), state, count(*), sum(cost)
FROM (
    SELECT DISTINCT ON (id) id, outcome_status, outcome_reason, state,
           sum(coalesce(outcome_cost, 0)) OVER (PARTITION BY id) AS cost
    FROM admission
    WHERE tenant = $1 AND id >= $2 || '-' AND id < $2 || '.' AND substr(id, length($2) + 2) ~ '^[0-9]+$'
    ORDER BY id, epoch DESC
) newest
GROUP BY 1, 2, 3`

// BatchCounts counts the requests of a batch.
func (db *DB) BatchCounts(ctx context.Context, tenant, batchID string) (BatchCounts, error) {
	c := BatchCounts{Statuses: make(map[string]int), Reasons: make(map[string]int)}
	_, err := collect(ctx, db, func(row pgx.CollectableRow) (struct{}, error) {
		var status, reason, state string
		var n int
		var cost int64
		if err := row.Scan(&status, &reason, &state, &n, &cost); err != nil {
			return struct{}{}, err
		}
		c.add(status, reason, worker.AdmissionState(state), n)
		c.CostMicroUSD += cost
		return struct{}{}, nil
	}, batchCountsSQL, tenant, batchID)
	if err != nil {
		return BatchCounts{}, fmt.Errorf("counting the batch %s: %w", batchID, err)
	}
	return c, nil
}

func (c *BatchCounts) add(status, reason string, state worker.AdmissionState, n int) {
	c.Admitted += n
	switch {
	case status != "":
		c.Ended += n
		c.Statuses[status] += n
		c.Reasons[reason] += n
	case state == worker.AdmissionWaiting:
		c.Waiting += n
	default:
		c.Running += n
	}
}
