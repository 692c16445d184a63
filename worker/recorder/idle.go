package recorder

import (
	"context"
	"errors"
	"fmt"

	"go.uber.org/zap"

	"flowgate/worker"
)

// idle moves the position over what is not recorded, when nothing came for a while: a stream in which only waits are published
// again would else never be purged. Trouble is logged: there is another while.
func (r *Recorder) idle(ctx context.Context, from worker.Position) (worker.Position, error) {
	to, err := r.passed(ctx, from)
	if err == nil && to != from {
		_, err = r.opts.Store.Commit(ctx, worker.RecordBatch{From: from, To: to})
	}
	switch {
	case errors.Is(err, worker.ErrPositionMoved):
		return from, err
	case err != nil:
		r.log.Debug("moving the position over what is not recorded", zap.Error(err))
		return from, nil
	}
	return to, nil
}

// passed is how far the stream has nothing to record behind a position: up to what has been stored for Believe, since a leader
// that was just elected has not stored yet all that was acknowledged, and shows less than there is.
func (r *Recorder) passed(ctx context.Context, from worker.Position) (worker.Position, error) {
	wanted := filters(r.opts.Stream)
	if wanted == nil {
		return from, nil // all of it is recorded
	}
	bounds, err := r.opts.Leader.Bounds(ctx, r.opts.Stream)
	if err != nil || bounds.Incarnation() != from.Incarnation || bounds.Last <= from.Seq {
		return from, err
	}
	to := from
	to.Seq = bounds.Last
	young, found, err := r.opts.Leader.Since(ctx, r.opts.Stream, bounds.Now.Add(-r.opts.Believe))
	if err != nil {
		return from, err
	}
	if found {
		to.Seq = min(to.Seq, young.Seq-1)
	}
	if to.Seq <= from.Seq {
		return from, nil
	}
	for _, filter := range wanted {
		m, found, err := r.opts.Leader.Next(ctx, r.opts.Stream, from.Seq+1, filter)
		if err != nil {
			return from, fmt.Errorf("looking for %s: %w", filter, err)
		}
		if found && m.Seq <= to.Seq {
			return from, nil
		}
	}
	last, found, err := r.opts.Leader.Get(ctx, r.opts.Stream, to.Seq)
	if err != nil || !found {
		return from, err
	}
	to.StoredNS = last.Time.UnixNano()
	return to, nil
}
