package postgres_test

import (
	"testing"
	"time"

	"flowgate/worker/postgres"
)

// attemptsSQL and lettersSQL make so many rows, named by their number.
const (
	attemptsSQL = `INSERT INTO flowgate.attempt (cost, at, epoch, k, tenant, id, backend, model, class, billing)
SELECT 2, $2, 0, 1, 'acme', i::text, 'offline', 'm', '', 'known' FROM generate_series(1, $1::int) i`
	lettersSQL = `INSERT INTO flowgate.dead_letter (stored_at, epoch, tenant, id, body) SELECT now(), 0, 'acme', i::text, '' FROM generate_series(1, $1::int) i`
)

// TestBoardsCountSoMany: few calls and letters are counted exactly; of many it is said that they are more.
func TestBoardsCountSoMany(t *testing.T) {
	t.Parallel()
	b, noon := setup(t), time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	charged := func(want postgres.Charged) {
		t.Helper()
		if got, err := b.ChargedSince(t.Context(), noon, ":day:2026-01-31"); err != nil || got != want {
			t.Errorf("charged are %+v, %v; want %+v", got, err, want)
		}
	}
	letters := func(want postgres.LetterCount) {
		t.Helper()
		if got, err := b.CountDeadLetters(t.Context()); err != nil || got != want {
			t.Errorf("letters are %+v, %v; want %+v", got, err, want)
		}
	}
	charged(postgres.Charged{})
	letters(postgres.LetterCount{})
	b.sql(t, attemptsSQL, postgres.MostCounted, noon)
	b.sql(t, lettersSQL, postgres.MostCounted)
	b.sql(t, `INSERT INTO flowgate.scope (settled, name) VALUES (30000, 'tenant:acme:day:2026-01-31'), (1, 'tenant:b:day:2026-01-31'),
(50, 'tenant:acme:day:2026-01-30'), (50, 'user:acme/anna:day:2026-01-31'), (50, 'tenant:acme:month:2026-01')`)
	charged(postgres.Charged{MicroUSD: 2 * postgres.MostCounted, Calls: postgres.MostCounted})
	letters(postgres.LetterCount{All: postgres.MostCounted, Open: postgres.MostCounted})

	b.sql(t, `UPDATE flowgate.attempt SET id = 'before', at = $1 WHERE id = '1'`, noon.Add(-time.Second))
	charged(postgres.Charged{MicroUSD: 2 * (postgres.MostCounted - 1), Calls: postgres.MostCounted - 1})
	b.sql(t, `INSERT INTO flowgate.attempt (cost, at, epoch, k, tenant, id, backend, model, class, billing)
SELECT cost, $1, epoch, 2, tenant, id, backend, model, class, billing FROM flowgate.attempt`, noon)
	b.sql(t, `INSERT INTO flowgate.dead_letter (stored_at, epoch, tenant, id, body) VALUES (now(), 0, 'acme', 'one more', '')`)
	charged(postgres.Charged{MicroUSD: 30001, Calls: postgres.MostCounted, More: true})
	letters(postgres.LetterCount{All: postgres.MostCounted, Open: postgres.MostCounted, More: true})
	b.sql(t, `UPDATE flowgate.scope SET settled = 0`)
	charged(postgres.Charged{MicroUSD: 2 * (postgres.MostCounted + 1), Calls: postgres.MostCounted, More: true})
}
