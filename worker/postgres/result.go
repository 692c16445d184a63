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

// Result is what a producer gets of the newest epoch of a request; while that has not ended, the result is pending and At
// is the state of its admission. A request that was never admitted gives worker.ErrNotFound. An answer that is in the
// claim store is left out: see Envelope.
func (db *DB) Result(ctx context.Context, key messages.Key) (messages.Result, error) {
	epoch, state, ended, err := db.newest(ctx, key)
	if err != nil {
		return messages.Result{}, fmt.Errorf("reading the result of %s: %w", key, err)
	}
	if !ended {
		return messages.Result{V: messages.Version, Key: key, State: messages.ResultPending, At: state, Epoch: epoch}, nil
	}
	e, err := db.Envelope(ctx, key, epoch)
	if err != nil {
		return messages.Result{}, err
	}
	return messages.Project(key, e), nil
}

func (db *DB) newest(ctx context.Context, key messages.Key) (epoch int, state string, ended bool, err error) {
	err = db.pool.with(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, `SELECT epoch, state, outcome_at IS NOT NULL FROM admission
WHERE tenant = $1 AND id = $2 ORDER BY epoch DESC LIMIT 1`, key.Tenant, key.ID).Scan(&epoch, &state, &ended)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		err = worker.ErrNotFound
	}
	return epoch, state, ended, err
}

// HighestEpoch is the highest admitted epoch of a request, or worker.ErrNotFound.
func (db *DB) HighestEpoch(ctx context.Context, key messages.Key) (int, error) {
	epoch, _, _, err := db.newest(ctx, key)
	if err != nil {
		return 0, fmt.Errorf("reading the highest epoch of %s: %w", key, err)
	}
	return epoch, nil
}

// Standing tells the sequence of an epoch's recorded intent (0: none) and whether its outcome is recorded. An epoch that
// was never admitted has neither.
func (db *DB) Standing(ctx context.Context, key messages.Key, epoch int) (intentSeq uint64, ended bool, err error) {
	err = db.pool.with(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, `SELECT coalesce(intent_seq, 0), outcome_at IS NOT NULL FROM admission
WHERE tenant = $1 AND id = $2 AND epoch = $3`, key.Tenant, key.ID, epoch).Scan(&intentSeq, &ended)
	})
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return 0, false, fmt.Errorf("reading how %s epoch %d stands: %w", key, epoch, err)
	}
	return intentSeq, ended, nil
}

const envelopeSQL = `SELECT ` + outcomeColumns + `, o.sections, coalesce(c.answer, '') AS answer
FROM outcome o LEFT JOIN content c ON c.tenant = o.tenant AND c.id = o.id AND c.epoch = o.epoch
WHERE o.tenant = $1 AND o.id = $2 AND o.epoch = $3 ORDER BY o.stored_at LIMIT 1`

type storedEnvelope struct {
	Outcome

	Sections []byte
	Answer   string
}

// Envelope is the recorded envelope of an ended epoch: every section, every attempt and the end, with the answer or the
// document of an action while it is kept, without the request. An epoch that has not ended gives worker.ErrNotFound.
func (db *DB) Envelope(ctx context.Context, key messages.Key, epoch int) (*messages.Envelope, error) {
	rows, err := collect(ctx, db, pgx.RowToStructByName[storedEnvelope], envelopeSQL, key.Tenant, key.ID, epoch)
	if err == nil && len(rows) == 0 {
		err = worker.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("reading the outcome of %s epoch %d: %w", key, epoch, err)
	}
	return rows[0].envelope(), nil
}

// envelope decodes the sections; where they cannot be read, the columns tell what matters.
func (s *storedEnvelope) envelope() *messages.Envelope {
	e, err := messages.DecodeEnvelope(s.Sections)
	if err != nil || e.End == nil {
		e = &messages.Envelope{V: messages.Version, Kind: messages.Kind(s.Kind), Epoch: s.Epoch, SubmittedAt: timeOf(s.SubmittedAt), End: &messages.End{
			Status: messages.Status(s.Status), Reason: messages.Reason(s.Reason), Field: s.Field, Detail: s.Detail,
			Layer: messages.LayerName(s.Layer), Replayable: s.Replayable, CostMicroUSD: s.CostMicroUSD, FinishedAt: timeOf(s.FinishedAt),
		}}
	}
	switch {
	case s.Answer == "":
	case e.Optimizer != nil && e.Optimizer.Execution.Apart():
		e.Optimizer.Execution.Result = json.RawMessage(s.Answer)
	default:
		if e.AI == nil {
			e.AI = &messages.AISection{Backend: s.Backend, Model: s.Model, Usage: messages.Usage{InputUncached: s.TokensIn, Output: s.TokensOut}}
		}
		e.AI.Answer = s.Answer
	}
	return e
}

func timeOf(t *time.Time) time.Time { return value(t) }
