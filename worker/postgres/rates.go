package postgres

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"flowgate/worker"
)

// counting are the rates that a member counts in; none where it asks for nothing yet.
func counting(m *worker.Member) []worker.Rate {
	if m.Refused != "" || !m.WaitUntil.IsZero() {
		return nil
	}
	return m.Rates
}

// rateRefs are the rates of a batch: each name once, sorted by bytes, and the references to them member by member.
type rateRefs struct {
	names  []string
	spans  []int64 // milliseconds
	tokens []int64
	refs   []int32
	rate   []int32 // from 1, as in SQL

	limitRequests, limitTokens []int64
	wait                       []bool
	reason                     []string
}

// rateArgs are the arguments of flowgate.admit about rates; nothing at all where no member has any.
func rateArgs(members []worker.Member) []any {
	spans := make(map[string]int64)
	for i := range members {
		for _, rate := range counting(&members[i]) {
			spans[rate.Name] = rate.Span.Milliseconds()
		}
	}
	if len(spans) == 0 {
		return make([]any, 9)
	}
	q := rateRefs{names: make([]string, 0, len(spans))}
	for name := range spans {
		q.names = append(q.names, name)
	}
	slices.Sort(q.names)
	for _, name := range q.names {
		q.spans = append(q.spans, spans[name])
	}
	for i := range members {
		q.add(&members[i])
	}
	return []any{q.names, q.spans, q.tokens, q.refs, q.rate, q.limitRequests, q.limitTokens, q.wait, q.reason}
}

// add refers to the rates of one member, of which each has a name of its own.
func (q *rateRefs) add(m *worker.Member) {
	for _, rate := range counting(m) {
		at, _ := slices.BinarySearch(q.names, rate.Name)
		q.rate = append(q.rate, int32(at+1)) //nolint:gosec // bounded by the batch
		q.limitRequests, q.limitTokens = append(q.limitRequests, rate.Requests), append(q.limitTokens, rate.Tokens)
		q.wait, q.reason = append(q.wait, rate.Wait), append(q.reason, string(rate.Reason))
	}
	q.tokens = append(q.tokens, m.Tokens)
	q.refs = append(q.refs, int32(len(q.rate))) //nolint:gosec // bounded by the batch
}

// Counted is what a limit has counted: in the window that Index numbers, and in the one before it.
type Counted struct {
	Name                     string
	Span                     time.Duration
	Index                    int64
	Requests, RequestsBefore int64
	Tokens, TokensBefore     int64
	// Waiting is how many requests wait for it, at most a hundred thousand.
	Waiting int64
}

// Counted lists what limits whose names begin with one of prefixes have counted, by name, at most limit, and the ledger's time.
func (db *DB) Counted(ctx context.Context, prefixes []string, limit int) (counted []Counted, now time.Time, err error) {
	const sql = `SELECT r.name, r.span, r.win, r.requests, r.requests_before, r.tokens, r.tokens_before,
(SELECT count(*) FROM (SELECT FROM waiter w WHERE w.scope_id = -r.id LIMIT 100000) c),
to_timestamp(rate_now() / 1000.0)
FROM rate r WHERE EXISTS (SELECT FROM unnest($1::text[]) p WHERE starts_with(r.name, p)) ORDER BY r.name LIMIT $2`
	now, err = db.rateNow(ctx)
	if err != nil {
		return nil, now, err
	}
	counted, err = collect(ctx, db, func(row pgx.CollectableRow) (Counted, error) {
		var c Counted
		var span int64
		err := row.Scan(&c.Name, &span, &c.Index, &c.Requests, &c.RequestsBefore, &c.Tokens, &c.TokensBefore, &c.Waiting, &now)
		c.Span = time.Duration(span) * time.Millisecond
		return c, err
	}, sql, prefixes, limit)
	if err != nil {
		return nil, now, fmt.Errorf("asking what limits have counted: %w", err)
	}
	return counted, now, nil
}

func (db *DB) rateNow(ctx context.Context) (time.Time, error) {
	rows, err := collect(ctx, db, pgx.RowTo[time.Time], "SELECT to_timestamp(rate_now() / 1000.0)")
	if err != nil {
		return time.Time{}, fmt.Errorf("reading the ledger's clock: %w", err)
	}
	return rows[0], nil
}

// forgetRates is how many limits one statement forgets at most, forgetRounds how many statements one sweep has.
const (
	forgetRates  = 10_000
	forgetRounds = 200
)

// ForgetRates removes what limits have counted in windows that count no more, and tells how much that was. What somebody waits for
// stays.
func (db *DB) ForgetRates(ctx context.Context) (forgot int64, err error) {
	for range forgetRounds {
		tag, err := db.exec(ctx, `DELETE FROM rate WHERE id IN (
SELECT r.id FROM rate r WHERE r.win < rate_now() / r.span - 1 AND NOT EXISTS (SELECT FROM waiter w WHERE w.scope_id = -r.id)
LIMIT $1 FOR UPDATE SKIP LOCKED)`, forgetRates)
		if err != nil {
			return forgot, fmt.Errorf("forgetting old windows of limits: %w", err)
		}
		forgot += tag.RowsAffected()
		if tag.RowsAffected() < forgetRates {
			break
		}
	}
	return forgot, nil
}
