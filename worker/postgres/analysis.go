package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"flowgate/messages"
	"flowgate/worker"
)

// CostGroup is what the requests of a group cost in a window.
type CostGroup struct {
	// By is model, user, department, day or all; Name is whose: a day as 2006-01-02.
	By, Name string
	// Requests were charged or answered; Answered are those with an answer, Failed those that layer 2 found none for, charged or not.
	Requests, Answered, Failed int64
	CostMicroUSD               int64
	// Mean and Spread (the standard deviation) are of what one cost, in micro-dollars.
	Mean, Spread float64
	// Usage sums the tokens of the answers that were paid for.
	Usage messages.Usage
	// ReusedRequests were answered by the cache or another's call, which saved SavedMicroUSD.
	ReusedRequests, SavedMicroUSD int64
}

// mostGroups bounds the groups that are read of each kind, the dearest first.
const mostGroups = 200

// CostGroups sums what a tenant's requests have cost that ended in a window, by model, user, department and day of a time zone, and
// all together, the dearest first.
func (db *DB) CostGroups(ctx context.Context, tenant string, since, until time.Time, zone string) ([]CostGroup, error) {
	const sql = `WITH ended AS (
    SELECT o.model, o.user_id, o.department, (o.stored_at AT TIME ZONE $4)::date::text AS day, o.cost_microusd AS cost,
        o.status IN ('success', 'partial') AS answered, o.status = 'failure' AND o.layer = $6 AS failed,
        o.sections -> 'ai_processing' -> 'usage' AS u, o.sections -> 'ai_processing' -> 'reused' AS r
    FROM outcome o WHERE o.tenant = $1 AND o.stored_at >= $2 AND o.stored_at < $3 AND o.kind IN ('prompt', 'embedding')
        AND (o.cost_microusd > 0 OR o.status IN ('success', 'partial') OR o.status = 'failure' AND o.layer = $6)
), o AS (
    SELECT *, answered OR cost > 0 AS counts FROM ended
), g AS (
    SELECT CASE WHEN GROUPING(model) = 0 THEN 'model' WHEN GROUPING(user_id) = 0 THEN 'user' WHEN GROUPING(department) = 0 THEN 'department'
            WHEN GROUPING(day) = 0 THEN 'day' ELSE 'all' END AS kind,
        coalesce(model, user_id, department, day, '') AS name,
        count(*) FILTER (WHERE counts) AS requests, count(*) FILTER (WHERE answered) AS answered, count(*) FILTER (WHERE failed) AS failed,
        sum(cost)::bigint AS cost, avg(cost) FILTER (WHERE counts)::float8 AS mean,
        coalesce(stddev_samp(cost) FILTER (WHERE counts), 0)::float8 AS spread,
        coalesce(sum((u ->> 'input_uncached')::bigint) FILTER (WHERE r IS NULL), 0)::bigint AS input_uncached,
        coalesce(sum((u ->> 'input_cache_read')::bigint) FILTER (WHERE r IS NULL), 0)::bigint AS cache_read,
        coalesce(sum((u ->> 'input_cache_write_5m')::bigint) FILTER (WHERE r IS NULL), 0)::bigint AS write_5m,
        coalesce(sum((u ->> 'input_cache_write_1h')::bigint) FILTER (WHERE r IS NULL), 0)::bigint AS write_1h,
        coalesce(sum((u ->> 'output')::bigint) FILTER (WHERE r IS NULL), 0)::bigint AS output,
        count(r) AS reused, coalesce(sum((r ->> 'saved_microusd')::bigint), 0)::bigint AS saved
    FROM o GROUP BY GROUPING SETS ((model), (user_id), (department), (day), ())
), n AS (SELECT g.*, row_number() OVER (PARTITION BY kind ORDER BY cost DESC, name) AS place FROM g)
SELECT kind, name, requests, answered, failed, cost, mean, spread, input_uncached, cache_read, write_5m, write_1h, output, reused, saved
FROM n WHERE place <= $5 ORDER BY kind, place`
	all, err := collect(ctx, db, func(row pgx.CollectableRow) (g CostGroup, err error) {
		var cost *int64
		var mean *float64
		u := &g.Usage
		err = row.Scan(&g.By, &g.Name, &g.Requests, &g.Answered, &g.Failed, &cost, &mean, &g.Spread, &u.InputUncached, &u.InputCacheRead,
			&u.InputCacheWrite5m, &u.InputCacheWrite1h, &u.Output, &g.ReusedRequests, &g.SavedMicroUSD)
		if cost != nil && mean != nil {
			g.CostMicroUSD, g.Mean = *cost, *mean
		}
		return g, err
	}, sql, tenant, since, until, zone, mostGroups, messages.LayerAI)
	if err != nil {
		return nil, fmt.Errorf("adding up costs: %w", err)
	}
	return all, nil
}

