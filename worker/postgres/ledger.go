package postgres

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"flowgate/messages"
	"flowgate/worker"
)

const admitSQL = `SELECT outcome, state, reason, p, intent_seq, decision, blocked, retry_at
FROM admit($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19,
$20, $21, $22, $23, $24, $25, $26, $27, $28)`

// Admit implements worker.Ledger. A batch that keeps meeting conflicts, or that the server objects to, is halved until the
// members that are the trouble stand alone.
func (db *DB) Admit(ctx context.Context, members []worker.Member) ([]worker.Grant, error) {
	if len(members) == 0 {
		return nil, nil
	}
	grants := make([]worker.Grant, len(members))
	done, err := db.admit(ctx, members, grants)
	if err != nil && !done {
		return nil, fmt.Errorf("admitting %d members: %w", len(members), err)
	}
	return grants, nil
}

// admit fills grants. It tells whether anything became durable; an error that comes after that stands in the grants of the
// members that it hit.
func (db *DB) admit(ctx context.Context, members []worker.Member, grants []worker.Grant) (durable bool, err error) {
	err = withRetries(ctx, func() error { return db.admitOnce(ctx, members, grants) })
	switch {
	case err == nil:
		return true, nil
	case !conflict(err) && !blamesInput(err):
		return false, err
	case len(members) == 1:
		grants[0] = worker.Grant{Err: fmt.Errorf("admitting %s: %w", members[0].Key, err)}
		return true, nil
	}
	half := len(members) / 2
	first, err := db.admit(ctx, members[:half], grants[:half])
	if err != nil && !first {
		return false, err
	}
	second, err := db.admit(ctx, members[half:], grants[half:])
	if err != nil && !second {
		for i := range grants[half:] {
			grants[half+i] = worker.Grant{Err: err}
		}
	}
	return true, nil
}

// admitOnce is one statement and one implicit commit.
func (db *DB) admitOnce(ctx context.Context, members []worker.Member, grants []worker.Grant) error {
	args, err := admitArgs(members)
	if err != nil {
		return err
	}
	return db.pool.with(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, admitSQL, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		n := 0
		for ; rows.Next(); n++ {
			if err := scanGrant(rows, &members[n], &grants[n]); err != nil {
				return err
			}
		}
		if err := rows.Err(); err != nil {
			return err
		}
		if n != len(members) {
			return fmt.Errorf("%d members gave %d grants", len(members), n)
		}
		return nil
	})
}

func scanGrant(rows pgx.Rows, m *worker.Member, g *worker.Grant) error {
	var (
		outcome, p             *int
		state, reason, blocked *string
		intent                 int64
		decision               []byte
		retry                  *time.Time
	)
	if err := rows.Scan(&outcome, &state, &reason, &p, &intent, &decision, &blocked, &retry); err != nil {
		return err
	}
	if outcome == nil {
		return errors.New("a member got no grant")
	}
	*g = worker.Grant{
		Outcome: worker.GrantOutcome(*outcome), State: worker.AdmissionState(value(state)), Reason: messages.Reason(value(reason)),
		P: m.P, IntentSeq: uint64(intent), Decision: decision, //nolint:gosec // stored from a uint64
		Blocked: value(blocked), RetryAt: value(retry),
	}
	if p != nil {
		g.P = *p
	}
	if g.Outcome == worker.GrantNew {
		g.Decision = m.Decision
	}
	return nil
}

// admitArgs turns members into the arrays of flowgate.admit.
func admitArgs(members []worker.Member) ([]any, error) {
	n := len(members)
	var (
		tenant, id, class, stream, refused = make([]string, n), make([]string, n), make([]string, n), make([]string, n), make([]string, n)
		epoch, p, refs                     = make([]int32, n), make([]int32, n), make([]int32, n)
		seq, amount                        = make([]int64, n), make([]int64, 2*n) // amounts, then the least ones
		sha, decision                      = make([][]byte, n), make([][]byte, n)
		hold, wait                         = make([]bool, n), make([]bool, n)
		why                                = make([]string, n)
	)
	s := newScopeRefs(members)
	for i := range members {
		m := &members[i]
		sum, err := hex.DecodeString(m.RequestSHA256)
		if err != nil {
			return nil, fmt.Errorf("request digest of %s: %w", m.Key, err)
		}
		tenant[i], id[i], class[i], stream[i] = m.Tenant, m.ID, string(m.Class), m.IngressStream
		epoch[i], p[i], seq[i] = int32(m.Epoch), int32(m.P), int64(m.IngressSeq) //nolint:gosec // small, or a sequence
		sha[i], decision[i], hold[i] = sum, m.Decision, m.Hold
		amount[i], amount[n+i] = m.Amount, cmp.Or(m.Least, m.Amount)
		refused[i], wait[i] = string(m.Refused), !m.WaitUntil.IsZero()
		why[i] = string(cmp.Or(m.WaitReason, messages.ReasonNotBefore))
		s.add(m)
		refs[i] = int32(len(s.scope)) //nolint:gosec // bounded by the batch
	}
	return append([]any{
		tenant, id, epoch, class, p, stream, seq, sha, hold, refused, wait, amount, refs, decision,
		s.scope, s.limit, s.reason, s.names, why,
	}, rateArgs(members)...), nil
}

