package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"flowgate/messages"
)

// Activation is a policy that was put in force.
type Activation struct {
	At time.Time `json:"at"`
	messages.PolicyNote
}

const activationsSQL = `SELECT coalesce(at, stored_at), body -> 'policy' FROM event
WHERE kind = $1 AND body -> 'policy' IS NOT NULL ORDER BY stored_at DESC, seq DESC LIMIT $2`

// Activations lists the policies that were put in force, the newest first; limit 0 is 100.
func (db *DB) Activations(ctx context.Context, limit int) ([]Activation, error) {
	if limit <= 0 {
		limit = defaultLimit
	}
	all, err := collect(ctx, db, func(row pgx.CollectableRow) (a Activation, err error) {
		var note []byte
		if err = row.Scan(&a.At, &note); err == nil {
			err = json.Unmarshal(note, &a.PolicyNote)
		}
		return a, err
	}, activationsSQL, string(messages.EventPolicyActivated), limit)
	if err != nil {
		return nil, fmt.Errorf("listing activated policies: %w", err)
	}
	return once(all), nil
}

// once leaves out what was told again of an activation, because nobody knew whether it had been recorded.
func once(all []Activation) []Activation {
	told := []Activation{}
	for i := range all {
		first := true
		for j := i + 1; j < len(all); j++ {
			first = first && (all[j].Version != all[i].Version || !all[j].At.Equal(all[i].At))
		}
		if first {
			told = append(told, all[i])
		}
	}
	return told
}
