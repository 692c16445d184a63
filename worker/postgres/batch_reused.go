package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// BatchReuse counts the answers of a batch that no call of their request brought, each request by its newest outcome.
type BatchReuse struct {
	// Calls are the calls of backends that are on record, of all epochs.
	Calls int `json:"calls"`
	// Reused is by where they came from: memory, disk, shared or request.
	Reused map[string]int `json:"reused"`
	// SavedMicroUSD and SavedSeconds are what the calls had cost that were not made again.
	SavedMicroUSD int64   `json:"saved_microusd"`
	SavedSeconds  float64 `json:"saved_seconds"`
}

const (
	batchReusedSQL = `SELECT coalesce(r ->> 'from', ''), count(*), coalesce(sum((r ->> 'saved_microusd')::bigint), 0)::bigint,
coalesce(sum((r ->> 'saved_seconds')::float8), 0)
FROM (
    SELECT DISTINCT ON (id) id, sections -> 'ai_processing' -> 'reused' AS r
    FROM outcome
    WHERE tenant = $1 AND id >= $2 || '-' AND id < $2 || '.' AND substr(id, length($2) + 2) ~ '^[0-9]+$'
    ORDER BY id, epoch DESC
) newest
WHERE json_typeof(r) = 'object' GROUP BY 1`
	batchCallsSQL = `SELECT count(*) FROM attempt
WHERE tenant = $1 AND id >= $2 || '-' AND id < $2 || '.' AND substr(id, length($2) + 2) ~ '^[0-9]+$'`
)

// BatchReuse reads the outcomes of a batch, which takes its time where it is large.
func (db *DB) BatchReuse(ctx context.Context, tenant, batchID string) (BatchReuse, error) {
	reuse := BatchReuse{Reused: make(map[string]int)}
	_, err := collect(ctx, db, func(row pgx.CollectableRow) (struct{}, error) {
		var from string
		var n int
		var micro int64
		var seconds float64
		if err := row.Scan(&from, &n, &micro, &seconds); err != nil {
			return struct{}{}, err
		}
		reuse.Reused[from] += n
		reuse.SavedMicroUSD += micro
		reuse.SavedSeconds += seconds
		return struct{}{}, nil
	}, batchReusedSQL, tenant, batchID)
	if err == nil {
		var calls []int
		if calls, err = collect(ctx, db, pgx.RowTo[int], batchCallsSQL, tenant, batchID); err == nil {
			reuse.Calls = calls[0]
		}
	}
	if err != nil {
		return BatchReuse{}, fmt.Errorf("counting what the batch %s reused: %w", batchID, err)
	}
	return reuse, nil
}
