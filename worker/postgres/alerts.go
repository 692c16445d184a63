package postgres

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"flowgate/messages"
	"flowgate/worker"
)

// Spending lists what is taken of the bounds in one window of the calendar (its suffix, such as :day:2026-01-31), by name, from
// the one after a name on, at most limit.
func (db *DB) Spending(ctx context.Context, suffix, after string, limit int) ([]Spent, error) {
	const sql = `SELECT name, settled, reserved FROM scope
WHERE right(name, 14) = right($1, 14) AND name > $2 AND right(name, length($1)) = $1 ORDER BY name LIMIT $3`
	found, err := collect(ctx, db, pgx.RowToStructByPos[Spent], sql, suffix, after, limit)
	if err != nil {
		return nil, fmt.Errorf("asking what is spent: %w", err)
	}
	return found, nil
}

// Alert is a mark that a budget has passed, as the record has it.
type Alert struct {
	Scope string
	// Mark is in percent of Limit, which is in micro-dollars.
	Mark  float64
	Limit int64
	At    time.Time
}

// Alerts lists the marks that budgets have passed in one window of the calendar, at most limit.
func (db *DB) Alerts(ctx context.Context, suffix string, limit int) ([]Alert, error) {
	const sql = `SELECT scope, mark, limit_microusd, at FROM budget_alert
WHERE right(scope, 14) = right($1, 14) AND right(scope, length($1)) = $1 ORDER BY scope, mark, at LIMIT $2`
	return db.alerts(ctx, sql, suffix, limit)
}

// AlertsOf lists the marks that some scopes of money have passed.
func (db *DB) AlertsOf(ctx context.Context, scopes []string) ([]Alert, error) {
	return db.alerts(ctx, `SELECT scope, mark, limit_microusd, at FROM budget_alert WHERE scope = ANY ($1) ORDER BY scope, mark, at`, scopes)
}

func (db *DB) alerts(ctx context.Context, sql string, args ...any) ([]Alert, error) {
	found, err := collect(ctx, db, pgx.RowToStructByPos[Alert], sql, args...)
	if err != nil {
		return nil, fmt.Errorf("asking for alerts of budgets: %w", err)
	}
	return found, nil
}

const alertsSQL = `SELECT record_alerts($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)`

// alertArrays are the parameters of flowgate.record_alerts.
type alertArrays struct {
	eventArrays

	scope        []string
	mark         []float64
	limit, spent []int64
}

// isAlert tells an event that is recorded once for what it says, not once for each time that it was published.
func isAlert(e *worker.EventRecord) bool {
	return e.Kind == messages.EventBudgetAlert && e.Alert != nil && e.Alert.Scope != "" && !math.IsNaN(e.Alert.Mark)
}

func (a *alertArrays) add(e *worker.EventRecord) {
	a.eventArrays.add(e)
	a.scope, a.mark = append(a.scope, clean(e.Alert.Scope)), append(a.mark, e.Alert.Mark)
	a.limit, a.spent = append(a.limit, e.Alert.Limit), append(a.spent, e.Alert.Spent)
}

func (a *alertArrays) args(stream string) []any {
	return append(a.eventArrays.args(stream), a.scope, a.mark, a.limit, a.spent)
}
