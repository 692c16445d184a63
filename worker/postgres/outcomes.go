package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"flowgate/messages"
)

// Outcome is how an epoch ended.
type Outcome struct {
	Tenant       string     `json:"tenant"`
	ID           string     `json:"id"`
	Epoch        int        `json:"epoch"`
	Seq          int64      `json:"seq"`
	StoredAt     time.Time  `json:"stored_at"`
	Kind         string     `json:"kind"`
	Class        string     `json:"class"`
	Status       string     `json:"status"`
	Reason       string     `json:"reason"`
	Field        string     `json:"field,omitempty"`
	Detail       string     `json:"detail,omitempty"`
	Layer        string     `json:"layer"`
	Replayable   bool       `json:"replayable"`
	UserID       string     `json:"user_id"`
	Department   string     `json:"department"`
	Model        string     `json:"model,omitempty"`
	Backend      string     `json:"backend,omitempty"`
	CostMicroUSD int64      `json:"cost_microusd"`
	TokensIn     int64      `json:"tokens_in"`
	TokensOut    int64      `json:"tokens_out"`
	PriceVersion string     `json:"price_version,omitempty"`
	SubmittedAt  *time.Time `json:"submitted_at,omitempty"`
	FinishedAt   *time.Time `json:"finished_at,omitempty"`
}

const outcomeColumns = `o.tenant, o.id, o.epoch, o.seq, o.stored_at, o.kind, o.class, o.status, o.reason, o.field, o.detail, o.layer,
o.replayable, o.user_id, o.department, o.model, o.backend, o.cost_microusd, o.tokens_in, o.tokens_out, o.price_version,
o.submitted_at, o.finished_at`

// ListOutcomes lists outcomes, newest first.
func (db *DB) ListOutcomes(ctx context.Context, f Filter) ([]Outcome, error) {
	conditions, args := f.sql()
	rows, err := collect(ctx, db, pgx.RowToStructByName[Outcome], "SELECT "+outcomeColumns+" FROM outcome o"+conditions, args...)
	if err != nil {
		return nil, fmt.Errorf("listing outcomes: %w", err)
	}
	return rows, nil
}

// OutcomeUsage is what an outcome's cost is computed from.
type OutcomeUsage struct {
	Tenant       string `json:"tenant"`
	ID           string `json:"id"`
	Epoch        int    `json:"epoch"`
	Status       string `json:"status"`
	Model        string `json:"model"`
	Backend      string `json:"backend"`
	PriceVersion string `json:"price_version"`
	CacheHit     bool   `json:"cache_hit"`
	CostMicroUSD int64  `json:"cost_microusd"`
	// Usage is that of the answer, Attempts are all of the epoch with theirs; the costs of these add up to CostMicroUSD.
	Usage    messages.Usage     `json:"usage"`
	Attempts []messages.Attempt `json:"attempts,omitempty"`
}

const usageSQL = `SELECT o.tenant, o.id, o.epoch, o.status, o.model, o.backend, o.price_version, o.cost_microusd,
coalesce((o.sections -> 'ai_processing' ->> 'cache_hit')::boolean, false), o.sections -> 'ai_processing' -> 'usage', o.sections -> 'history'
FROM outcome o`

// OutcomeTokens lists, newest first, what is needed to compute the costs of outcomes again.
func (db *DB) OutcomeTokens(ctx context.Context, f Filter) ([]OutcomeUsage, error) {
	conditions, args := f.sql()
	rows, err := collect(ctx, db, scanUsage, usageSQL+conditions, args...)
	if err != nil {
		return nil, fmt.Errorf("listing the tokens of outcomes: %w", err)
	}
	return rows, nil
}

func scanUsage(row pgx.CollectableRow) (OutcomeUsage, error) {
	var u OutcomeUsage
	var usage, history []byte
	err := row.Scan(&u.Tenant, &u.ID, &u.Epoch, &u.Status, &u.Model, &u.Backend, &u.PriceVersion, &u.CostMicroUSD, &u.CacheHit, &usage, &history)
	if err != nil {
		return u, err
	}
	for _, part := range []struct {
		data []byte
		to   any
	}{{usage, &u.Usage}, {history, &u.Attempts}} {
		if len(part.data) == 0 {
			continue
		}
		if err := json.Unmarshal(part.data, part.to); err != nil {
			return u, fmt.Errorf("reading the sections of %s/%s: %w", u.Tenant, u.ID, err)
		}
	}
	return u, nil
}