// UsageGroup are answers of one model that used the same.
type UsageGroup struct {
	Model    string
	Usage    messages.Usage
	Requests int64
}

// mostUsages bounds the groups of usages that are read, the most frequent first.
const mostUsages = 50_000

// Usages are what a tenant's answers that were paid for used in a window, so that each can be priced on its own.
func (db *DB) Usages(ctx context.Context, tenant string, since, until time.Time) ([]UsageGroup, error) {
	const sql = `SELECT o.model, (o.sections -> 'ai_processing' -> 'usage')::jsonb AS u, count(*) FROM outcome o
WHERE o.tenant = $1 AND o.stored_at >= $2 AND o.stored_at < $3 AND o.kind IN ('prompt', 'embedding') AND o.model <> ''
    AND (o.cost_microusd > 0 OR o.status IN ('success', 'partial')) AND o.sections -> 'ai_processing' -> 'reused' IS NULL
    AND o.sections -> 'ai_processing' -> 'usage' IS NOT NULL
GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2 LIMIT $4`
	all, err := collect(ctx, db, pgx.RowToStructByPos[UsageGroup], sql, tenant, since, until, mostUsages)
	if err != nil {
		return nil, fmt.Errorf("adding up usages: %w", err)
	}
	return all, nil
}

// Repeated is what identical requests cost that were paid for again, in micro-dollars.
type Repeated struct {
	// Requests are those beyond the first of each kind.
	Requests     int64
	CostMicroUSD int64
}

// PaidAgain sums what a cache would have saved in a window: of documents that are the same to the last byte and were answered by the
// same model, all but the dearest.
func (db *DB) PaidAgain(ctx context.Context, tenant string, since, until time.Time) (Repeated, error) {
	const sql = `SELECT coalesce(sum(n - 1), 0)::bigint AS requests, coalesce(sum(cost - most), 0)::bigint AS cost_micro_usd FROM (
    SELECT count(*) AS n, sum(o.cost_microusd) AS cost, max(o.cost_microusd) AS most FROM outcome o JOIN intent i USING (tenant, id, epoch)
    WHERE o.tenant = $1 AND o.stored_at >= $2 AND o.stored_at < $3 AND o.cost_microusd > 0 AND o.status = 'success'
    GROUP BY i.request_sha256, o.model HAVING count(*) > 1) same`
	rows, err := collect(ctx, db, pgx.RowToStructByPos[Repeated], sql, tenant, since, until)
	if err != nil || len(rows) != 1 {
		return Repeated{}, fmt.Errorf("adding up what was paid again (%d rows): %w", len(rows), err)
	}
	return rows[0], nil
}

// FaultGroup is how often one thing went wrong in a window.
type FaultGroup struct {
	// Class is the class of a failed attempt, or empty; Status, Reason and Layer are those of an outcome that was none.
	Class, Status, Reason, Layer string
	Backend, Model               string
	// Count is of the window, Earlier of its first half. Replayable are dead letters.
	Count, Earlier, Replayable int64
	// ChargedMicroUSD is what they cost all the same; Last is when it was seen last.
	ChargedMicroUSD int64
	Last            time.Time
	// Retried are calls within attempts that went on after them; the others of a class are attempts.
	Retried bool
}

