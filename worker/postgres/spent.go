package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// DaySpent is what one's requests of one day have cost.
type DaySpent struct {
	Tenant     string
	UserID     string
	Department string
	// Trigger is the agreement's; empty: there was none.
	Trigger string
	// Day is the day on which they were decided on, at midnight UTC.
	Day           time.Time
	SpentMicroUSD int64
}

// DaysSpent sums the recorded costs of a tenant between two times by who and day, in a time zone.
func (db *DB) DaysSpent(ctx context.Context, tenant string, since, until time.Time, zone string) ([]DaySpent, error) {
	const sql = `SELECT o.tenant, o.user_id, o.department, coalesce(o.sections -> 'corporate_llm' -> 'agreement' ->> 'trigger', '') AS trigger,
(coalesce((o.sections -> 'corporate_llm' ->> 'started_at')::timestamptz, o.stored_at) AT TIME ZONE $4)::date AS day, sum(o.cost_microusd)::bigint AS spent_micro_usd
FROM outcome o WHERE o.tenant = $1 AND o.stored_at >= $2 AND o.stored_at < $3 AND o.cost_microusd > 0 GROUP BY 1, 2, 3, 4, 5`
	rows, err := collect(ctx, db, pgx.RowToStructByPos[DaySpent], sql, tenant, since, until, zone)
	if err != nil {
		return nil, fmt.Errorf("adding up what was spent: %w", err)
	}
	return rows, nil
}
