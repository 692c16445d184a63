package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Retention is how long texts are kept. What was decided and what it cost is not subject to it.
type Retention struct {
	// Content is for the answers of models.
	Content time.Duration
	// DeadLetters is for the bodies of failures.
	DeadLetters time.Duration
}

// DefaultRetention keeps answers 30 days and dead letters 90.
func DefaultRetention() Retention {
	return Retention{Content: 30 * 24 * time.Hour, DeadLetters: 90 * 24 * time.Hour}
}

// pendingAge is how long the decisions of an hour stay in a partition of their own after it.
const pendingAge = 2 * time.Hour

// Maintain makes the partitions of the coming time, drops those that are through, applies the default retention, and forgets what
// limits counted in old windows. It
// may run in any number of processes; one is enough, every hour.
func (db *DB) Maintain(ctx context.Context) error {
	_, err := db.ForgetRates(ctx)
	return errors.Join(db.EnsurePartitions(ctx), db.DropEnded(ctx), db.Retain(ctx, DefaultRetention()), err)
}

// EnsurePartitions makes the partitions of the next twelve hours and two months where they are missing. Rows that find no
// partition go to the default one, so that being late loses nothing.
func (db *DB) EnsurePartitions(ctx context.Context) error {
	if _, err := db.exec(ctx, "SELECT ensure_partitions(now())"); err != nil {
		return fmt.Errorf("making partitions: %w", err)
	}
	return nil
}

const (
	endedSQL = `SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = 'admission_pending'::regclass AND c.relname ~ '^admission_pending_[0-9]{10}$'
  AND to_timestamp(right(c.relname, 10) || '+00', 'YYYYMMDDHH24TZH') + interval '1 hour' < $1
ORDER BY c.relname`
	sweepSQL = `DELETE FROM admission_pending_default d WHERE d.decided_at < $1 AND NOT EXISTS (
    SELECT FROM admission a WHERE a.tenant = d.tenant AND a.id = d.id AND a.epoch = d.epoch
    AND a.decided_at = d.decided_at AND a.intent_at IS NULL AND a.outcome_at IS NULL)`
)

// DropEnded drops the partitions of decisions that ended over two hours ago. Decisions that are still needed (neither
// intent nor outcome is recorded) move to the default partition first, and leave that when they have ended.
func (db *DB) DropEnded(ctx context.Context) error { return db.dropEnded(ctx, time.Now()) }

func (db *DB) dropEnded(ctx context.Context, now time.Time) error {
	old := now.Add(-pendingAge)
	names, err := collect(ctx, db, pgx.RowTo[string], endedSQL, old)
	if err != nil {
		return fmt.Errorf("listing partitions of decisions: %w", err)
	}
	for _, name := range names {
		if _, err := db.exec(ctx, "SELECT drop_pending($1)", name); err != nil {
			return fmt.Errorf("dropping the partition %s: %w", name, err)
		}
	}
	if _, err := db.exec(ctx, sweepSQL, old); err != nil {
		return fmt.Errorf("sweeping decisions: %w", err)
	}
	return nil
}

// Retain deletes texts that are older than they may be.
func (db *DB) Retain(ctx context.Context, r Retention) error {
	if r.Content <= 0 || r.DeadLetters <= 0 {
		return fmt.Errorf("retention is %s for answers and %s for dead letters, must be above zero", r.Content, r.DeadLetters)
	}
	now := time.Now()
	if _, err := db.exec(ctx, "DELETE FROM content WHERE stored_at < $1", now.Add(-r.Content)); err != nil {
		return fmt.Errorf("deleting old answers: %w", err)
	}
	if _, err := db.exec(ctx, "DELETE FROM dead_letter WHERE stored_at < $1", now.Add(-r.DeadLetters)); err != nil {
		return fmt.Errorf("deleting old dead letters: %w", err)
	}
	return nil
}

// choreLimit is how many times as long as everyday work a chore may take.
const choreLimit = 10

// exec runs one statement of a chore, again where others stand in its way.
func (db *DB) exec(ctx context.Context, sql string, args ...any) (tag pgconn.CommandTag, err error) {
	err = withRetries(ctx, func() error {
		return db.pool.within(ctx, choreLimit*db.pool.options.AnswerTimeout, func(ctx context.Context, conn *pgx.Conn) error {
			tag, err = conn.Exec(ctx, sql, args...)
			return err
		})
	})
	return tag, err
}
