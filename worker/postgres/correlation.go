package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"flowgate/messages"
	"flowgate/worker"
)

// MaxCorrelated is how many requests Correlated tells of.
const MaxCorrelated = 100

// What was there before stays: it was the first that told.
const correlationsSQL = `INSERT INTO correlation (tenant, correlation_id, id, epoch, seq, stored_at)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::integer[], $5::bigint[], $6::timestamptz[]) ON CONFLICT DO NOTHING`

// correlationArrays are the epochs of a batch that name a correlation id.
type correlationArrays struct {
	tenant, correlation, id []string

	epoch []int32
	seq   []int64
	at    []time.Time
}

func (a *correlationArrays) add(s *worker.Stored, c *messages.CorporateSection) {
	if c == nil || c.CorrelationID == "" {
		return
	}
	a.tenant, a.correlation, a.id = append(a.tenant, s.Tenant), append(a.correlation, clean(c.CorrelationID)), append(a.id, s.ID)
	a.epoch, a.seq, a.at = append(a.epoch, int32(s.Epoch)), append(a.seq, int64(s.Seq)), append(a.at, s.At) //nolint:gosec // small, a sequence
}

func (a *correlationArrays) args() []any {
	return []any{a.tenant, a.correlation, a.id, a.epoch, a.seq, a.at}
}

// Correlated are the requests that name a correlation id, in the order in which the record heard of them; at most MaxCorrelated, and how
// many there are.
func (db *DB) Correlated(ctx context.Context, tenant, correlation string) (keys []messages.Key, all int, err error) {
	type named struct {
		ID  string
		All int
	}
	rows, err := collect(ctx, db, pgx.RowToStructByPos[named], `SELECT id, count(*) OVER ()::integer FROM correlation
WHERE tenant = $1 AND correlation_id = $2 GROUP BY id ORDER BY min(stored_at), min(seq) LIMIT $3`, tenant, correlation, MaxCorrelated)
	if err != nil {
		return nil, 0, fmt.Errorf("reading what belongs to %s: %w", correlation, err)
	}
	for _, r := range rows {
		keys, all = append(keys, messages.Key{Tenant: tenant, ID: r.ID}), r.All
	}
	return keys, all, nil
}