// scopeRefs are the scopes of a batch: each name once, sorted by bytes, and the references to them member by member.
type scopeRefs struct {
	names  []string
	scope  []int32 // from 1, as in SQL
	limit  []int64
	reason []string
}

func newScopeRefs(members []worker.Member) *scopeRefs {
	s := &scopeRefs{names: []string{}, scope: []int32{}, limit: []int64{}, reason: []string{}}
	seen := make(map[string]struct{})
	for i := range members {
		for _, scope := range reserving(&members[i]) {
			if _, ok := seen[scope.Name]; !ok {
				seen[scope.Name] = struct{}{}
				s.names = append(s.names, scope.Name)
			}
		}
	}
	slices.Sort(s.names)
	return s
}

// reserving are the scopes in which a member asks for money; none where it asks for nothing.
func reserving(m *worker.Member) []worker.Scope {
	if m.Amount <= 0 || m.Refused != "" || !m.WaitUntil.IsZero() {
		return nil
	}
	return m.Scopes
}

// add refers to the scopes of one member; a name that it has twice counts once, with the lower limit.
func (s *scopeRefs) add(m *worker.Member) {
	from := len(s.scope)
	for _, scope := range reserving(m) {
		at, _ := slices.BinarySearch(s.names, scope.Name)
		ref := int32(at + 1) //nolint:gosec // bounded by the batch
		if i := slices.Index(s.scope[from:], ref); i >= 0 {
			s.limit[from+i] = min(s.limit[from+i], scope.Limit)
			continue
		}
		s.scope = append(s.scope, ref)
		s.limit = append(s.limit, scope.Limit)
		s.reason = append(s.reason, string(scope.Reason))
	}
}

const (
	waitingSQL = `SELECT a.tenant, a.id, a.epoch, a.class, a.p, w.since
FROM (SELECT w.tenant, w.id, w.epoch, min(w.since) AS since
      FROM (SELECT id, name FROM scope UNION ALL SELECT -id, name FROM rate) s
      CROSS JOIN LATERAL (SELECT * FROM waiter w WHERE w.scope_id = s.id ORDER BY w.since LIMIT $1) w
      WHERE s.name = ANY ($2) GROUP BY w.tenant, w.id, w.epoch) w` + waitingEnd
	// Whoever waits, without a look at each scope and limit there ever was: one waits in at most 18 of them (four kinds of budget and
	// five of limits, in two windows each).
	allWaitingSQL = `SELECT a.tenant, a.id, a.epoch, a.class, a.p, w.since
FROM (SELECT w.tenant, w.id, w.epoch, min(w.since) AS since
      FROM (SELECT * FROM waiter w ORDER BY w.since LIMIT 18 * $1) w GROUP BY w.tenant, w.id, w.epoch) w` + waitingEnd
	waitingEnd = `
JOIN admission a USING (tenant, id, epoch)
WHERE a.state = 'waiting' AND a.outcome_at IS NULL
ORDER BY w.since, a.tenant, a.id, a.epoch LIMIT $1`
)

// Waiting implements worker.Ledger.
func (db *DB) Waiting(ctx context.Context, scopes []string, limit int) ([]worker.Waiter, error) {
	sql, args := allWaitingSQL, []any{limit}
	if scopes != nil {
		sql, args = waitingSQL, append(args, scopes)
	}
	waiters, err := collect(ctx, db, func(row pgx.CollectableRow) (worker.Waiter, error) {
		var w worker.Waiter
		err := row.Scan(&w.Tenant, &w.ID, &w.Epoch, &w.Class, &w.P, &w.Since)
		w.State = messages.StateHold
		return w, err
	}, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("listing who waits in %d scopes of money: %w", len(scopes), err)
	}
	return waiters, nil
}

// collect runs a query and reads all rows with scan.
func collect[T any](ctx context.Context, db *DB, scan pgx.RowToFunc[T], sql string, args ...any) ([]T, error) {
	var all []T
	err := db.pool.with(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, sql, args...)
		if err != nil {
			return err
		}
		all, err = pgx.CollectRows(rows, scan)
		return err
	})
	return all, err
}

// value is what p points to, or the zero value.
func value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

// orNull makes the zero time a NULL.
func orNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
