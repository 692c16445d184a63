package postgres

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"flowgate/messages"
)

// MaxExecutions bounds the rows of an ExecutionFilter.
const MaxExecutions = 10_000

// ExecutionFilter chooses executions of agreements; zero fields choose everything. The newest come first; Until of the next page is
// EndedAt of the last row of the one before.
type ExecutionFilter struct {
	Tenant, Trigger, User string
	Mode                  messages.ExecutionMode
	// Since and Until bound the time at which the execution ended: Since <= t < Until.
	Since, Until time.Time
	// Limit is the most rows, from 1 to MaxExecutions. 0: 100.
	Limit int
}

// Execution is a request for the action of an agreement that has ended, also one that was denied.
type Execution struct {
	Tenant string `json:"tenant"`
	ID     string `json:"id"`
	Epoch  int    `json:"epoch"`
	// Trigger is the agreement's, or what the request named where there is no such agreement; Version is empty there.
	Trigger string                 `json:"trigger"`
	Version string                 `json:"version,omitempty"`
	Action  string                 `json:"action,omitempty"`
	Mode    messages.ExecutionMode `json:"execution_mode"`
	// Because says why it is not real.
	Because string          `json:"because,omitempty"`
	Status  messages.Status `json:"status"`
	Reason  messages.Reason `json:"reason"`
	UserID  string          `json:"user_id"`
	// EndedAt is when its end was stored, Seconds how long the action took, AgeSeconds how old a fallback's result was.
	EndedAt    time.Time `json:"ended_at"`
	Seconds    float64   `json:"seconds"`
	Samples    int64     `json:"samples"`
	Confidence float64   `json:"confidence"`
	AgeSeconds float64   `json:"age_seconds,omitempty"`
}

// executionMode is the mode of outcome o, whose execution is x: messages.Project says the same of its result. No agreement of an
// outcome is one of a name that nobody has.
const (
	executionMode    = `coalesce(x.x ->> 'execution_mode', CASE WHEN o.status IN ('denied', 'rate_limited') THEN 'denied' ELSE 'failed' END)`
	executionTrigger = `o.sections -> 'corporate_llm' -> 'agreement' ->> 'trigger'`
	executionTold    = `coalesce(` + executionTrigger + `, o.sections -> 'corporate_llm' -> 'facts' ->> 'trigger', '')`
	executionsFrom   = ` FROM outcome o CROSS JOIN LATERAL (SELECT o.sections -> 'workflow_optimizer' -> 'execution' AS x) x WHERE o.kind = 'action'`
	executionsSQL    = `SELECT o.tenant, o.id, o.epoch, ` + executionTold + `,
    coalesce(x.x ->> 'version', o.sections -> 'corporate_llm' -> 'agreement' ->> 'version', ''), coalesce(x.x ->> 'action', ''), ` + executionMode + `,
    coalesce(x.x ->> 'because', CASE WHEN o.status IN ('success', 'partial') THEN '' ELSE o.reason END), o.status, o.reason, o.user_id, o.stored_at,
    coalesce((x.x ->> 'seconds')::float8, 0), coalesce((x.x ->> 'samples')::bigint, 0), coalesce((x.x ->> 'confidence')::float8, 0),
    coalesce((x.x ->> 'age_seconds')::float8, 0)` + executionsFrom
)

// sql gives the conditions on an execution, with the order and the limit.
func (f ExecutionFilter) sql() (string, []any) {
	var b strings.Builder
	var args []any
	add := func(condition string, arg any) {
		args = append(args, arg)
		fmt.Fprintf(&b, " AND "+condition, len(args))
	}
	for _, c := range []struct{ column, value string }{
		{"o.tenant", f.Tenant}, {executionTold, f.Trigger}, {"o.user_id", f.User}, {executionMode, string(f.Mode)},
	} {
		if c.value != "" {
			add(c.column+" = $%d", c.value)
		}
	}
	if !f.Since.IsZero() {
		add("o.stored_at >= $%d", f.Since)
	}
	if !f.Until.IsZero() {
		add("o.stored_at < $%d", f.Until)
	}
	limit := f.Limit
	if limit <= 0 {
		limit = defaultLimit
	}
	args = append(args, min(limit, MaxExecutions))
	fmt.Fprintf(&b, " ORDER BY o.stored_at DESC, o.seq DESC LIMIT $%d", len(args))
	return b.String(), args
}

// Executions lists executions of agreements, the newest first.
func (db *DB) Executions(ctx context.Context, f ExecutionFilter) ([]Execution, error) {
	conditions, args := f.sql()
	rows, err := collect(ctx, db, pgx.RowToStructByPos[Execution], executionsSQL+conditions, args...)
	if err != nil {
		return nil, fmt.Errorf("listing executions: %w", err)
	}
	return append([]Execution{}, rows...), nil
}

// ExecutionCount is how often an agreement was executed, by mode.
type ExecutionCount struct {
	// Trigger is the agreement's; empty counts those that named none that there is, which were denied.
	Trigger  string `json:"trigger"`
	Real     int64  `json:"real"`
	Fallback int64  `json:"fallback"`
	Failed   int64  `json:"failed"`
	Denied   int64  `json:"denied"`
	// Newest is when the last one ended.
	Newest time.Time `json:"newest"`
}

// All counts the executions of every mode.
func (c ExecutionCount) All() int64 { return c.Real + c.Fallback + c.Failed + c.Denied }

// ExecutionCounts counts the executions of each agreement that ended since a moment, in a tenant or, where it names none, in all, by
// trigger. It has no row of an agreement that was not executed.
func (db *DB) ExecutionCounts(ctx context.Context, tenant string, since time.Time) ([]ExecutionCount, error) {
	sql := `SELECT trigger, count(*) FILTER (WHERE mode = 'real'), count(*) FILTER (WHERE mode = 'fallback'), count(*) FILTER (WHERE mode = 'failed'),
    count(*) FILTER (WHERE mode = 'denied'), max(at) FROM (
    SELECT coalesce(` + executionTrigger + `, '') AS trigger, ` + executionMode + ` AS mode, o.stored_at AS at` + executionsFrom + ` AND o.stored_at >= $1`
	args := []any{since}
	if tenant != "" {
		sql, args = sql+" AND o.tenant = $2", append(args, tenant)
	}
	rows, err := collect(ctx, db, pgx.RowToStructByPos[ExecutionCount], sql+") e GROUP BY trigger ORDER BY trigger", args...)
	if err != nil {
		return nil, fmt.Errorf("counting executions: %w", err)
	}
	return append([]ExecutionCount{}, rows...), nil
}
