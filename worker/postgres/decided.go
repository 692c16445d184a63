package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"flowgate/messages"
)

// Decided is what layer 1 decided on an epoch that has ended, and what it cost.
type Decided struct {
	messages.Key

	Epoch        int
	Class        messages.Class
	Kind         messages.Kind
	Status       messages.Status
	CostMicroUSD int64
	SubmittedAt  time.Time
	// Section is nil where the record has none that can be read here.
	Section *messages.CorporateSection
}

const decidedSQL = `SELECT o.tenant, o.id, o.epoch, o.class, o.kind, o.status, o.cost_microusd, coalesce(o.submitted_at, o.stored_at), o.sections -> 'corporate_llm'
FROM outcome o`

// Decisions lists the decisions of layer 1 on requests that have ended, newest first.
func (db *DB) Decisions(ctx context.Context, f Filter) ([]Decided, error) {
	conditions, args := f.sql()
	all, err := collect(ctx, db, func(row pgx.CollectableRow) (d Decided, err error) {
		var section []byte
		if err = row.Scan(&d.Tenant, &d.ID, &d.Epoch, &d.Class, &d.Kind, &d.Status, &d.CostMicroUSD, &d.SubmittedAt, &section); err != nil || len(section) == 0 {
			return d, err
		}
		var s messages.CorporateSection
		if json.Unmarshal(section, &s) == nil {
			d.Section = &s
		}
		return d, nil
	}, decidedSQL+conditions, args...)
	if err != nil {
		return nil, fmt.Errorf("listing decisions: %w", err)
	}
	return all, nil
}
