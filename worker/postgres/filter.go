package postgres

import (
	"fmt"
	"strings"
	"time"
)

// Filter chooses outcomes or dead letters; zero fields choose everything. The newest come first.
type Filter struct {
	Tenant string
	ID     string
	Status string
	Reason string
	User   string
	// Since and Until bound the time at which the outcome was stored: Since <= t < Until.
	Since, Until time.Time
	// Limit is the most rows. 0: 100; negative: all.
	Limit int
}

// defaultLimit is the most rows of a Filter that names none.
const defaultLimit = 100

// sql gives the conditions on outcome o, with the order and the limit.
func (f Filter) sql() (string, []any) {
	var where []string
	var args []any
	add := func(condition string, arg any) {
		args = append(args, arg)
		where = append(where, fmt.Sprintf(condition, len(args)))
	}
	for _, c := range []struct{ column, value string }{
		{"tenant", f.Tenant}, {"id", f.ID}, {"status", f.Status}, {"reason", f.Reason}, {"user_id", f.User},
	} {
		if c.value != "" {
			add("o."+c.column+" = $%d", c.value)
		}
	}
	if !f.Since.IsZero() {
		add("o.stored_at >= $%d", f.Since)
	}
	if !f.Until.IsZero() {
		add("o.stored_at < $%d", f.Until)
	}
	var b strings.Builder
	if len(where) > 0 {
		b.WriteString(" WHERE " + strings.Join(where, " AND "))
	}
	b.WriteString(" ORDER BY o.stored_at DESC, o.seq DESC")
	limit := f.Limit
	if limit == 0 {
		limit = defaultLimit
	}
	if limit > 0 {
		args = append(args, limit)
		fmt.Fprintf(&b, " LIMIT $%d", len(args))
	}
	return b.String(), args
}
