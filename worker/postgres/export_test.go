package postgres

import (
	"context"
	"time"
)

// DropEndedAt is DropEnded at another time.
func (db *DB) DropEndedAt(ctx context.Context, now time.Time) error { return db.dropEnded(ctx, now) }
