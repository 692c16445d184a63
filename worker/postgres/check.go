package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"flowgate/messages"
)

// Finding is what one check of the records found.
type Finding struct {
	Name string `json:"name"`
	OK   bool   `json:"ok"`
	// Count is how many rows break the rule that Detail states.
	Count  int64  `json:"count"`
	Detail string `json:"detail"`
	// Examples are up to five of them.
	Examples []string `json:"examples,omitempty"`
}

// check is one invariant: the rule in words, and a query for a column "example" of everything that breaks it.
type check struct{ name, rule, sql string }

// checks are the invariants of the record.
func checks() []check {
	return []check{
		{"outcomes", "every admission that has ended has exactly one outcome, and no other has one", `
SELECT coalesce(a.tenant, o.tenant) || '/' || coalesce(a.id, o.id) || ' epoch ' || coalesce(a.epoch, o.epoch) || ': '
    || coalesce(o.n, 0) || ' outcomes' AS example
FROM (SELECT tenant, id, epoch FROM admission WHERE outcome_at IS NOT NULL) a
FULL JOIN (SELECT tenant, id, epoch, count(*) AS n FROM outcome GROUP BY 1, 2, 3) o USING (tenant, id, epoch)
WHERE a.id IS NULL OR o.n IS DISTINCT FROM 1`},
		{"intents", "every epoch that reached a model, and every recorded attempt, has its intent", `
SELECT x.tenant || '/' || x.id || ' epoch ' || x.epoch AS example
FROM (SELECT tenant, id, epoch FROM attempt
      UNION
      SELECT tenant, id, epoch FROM outcome
      WHERE backend <> '' AND coalesce(sections -> 'ai_processing' ->> 'verdict', '') <> 'carried_over') x
WHERE NOT EXISTS (SELECT FROM intent i WHERE i.tenant = x.tenant AND i.id = x.id AND i.epoch = x.epoch)`},
		{"admitted_intents", "every intent belongs to an approved admission that names it", `
SELECT i.tenant || '/' || i.id || ' epoch ' || i.epoch || ': ' || coalesce(a.state, 'no admission') AS example
FROM intent i LEFT JOIN admission a USING (tenant, id, epoch)
WHERE a.id IS NULL OR a.state <> 'approved' OR a.intent_seq IS NULL`},
		{"settled", "what a scope has spent is the sum of what the attempts of its ended epochs are charged", `
SELECT s.name || ': ' || s.settled || ' settled, ' || coalesce(x.charged, 0) || ' charged' AS example
FROM scope s LEFT JOIN (
    SELECT u.scope_id, sum(t.charged) AS charged
    FROM admission a CROSS JOIN LATERAL unnest(a.scopes) AS u (scope_id)
    JOIN attempt t USING (tenant, id, epoch)
    WHERE a.outcome_at IS NOT NULL GROUP BY 1
) x ON x.scope_id = s.id WHERE s.settled <> coalesce(x.charged, 0)`},
		{"reserved", "what a scope holds is the sum of the reservations of its open epochs", `
SELECT s.name || ': ' || s.reserved || ' reserved, ' || coalesce(x.reserved, 0) || ' open' AS example
FROM scope s LEFT JOIN (
    SELECT u.scope_id, sum(a.reserved) AS reserved
    FROM admission a CROSS JOIN LATERAL unnest(a.scopes) AS u (scope_id)
    WHERE a.outcome_at IS NULL GROUP BY 1
) x ON x.scope_id = s.id WHERE s.reserved <> coalesce(x.reserved, 0)`},
		{"cost", "an outcome's cost is the sum of what it states of its attempts", `
SELECT o.tenant || '/' || o.id || ' epoch ' || o.epoch || ': cost ' || o.cost_microusd || ', attempts ' || coalesce(t.stated, 0) AS example
FROM outcome o
LEFT JOIN (SELECT tenant, id, epoch, sum(stated) AS stated FROM attempt GROUP BY 1, 2, 3) t USING (tenant, id, epoch)
WHERE o.cost_microusd <> coalesce(t.stated, 0)`},
		{"calls", "every call of an epoch that has ended is known to have ended, or is in doubt", `
SELECT t.tenant || '/' || t.id || ' epoch ' || t.epoch || ' attempt ' || t.k AS example
FROM attempt t JOIN admission a USING (tenant, id, epoch)
WHERE a.outcome_at IS NOT NULL AND t.billing = '` + BillingCalling + `'`},
		{"charges", "an attempt is charged what its outcome states, unless it was in doubt and its cost became known", `
SELECT tenant || '/' || id || ' epoch ' || epoch || ' attempt ' || k || ': charged ' || charged || ', stated ' || stated AS example
FROM attempt WHERE stated <> charged AND doubt IS DISTINCT FROM stated`},
		{"second_outcomes", "no epoch ended twice", `
SELECT tenant || '/' || id || ' epoch ' || epoch || ': ' || detail AS example FROM event WHERE kind = '` + eventSecond + `'`},
		{"gaps", "every message of the streams was recorded", `
SELECT stream || ' ' || from_seq || '-' || to_seq || ' of ' || incarnation AS example FROM recorder_gap
UNION ALL SELECT detail FROM event WHERE kind = '` + string(messages.EventStreamLost) + `'`},
	}
}

// Check looks whether the records agree with each other, all in one snapshot. It reads every row: a report, no routine.
func (db *DB) Check(ctx context.Context) ([]Finding, error) {
	all := checks()
	findings := make([]Finding, 0, len(all))
	err := db.snapshot(ctx, func(tx pgx.Tx) error {
		for _, c := range all {
			f := Finding{Name: c.name, Detail: c.rule}
			row := tx.QueryRow(ctx, "SELECT count(*), (array_agg(example))[1:5] FROM ("+c.sql+") bad")
			if err := row.Scan(&f.Count, &f.Examples); err != nil {
				return fmt.Errorf("check %s: %w", c.name, err)
			}
			f.OK = f.Count == 0
			findings = append(findings, f)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("checking the records: %w", err)
	}
	return findings, nil
}