// Faults counts in a tenant's window the attempts that failed and the calls that attempts went on after, by class, backend and model, and the outcomes that were no success, by
// layer, reason and backend, the most frequent first. attempts and outcomes are how many there were of both, good ones too.
func (db *DB) Faults(ctx context.Context, tenant string, since, until time.Time) (groups []FaultGroup, attempts, outcomes int64, err error) {
	const attemptsSQL = `SELECT a.class, '', '', '', a.backend, a.model, count(*), count(*) FILTER (WHERE a.at < $2::timestamptz + ($3::timestamptz - $2::timestamptz) / 2), 0::bigint,
    sum(a.charged)::bigint, max(a.at), false FROM attempt a WHERE a.tenant = $1 AND a.at >= $2 AND a.at < $3 AND a.class <> '' GROUP BY 1, 5, 6
ORDER BY 7 DESC, 1, 5, 6 LIMIT $4`
	const outcomesSQL = `SELECT '', o.status, o.reason, o.layer, o.backend, '', count(*), count(*) FILTER (WHERE o.stored_at < $2::timestamptz + ($3::timestamptz - $2::timestamptz) / 2),
    count(*) FILTER (WHERE o.replayable), sum(o.cost_microusd)::bigint, max(o.stored_at), false
FROM outcome o WHERE o.tenant = $1 AND o.stored_at >= $2 AND o.stored_at < $3 AND o.status <> 'success' GROUP BY 2, 3, 4, 5
ORDER BY 7 DESC, 4, 3, 5 LIMIT $4`
	const retriedSQL = `SELECT r.key, '', '', '', h ->> 'backend', coalesce(h ->> 'model', ''), sum(r.value::bigint)::bigint,
    coalesce(sum(r.value::bigint) FILTER (WHERE o.stored_at < $2::timestamptz + ($3::timestamptz - $2::timestamptz) / 2), 0)::bigint, 0::bigint, 0::bigint, max(o.stored_at), true
FROM outcome o, json_array_elements(o.sections -> 'history') h, json_each_text(h -> 'retried') r
WHERE o.tenant = $1 AND o.stored_at >= $2 AND o.stored_at < $3 GROUP BY 1, 5, 6 ORDER BY 7 DESC, 1, 5, 6 LIMIT $4`
	for _, sql := range []string{attemptsSQL, retriedSQL, outcomesSQL} {
		some, err := collect(ctx, db, pgx.RowToStructByPos[FaultGroup], sql, tenant, since, until, mostGroups)
		if err != nil {
			return nil, 0, 0, fmt.Errorf("counting faults: %w", err)
		}
		groups = append(groups, some...)
	}
	totals, err := collect(ctx, db, pgx.RowTo[int64], `SELECT count(*) FROM attempt WHERE tenant = $1 AND at >= $2 AND at < $3
UNION ALL SELECT count(*) FROM outcome WHERE tenant = $1 AND stored_at >= $2 AND stored_at < $3`, tenant, since, until)
	if err != nil || len(totals) != 2 {
		return nil, 0, 0, fmt.Errorf("counting attempts and outcomes (%d rows): %w", len(totals), err)
	}
	return groups, totals[0], totals[1], nil
}

// NewestExecution is the newest real execution of an agreement's action, with parameters of that digest, in a tenant since a moment, or
// worker.ErrNotFound. One whose document is kept no longer is none, and no older one is kept longer.
func (db *DB) NewestExecution(ctx context.Context, tenant, trigger, action, parameters string, since time.Time) (x messages.Execution, err error) {
	const sql = `SELECT o.sections -> 'workflow_optimizer' -> 'execution', coalesce(c.answer, '')
FROM outcome o LEFT JOIN content c ON c.tenant = o.tenant AND c.id = o.id AND c.epoch = o.epoch
WHERE o.tenant = $1 AND o.kind = 'action' AND o.stored_at > $5 AND o.sections -> 'corporate_llm' -> 'agreement' ->> 'trigger' = $2
    AND o.sections -> 'workflow_optimizer' -> 'execution' ->> 'execution_mode' = 'real'
    AND o.sections -> 'workflow_optimizer' -> 'execution' ->> 'action' = $3
    AND coalesce(o.sections -> 'workflow_optimizer' -> 'execution' ->> 'parameters_digest', '') = $4
ORDER BY o.stored_at DESC LIMIT 1`
	type measured struct {
		Execution []byte
		Document  string
	}
	rows, err := collect(ctx, db, pgx.RowToStructByPos[measured], sql, tenant, trigger, action, parameters, since)
	switch {
	case err != nil:
		return x, fmt.Errorf("reading what was measured before: %w", err)
	case len(rows) == 0:
		return x, worker.ErrNotFound
	}
	if err := json.Unmarshal(rows[0].Execution, &x); err != nil {
		return x, errors.Join(worker.ErrNotFound, err)
	}
	if x.Apart() {
		if rows[0].Document == "" {
			return messages.Execution{}, worker.ErrNotFound
		}
		x.Result = json.RawMessage(rows[0].Document)
	}
	return x, nil
}
