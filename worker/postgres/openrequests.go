package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// OpenRequest is an epoch that was admitted and has not ended, as far as the record knows.
type OpenRequest struct {
	Tenant     string    `json:"tenant"`
	ID         string    `json:"id"`
	Epoch      int       `json:"epoch"`
	Class      string    `json:"class"`
	State      string    `json:"state"`
	Reason     string    `json:"waits_for,omitempty"`
	UserID     string    `json:"user_id,omitempty"`
	Department string    `json:"department,omitempty"`
	Model      string    `json:"model,omitempty"`
	AdmittedAt time.Time `json:"admitted_at"`
}

// What waits has no intent: its user, department and model stand in the decision that it waits with.
const openSQL = `SELECT * FROM (
SELECT a.tenant, a.id, a.epoch, a.class, a.state, CASE WHEN a.state = 'waiting' THEN a.reason ELSE '' END AS reason, a.admitted_at,
       coalesce(i.user_id, d.section ->> 'user_id', '') AS user_id, coalesce(i.department, d.section ->> 'department', '') AS department,
       coalesce(i.model, d.section ->> 'model', '') AS model
FROM admission a
LEFT JOIN intent i ON i.tenant = a.tenant AND i.id = a.id AND i.epoch = a.epoch
LEFT JOIN LATERAL (
    SELECT convert_from(p.decision, 'UTF8')::json -> 'section' AS section FROM admission_pending p
    WHERE i.epoch IS NULL AND substr(p.decision, 1, 1) = '{' AND p.decided_at = a.decided_at AND p.tenant = a.tenant AND p.id = a.id AND p.epoch = a.epoch LIMIT 1
) d ON true
WHERE a.tenant = $1 AND a.outcome_at IS NULL AND a.state <> 'refused') r WHERE true`

// In the order of bytes "." follows "-", so this is one range of the primary key.
const openBatchSQL = ` AND r.id >= $2 || '-' AND r.id < $2 || '.' AND substr(r.id, length($2) + 2) ~ '^[0-9]+$'`

// OpenRequests lists the open requests of a tenant that fit, oldest first.
func (db *DB) OpenRequests(ctx context.Context, tenant string, where Where, limit int) ([]OpenRequest, error) {
	conditions, args := where.sql(3)
	return db.open(ctx, conditions+" ORDER BY r.admitted_at, r.id LIMIT $2", append([]any{tenant, limit}, args...))
}

// OpenInBatch lists the open requests of a batch, oldest first.
func (db *DB) OpenInBatch(ctx context.Context, tenant, batchID string, limit int) ([]OpenRequest, error) {
	return db.open(ctx, openBatchSQL+" ORDER BY r.admitted_at, r.id LIMIT $3", []any{tenant, batchID, limit})
}

func (db *DB) open(ctx context.Context, conditions string, args []any) ([]OpenRequest, error) {
	rows, err := collect(ctx, db, pgx.RowToStructByName[OpenRequest], openSQL+conditions, args...)
	if err != nil {
		return nil, fmt.Errorf("listing open requests: %w", err)
	}
	return rows, nil
}
