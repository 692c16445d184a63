package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"flowgate/worker"
)

// However many workers admit, repeat, decide holds and settle at once: no scope ever holds and has spent more than its
// limit, and nothing stays reserved when all has ended.
func TestLedgerNeverOverspends(t *testing.T) {
	t.Parallel()
	b := setup(t)
	runs := 0
	rapid.Check(t, func(r *rapid.T) {
		if t.Failed() {
			r.Fatal("failed before")
		}
		runs++
		spend(t, r, b, fmt.Sprintf("r%d", runs))
	})
	b.wantChecked(t)
}

// job is what one worker does: admit a batch, admit some of it again, and end what was approved.
type job struct {
	members []worker.Member
	repeat  bool
	costs   []int64
}

func spend(t *testing.T, r *rapid.T, b *bundle, run string) {
	limit := int64(rapid.IntRange(50, 400).Draw(r, "limit"))
	names := []string{run + ".day", run + ".user", run + ".month"}
	jobs := make([]job, rapid.IntRange(2, 5).Draw(r, "workers"))
	seq := uint64(0)
	for w := range jobs {
		j := job{repeat: rapid.Bool().Draw(r, "repeat")}
		for range rapid.IntRange(1, 6).Draw(r, "members") {
			seq++
			var scopes []worker.Scope
			for _, name := range names {
				if rapid.Bool().Draw(r, "in") {
					scopes = append(scopes, scope(name, limit))
				}
			}
			amount := int64(rapid.IntRange(0, 100).Draw(r, "amount"))
			j.members = append(j.members, member(fmt.Sprintf("%s-%d", run, rapid.IntRange(1, 12).Draw(r, "id")), seq, amount, scopes...))
			j.costs = append(j.costs, int64(rapid.IntRange(0, int(amount)).Draw(r, "cost")))
		}
		jobs[w] = j.distinct()
	}
	ctx, stop := context.WithCancel(t.Context())
	watched := watch(ctx, b, run, limit)
	var group sync.WaitGroup
	faults := make([]error, len(jobs))
	for w := range jobs {
		group.Go(func() { faults[w] = jobs[w].do(ctx, b, run, w) })
	}
	group.Wait()
	stop()
	if err := errors.Join(append(faults, <-watched)...); err != nil {
		r.Fatal(err)
	}
	held := count[int64](t, b, "SELECT coalesce(sum(reserved), 0)::bigint FROM flowgate.scope WHERE name LIKE $1 || '.%'", run)
	open := count[int64](t, b, `SELECT coalesce(sum(reserved), 0)::bigint FROM flowgate.admission WHERE id LIKE $1 || '-%' AND outcome_at IS NULL`, run)
	if held != 0 || open != 0 {
		r.Fatalf("%d stay reserved, %d open", held, open)
	}
}

// distinct drops members whose id the batch has already, which callers must not give.
func (j job) distinct() job {
	seen := make(map[string]bool)
	d := job{repeat: j.repeat}
	for i, m := range j.members {
		if !seen[m.ID] {
			seen[m.ID] = true
			d.members, d.costs = append(d.members, m), append(d.costs, j.costs[i])
		}
	}
	return d
}

// watch looks at the balances until ctx ends.
func watch(ctx context.Context, b *bundle, run string, limit int64) <-chan error {
	found := make(chan error, 1)
	go func() {
		defer close(found)
		for ctx.Err() == nil {
			var over int
			err := b.raw.QueryRow(context.WithoutCancel(ctx),
				"SELECT count(*) FROM flowgate.scope WHERE name LIKE $1 || '.%' AND settled + reserved > $2", run, limit).Scan(&over)
			if err == nil && over > 0 {
				err = fmt.Errorf("%d scopes are over their limit", over)
			}
			if err != nil {
				found <- err
				return
			}
		}
	}()
	return found
}

func (j job) do(ctx context.Context, b *bundle, run string, w int) error {
	position := worker.Position{Stream: fmt.Sprintf("%s.%d", run, w)}
	rounds := 1
	if j.repeat {
		rounds = 2
	}
	mine := make(map[string]bool)
	for range rounds {
		grants, err := b.Admit(ctx, j.members)
		if err != nil {
			return err
		}
		for i, g := range grants {
			if g.Err != nil {
				return g.Err
			}
			if g.Outcome == worker.GrantNew && g.State == worker.AdmissionApproved {
				mine[j.members[i].ID] = true
			}
		}
	}
	// End what is ours, one by one, deciding the holds in between.
	for i, m := range j.members {
		if mine[m.ID] {
			if err := finish(ctx, b, &position, m, j.costs[i]); err != nil {
				return err
			}
		}
	}
	for i, m := range j.members {
		m.Hold = true
		grants, err := b.Admit(ctx, []worker.Member{m})
		if err == nil {
			err = grants[0].Err
		}
		if err != nil {
			return err
		}
		if grants[0].Outcome == worker.GrantNew && grants[0].State == worker.AdmissionApproved {
			if err := finish(ctx, b, &position, m, min(j.costs[i], m.Amount)); err != nil {
				return err
			}
		}
	}
	return nil
}

func finish(ctx context.Context, b *bundle, position *worker.Position, m worker.Member, cost int64) error {
	in, out := ended(m.ID, m.IngressSeq*10, cost)
	to := worker.Position{Stream: position.Stream, Incarnation: "i", Seq: position.Seq + 1}
	_, err := b.Commit(ctx, worker.RecordBatch{From: *position, To: to, Intents: []worker.Intent{in}, Outcomes: []worker.Outcome{out, out}})
	*position = to
	return err
}
