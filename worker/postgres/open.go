package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"flowgate/messages"
)

// OpenAdmission is an epoch that was admitted and has not ended.
type OpenAdmission struct {
	messages.Address

	IngressSeq uint64
	State      string
}

// OpenAdmissions lists epochs that were decided before a time and have not ended, oldest first, at most limit.
func (db *DB) OpenAdmissions(ctx context.Context, before time.Time, limit int) ([]OpenAdmission, error) {
	const sql = `SELECT tenant, id, epoch, class, p, ingress_seq, state FROM admission
WHERE outcome_at IS NULL AND decided_at < $1 ORDER BY decided_at LIMIT $2`
	rows, err := collect(ctx, db, func(row pgx.CollectableRow) (a OpenAdmission, err error) {
		var seq int64
		err = row.Scan(&a.Tenant, &a.ID, &a.Epoch, &a.Class, &a.P, &seq, &a.State)
		a.IngressSeq = uint64(seq) //nolint:gosec // sequences fit
		a.Replay = a.Epoch > 0
		return a, err
	}, sql, before, limit)
	if err != nil {
		return nil, fmt.Errorf("listing open admissions: %w", err)
	}
	return rows, nil
}

// LayerTime is how long requests stood in a layer's hands, in milliseconds.
type LayerTime struct {
	Layer    string  `json:"layer"`
	Requests int64   `json:"requests"`
	P50      float64 `json:"p50_ms"`
	P95      float64 `json:"p95_ms"`
}

// LayerTimes measures the layers over all recorded outcomes of a tenant, in the order of the chain.
func (db *DB) LayerTimes(ctx context.Context, tenant string) ([]LayerTime, error) {
	const sql = `SELECT layer, count(*),
1000 * percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM finished_at - started_at)),
1000 * percentile_cont(0.95) WITHIN GROUP (ORDER BY extract(epoch FROM finished_at - started_at))
FROM outcome_layer WHERE tenant = $1 AND verdict <> 'carried_over' GROUP BY layer
ORDER BY array_position(ARRAY['corporate_llm', 'ai_processing', 'workflow_optimizer'], layer)`
	rows, err := collect(ctx, db, pgx.RowToStructByPos[LayerTime], sql, tenant)
	if err != nil {
		return nil, fmt.Errorf("measuring the layers: %w", err)
	}
	return rows, nil
}

// CountOutcomes counts the recorded outcomes of a tenant.
func (db *DB) CountOutcomes(ctx context.Context, tenant string) (n uint64, err error) {
	rows, err := collect(ctx, db, pgx.RowTo[int64], "SELECT count(*) FROM outcome WHERE tenant = $1", tenant)
	if err != nil {
		return 0, fmt.Errorf("counting outcomes: %w", err)
	}
	return uint64(rows[0]), nil //nolint:gosec // a count is not negative
}

// CountEvents counts the recorded events of a kind.
func (db *DB) CountEvents(ctx context.Context, tenant, kind string) (n uint64, err error) {
	rows, err := collect(ctx, db, pgx.RowTo[int64], "SELECT count(*) FROM event WHERE tenant = $1 AND kind = $2", tenant, kind)
	if err != nil {
		return 0, fmt.Errorf("counting events: %w", err)
	}
	return uint64(rows[0]), nil //nolint:gosec // a count is not negative
}
