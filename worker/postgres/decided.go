package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"flowgate/messages"
)

// Decided is an epoch that has ended, with what layer 1 decided on it.
type Decided struct {
	messages.Address

	Epoch        int
	StoredAt     time.Time
	CostMicroUSD int64
	// Envelope is nil where the record has none that can be read here.
	Envelope *messages.Envelope
}

const decidedSQL = `SELECT o.tenant, o.id, o.epoch, o.class, o.stored_at, o.cost_microusd, o.sections FROM outcome o`

// Decisions lists the decisions of layer 1 on requests that have ended, newest first.
func (db *DB) Decisions(ctx context.Context, f Filter) ([]Decided, error) {
	conditions, args := f.sql()
	all, err := collect(ctx, db, func(row pgx.CollectableRow) (d Decided, err error) {
		var sections []byte
		if err = row.Scan(&d.Tenant, &d.ID, &d.Epoch, &d.Class, &d.StoredAt, &d.CostMicroUSD, &sections); err != nil || len(sections) == 0 {
			return d, err
		}
		if e, wrong := messages.DecodeEnvelope(sections); wrong == nil {
			d.Envelope = e
		}
		return d, nil
	}, decidedSQL+conditions, args...)
	if err != nil {
		return nil, fmt.Errorf("listing decisions: %w", err)
	}
	return all, nil
}
