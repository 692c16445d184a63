package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"flowgate/pipelines/flow"
)

// MaxAgreements bounds the versions of all agreements together.
const MaxAgreements = 10_000

// AgreementRevision is the newest revision of the agreements.
func (db *DB) AgreementRevision(ctx context.Context) (int64, error) {
	rows, err := collect(ctx, db, pgx.RowTo[int64], "SELECT revision FROM agreement_revision")
	if err != nil || len(rows) != 1 {
		return 0, fmt.Errorf("reading the agreements' revision (%d rows): %w", len(rows), err)
	}
	return rows[0], nil
}

const agreementsSQL = "SELECT entry, revision FROM agreement ORDER BY trigger, revision"

// Agreements lists every version of every agreement, by trigger and then the oldest change first.
func (db *DB) Agreements(ctx context.Context) ([]flow.Entry, error) {
	all, err := collect(ctx, db, scanAgreement, agreementsSQL)
	if err != nil {
		return nil, fmt.Errorf("reading the agreements: %w", err)
	}
	return all, nil
}

func scanAgreement(row pgx.CollectableRow) (e flow.Entry, err error) {
	var stored []byte
	var revision int64
	if err = row.Scan(&stored, &revision); err == nil {
		err = json.Unmarshal(stored, &e)
	}
	e.Revision = revision
	return e, err
}

// EditAgreements changes agreements in one transaction, one edit of the deployment after the other: edit is given every version of
// every agreement and the database's time, and says what is another from then on. It returns that with its revision.
func (db *DB) EditAgreements(ctx context.Context, edit func(all []flow.Entry, now time.Time) ([]flow.Entry, error)) (changed []flow.Entry, err error) {
	err = withRetries(ctx, func() error {
		return db.pool.with(ctx, func(ctx context.Context, conn *pgx.Conn) error {
			return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) (err error) {
				changed, err = editAgreements(ctx, tx, edit)
				return err
			})
		})
	})
	return changed, err
}

func editAgreements(ctx context.Context, tx pgx.Tx, edit func([]flow.Entry, time.Time) ([]flow.Entry, error)) ([]flow.Entry, error) {
	var revision int64
	var now time.Time
	if err := tx.QueryRow(ctx, "SELECT revision + 1, clock_timestamp() FROM agreement_revision FOR UPDATE").Scan(&revision, &now); err != nil {
		return nil, fmt.Errorf("locking the agreements: %w", err)
	}
	rows, err := tx.Query(ctx, agreementsSQL)
	if err != nil {
		return nil, fmt.Errorf("reading the agreements: %w", err)
	}
	all, err := pgx.CollectRows(rows, scanAgreement)
	if err != nil {
		return nil, fmt.Errorf("reading the agreements: %w", err)
	}
	changed, err := edit(all, now)
	if err != nil || len(changed) == 0 {
		return nil, err
	}
	if len(all)+len(changed) > MaxAgreements {
		return nil, fmt.Errorf("there are %d versions of agreements, the most that are kept", len(all))
	}
	var batch pgx.Batch
	for i := range changed {
		e := &changed[i]
		e.Revision = revision
		stored, err := json.Marshal(e)
		if err != nil {
			return nil, fmt.Errorf("encoding %s: %w", e.Trigger, err)
		}
		batch.Queue(`INSERT INTO agreement (trigger, version, state, entry, revision) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (trigger, version) DO UPDATE SET state = excluded.state, entry = excluded.entry, revision = excluded.revision`,
			e.Trigger, e.Version, string(e.State), stored, revision)
		batch.Queue(`INSERT INTO agreement_change (revision, trigger, version, act, state, entry, changed_by, reason, changed_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
			revision, e.Trigger, e.Version, string(e.Last.Act), string(e.State), stored, e.Last.By, e.Last.Reason, e.Last.At)
	}
	batch.Queue("UPDATE agreement_revision SET revision = $1", revision)
	if err := tx.SendBatch(ctx, &batch).Close(); err != nil {
		return nil, fmt.Errorf("writing agreements: %w", err)
	}
	return changed, nil
}

// ChangeFilter chooses acts on agreements; zero fields choose everything.
type ChangeFilter struct {
	Trigger, By string
	// Since and Until bound the time of the act: Since <= t < Until.
	Since, Until time.Time
	// Limit is the most acts. 0: 100.
	Limit int
}

// AgreementHistory lists acts on agreements with what they made of the version, the newest first.
func (db *DB) AgreementHistory(ctx context.Context, f ChangeFilter) ([]flow.Entry, error) {
	if f.Limit <= 0 {
		f.Limit = defaultLimit
	}
	all, err := collect(ctx, db, scanAgreement, `SELECT entry, revision FROM agreement_change
WHERE ($1 = '' OR trigger = $1) AND ($2 = '' OR changed_by = $2) AND ($3::timestamptz IS NULL OR changed_at >= $3) AND ($4::timestamptz IS NULL OR changed_at < $4)
ORDER BY revision DESC, trigger, version LIMIT $5`, f.Trigger, f.By, bound(f.Since), bound(f.Until), f.Limit)
	if err != nil {
		return nil, fmt.Errorf("reading the history of agreements: %w", err)
	}
	return append([]flow.Entry{}, all...), nil
}

// bound is a bound of time; nil: none is set.
func bound(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// RaiseAgreements makes every version newer than a revision that others have heard of, and returns the revision from then on: the
// database is an older one than they knew, and has the say all the same.
func (db *DB) RaiseAgreements(ctx context.Context, above int64) (revision int64, err error) {
	err = withRetries(ctx, func() error {
		return db.pool.with(ctx, func(ctx context.Context, conn *pgx.Conn) error {
			return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
				if err := tx.QueryRow(ctx, "SELECT revision FROM agreement_revision FOR UPDATE").Scan(&revision); err != nil || revision > above {
					return err
				}
				revision = above + 1
				if _, err := tx.Exec(ctx, "UPDATE agreement SET revision = $1", revision); err != nil {
					return err
				}
				_, err := tx.Exec(ctx, "UPDATE agreement_revision SET revision = $1", revision)
				return err
			})
		})
	})
	if err != nil {
		return 0, fmt.Errorf("raising the agreements' revision: %w", err)
	}
	return revision, nil
}
