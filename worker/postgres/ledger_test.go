package postgres_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"flowgate/messages"
	"flowgate/worker"
)

// outcomes are the grants in short: outcome, state and reason.
func outcomes(grants []worker.Grant) []string {
	short := make([]string, len(grants))
	for i, g := range grants {
		short[i] = fmt.Sprintf("%d %s %s", g.Outcome, g.State, g.Reason)
	}
	return short
}

func wantGrants(t *testing.T, grants []worker.Grant, want ...string) {
	t.Helper()
	if got := outcomes(grants); !slices.Equal(got, want) {
		t.Errorf("grants are %q, want %q", got, want)
	}
}

const (
	approved  = "0 approved "
	waiting   = "0 waiting waiting_money"
	refused   = "0 refused limit_day"
	again     = "1 approved "
	passed    = "2 approved "
	duplicate = "3 approved "
	gone      = "5  "
)

func hold(m worker.Member) worker.Member {
	m.Hold = true
	return m
}

func least(m worker.Member, amount int64) worker.Member {
	m.Least = amount
	return m
}

func TestAdmitDecidesOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	day := scope("day", 1000)
	m := member("a", 1, 100, day)
	m.P = 3
	wantGrants(t, b.admit(t, m), approved)

	t.Run("the same ingress sequence gets the stored decision", func(t *testing.T) {
		m := m
		m.Decision, m.P = []byte("another"), 0
		grants := b.admit(t, m)
		wantGrants(t, grants, again)
		if string(grants[0].Decision) != "decision of a" || grants[0].P != 3 {
			t.Errorf("grant is %+v", grants[0])
		}
		b.wantBalance(t, "day", 0, 100)
	})
	t.Run("another ingress sequence is a duplicate", func(t *testing.T) {
		wantGrants(t, b.admit(t, member("a", 2, 100, day)), duplicate)
	})
	t.Run("the same sequence of another incarnation is a duplicate", func(t *testing.T) {
		m := m
		m.IngressStream = "another"
		wantGrants(t, b.admit(t, m), duplicate)
	})
	t.Run("what has an intent is passed", func(t *testing.T) {
		in, _ := ended("a", 7, 5, "day")
		b.commit(t, worker.RecordBatch{Intents: []worker.Intent{in}})
		grants := b.admit(t, m)
		wantGrants(t, grants, passed)
		if grants[0].IntentSeq != 7 {
			t.Errorf("intent sequence is %d", grants[0].IntentSeq)
		}
	})
	b.wantBalance(t, "day", 0, 100)
	b.wantChecked(t)
}

func TestAdmitJudgesMoney(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		before  func(t *testing.T, b *bundle)
		members []worker.Member
		want    []string
		settled int64
		held    int64
	}{
		"members see the reservations of those before them": {
			members: []worker.Member{member("a", 1, 60, scope("day", 100)), member("b", 2, 60, scope("day", 100)), member("c", 3, 40, scope("day", 100))},
			want:    []string{approved, waiting, approved}, held: 100,
		},
		"what can never fit is refused": {
			members: []worker.Member{member("a", 1, 101, scope("day", 100))}, want: []string{refused},
		},
		"only what is settled refuses": {
			before: func(t *testing.T, b *bundle) {
				b.admit(t, member("x", 9, 50, scope("day", 100)))
				b.end(t, "x", 1, 50, "day")
			},
			members: []worker.Member{member("a", 1, 51, scope("day", 100)), member("b", 2, 50, scope("day", 100)), member("c", 3, 1, scope("day", 100))},
			want:    []string{refused, approved, waiting}, settled: 50, held: 50,
		},
		"where the amount can never fit any more, the least does": {
			before: func(t *testing.T, b *bundle) {
				b.admit(t, member("x", 9, 50, scope("day", 100)))
				b.end(t, "x", 1, 50, "day")
			},
			members: []worker.Member{least(member("a", 1, 51, scope("day", 100)), 26), least(member("b", 2, 51, scope("day", 100)), 25), least(member("c", 3, 102, scope("day", 100)), 51)},
			want:    []string{"0 approved least", waiting, refused}, settled: 50, held: 26,
		},
		"who only has to wait for the amount waits for it": {
			members: []worker.Member{member("a", 1, 60, scope("day", 100)), least(member("b", 2, 60, scope("day", 100)), 30)},
			want:    []string{approved, waiting}, held: 60,
		},
		"all scopes or none": {
			members: []worker.Member{
				member("a", 1, 60, scope("day", 1000), scope("user", 50)), member("b", 2, 50, scope("user", 50)),
				member("c", 3, 60, scope("day", 1000), scope("user", 60)), member("d", 4, 100, scope("day", 1000)),
			},
			want: []string{refused, approved, waiting, approved}, held: 100,
		},
		"a scope that is named twice counts once, with the lower limit": {
			members: []worker.Member{member("a", 1, 60, scope("day", 1000), scope("day", 100)), member("b", 2, 101, scope("day", 1000), scope("day", 100))},
			want:    []string{approved, refused}, held: 60,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			if c.before != nil {
				c.before(t, b)
			}
			wantGrants(t, b.admit(t, c.members...), c.want...)
			if c.settled+c.held > 0 {
				b.wantBalance(t, "day", c.settled, c.held)
			}
			b.wantChecked(t)
		})
	}
}

func TestAdmitWithoutMoney(t *testing.T) {
	t.Parallel()
	b := setup(t)
	denied := member("denied", 1, 100, scope("day", 1000))
	denied.Refused = messages.ReasonModelUnknown
	later := member("later", 2, 100, scope("day", 1000))
	later.WaitUntil = time.Now().Add(time.Hour)
	wantGrants(t, b.admit(t, denied, later, member("free", 3, 0, scope("day", 1000)), member("unlimited", 4, 100)),
		"0 refused model_unknown", "0 waiting not_before", approved, approved)
	if n := count[int](t, b, "SELECT count(*) FROM flowgate.scope"); n != 0 {
		t.Errorf("%d scopes were made", n)
	}
	wantGrants(t, b.admit(t, hold(later)), "0 waiting not_before")
	later.WaitUntil = time.Time{}
	wantGrants(t, b.admit(t, hold(later)), approved)
	b.wantBalance(t, "day", 0, 100)
	b.wantChecked(t)
}

func TestAdmitHolds(t *testing.T) {
	t.Parallel()
	b := setup(t)
	day := scope("day", 100)
	first, second := member("first", 2, 60, day), member("second", 3, 60, day)
	wantGrants(t, b.admit(t, member("a", 1, 60, day), first, second), approved, waiting, waiting)

	waiters, err := b.Waiting(t.Context(), []string{"day", "none"}, 10)
	if err != nil {
		t.Fatal(err)
	}
	if len(waiters) != 2 || waiters[0].ID != "first" || waiters[0].Class != messages.ClassStd || waiters[0].Since.IsZero() {
		t.Errorf("waiters are %+v", waiters)
	}
	wantGrants(t, b.admit(t, hold(first)), waiting)
	if committed := b.end(t, "a", 1, 30, "day"); !slices.Equal(committed.Freed, []string{"day"}) {
		t.Errorf("freed %v", committed.Freed)
	}
	first.Decision = []byte("second thoughts")
	wantGrants(t, b.admit(t, hold(first), hold(second)), approved, waiting)
	b.wantBalance(t, "day", 30, 60)

	t.Run("a decided hold that nobody published is told again", func(t *testing.T) {
		grants := b.admit(t, hold(first))
		wantGrants(t, grants, again)
		if string(grants[0].Decision) != "second thoughts" {
			t.Errorf("decision is %q", grants[0].Decision)
		}
	})
	t.Run("a hold that has gone on or ended is gone", func(t *testing.T) {
		b.end(t, "first", 20, 60, "day")
		b.end(t, "second", 30, 0, "day")
		wantGrants(t, b.admit(t, hold(first)), "5 approved ")
		if g := b.admit(t, hold(second)); g[0].Outcome != worker.GrantGone {
			t.Errorf("grant is %+v", g[0])
		}
	})
	for _, scopes := range [][]string{{"day"}, nil} {
		if waiters, err = b.Waiting(t.Context(), scopes, 10); err != nil || len(waiters) != 0 {
			t.Errorf("waiters are %v, %v", waiters, err)
		}
	}
	b.wantBalance(t, "day", 90, 0)
	t.Run("a hold whose row was lost is admitted anew", func(t *testing.T) {
		wantGrants(t, b.admit(t, hold(member("lost", 9, 1, day))), "0 approved ")
		b.wantBalance(t, "day", 90, 1)
	})
}

func TestAdmitQueuesBehindOldWaiters(t *testing.T) {
	t.Parallel()
	b := setup(t)
	day := scope("day", 100)
	w1, w2 := member("w1", 2, 90, day), member("w2", 3, 20, day)
	wantGrants(t, b.admit(t, member("a", 1, 60, day), w1), approved, waiting)
	wantGrants(t, b.admit(t, member("young", 4, 10, day)), approved)
	b.sql(t, "UPDATE flowgate.waiter SET since = since - interval '2 minutes' WHERE id = 'w1'")
	wantGrants(t, b.admit(t, w2, member("other", 5, 20, scope("else", 100))), waiting, approved)
	b.sql(t, "UPDATE flowgate.waiter SET since = since - interval '61 seconds' WHERE id = 'w2'")
	wantGrants(t, b.admit(t, hold(w2)), waiting)
	b.end(t, "a", 1, 0, "day")
	b.end(t, "young", 20, 0, "day")
	wantGrants(t, b.admit(t, hold(w1), hold(w2), member("new", 6, 10, day)), approved, waiting, waiting)
	b.end(t, "w1", 30, 0, "day")
	wantGrants(t, b.admit(t, member("newer", 7, 10, day), hold(w2), member("newest", 8, 10, day)), waiting, approved, approved)
	b.wantChecked(t)
}

// TestWhoWaitsForItsOwnBudgetHoldsUpNobodyElse: it queues where it has no room, not in what it shares with others.
func TestWhoWaitsForItsOwnBudgetHoldsUpNobodyElse(t *testing.T) {
	t.Parallel()
	b := setup(t)
	day, anna := scope("day", 1000), scope("anna", 100)
	w := member("w", 2, 60, day, anna)
	wantGrants(t, b.admit(t, member("a", 1, 60, day, anna), w), approved, waiting)
	b.sql(t, "UPDATE flowgate.waiter SET since = since - interval '2 minutes'")
	wantGrants(t, b.admit(t, member("bob", 3, 60, day), member("other", 4, 10, day, anna)), approved, waiting)
	wantGrants(t, b.admit(t, hold(w)), waiting)
	if n := count[int](t, b, "SELECT count(*) FROM flowgate.waiter"); n != 2 {
		t.Errorf("%d rows of waiters", n)
	}
	b.end(t, "a", 30, 0, "day", "anna")
	wantGrants(t, b.admit(t, member("late", 5, 10, day, anna), hold(w)), waiting, approved)
	b.wantChecked(t)
}

func TestAdmitReplays(t *testing.T) {
	t.Parallel()
	b := setup(t)
	epoch := func(n int, seq uint64) worker.Member {
		m := member("r", seq, 10, scope("day", 100))
		m.Epoch, m.Replay = n, n > 0
		return m
	}
	const replayRefused = "4  "
	wantGrants(t, b.admit(t, epoch(1, 5)), replayRefused)
	wantGrants(t, b.admit(t, epoch(0, 1)), approved)
	wantGrants(t, b.admit(t, epoch(1, 6)), replayRefused)
	in, out := ended("r", 1, 4, "day")
	out.End.Status, out.End.Replayable, out.DeadLetter = messages.StatusFailure, true, []byte("envelope")
	b.commit(t, worker.RecordBatch{Intents: []worker.Intent{in}, Outcomes: []worker.Outcome{out}})
	wantGrants(t, b.admit(t, epoch(2, 7)), replayRefused)
	wantGrants(t, b.admit(t, epoch(1, 8)), approved)
	wantGrants(t, b.admit(t, epoch(1, 8)), again)
	wantGrants(t, b.admit(t, epoch(1, 9)), duplicate)
	wantGrants(t, b.admit(t, epoch(2, 10)), replayRefused)
	if n, err := b.HighestEpoch(t.Context(), messages.Key{Tenant: "acme", ID: "r"}); err != nil || n != 1 {
		t.Errorf("highest epoch is %d, %v", n, err)
	}
	b.wantBalance(t, "day", 4, 10)
	b.wantChecked(t)
}

func TestAdmitIsolatesABadMember(t *testing.T) {
	t.Parallel()
	b := setup(t)
	bad := member("zero\x00byte", 2, 10, scope("day", 100))
	grants, err := b.Admit(t.Context(), []worker.Member{member("a", 1, 10, scope("day", 100)), bad, member("c", 3, 10, scope("day", 100))})
	if err != nil {
		t.Fatal(err)
	}
	if grants[0].Err != nil || grants[1].Err == nil || grants[2].Err != nil {
		t.Errorf("grants are %+v", grants)
	}
	b.wantBalance(t, "day", 0, 20)
}

func TestAdmitFailsAsAWholeWithoutADatabase(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.sql(t, "ALTER TABLE flowgate.admission RENAME TO elsewhere")
	if grants, err := b.Admit(t.Context(), []worker.Member{member("a", 1, 10), member("b", 2, 10)}); err == nil {
		t.Errorf("grants are %+v", grants)
	}
}

// Batches that hold the same members and scopes in opposite orders neither deadlock for good nor decide twice.
func TestAdmitConcurrentDuplicates(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const workers, size = 8, 40
	var members []worker.Member
	for i := range size {
		members = append(members, member(fmt.Sprint("m", i), uint64(i+1), 10, scope(fmt.Sprint("s", i%5), 1<<40)))
	}
	reversed := slices.Clone(members)
	slices.Reverse(reversed)
	var group sync.WaitGroup
	decided := make([]int, workers)
	faults := make([]error, workers)
	for w := range workers {
		group.Go(func() {
			batch := members
			if w%2 == 1 {
				batch = reversed
			}
			grants, err := b.Admit(t.Context(), batch)
			faults[w] = err
			for _, g := range grants {
				faults[w] = errors.Join(faults[w], g.Err)
				if g.Outcome == worker.GrantNew {
					decided[w]++
				}
			}
		})
	}
	group.Wait()
	if err := errors.Join(faults...); err != nil {
		t.Fatal(err)
	}
	sum := 0
	for _, n := range decided {
		sum += n
	}
	if sum != size {
		t.Errorf("%d members were decided anew %d times", size, sum)
	}
	b.wantBalance(t, "s0", 0, size/5*10)
	b.wantChecked(t)
}

func TestFiveHundredCentsAgainstADollar(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const cent, dollar = 10_000, 1_000_000
	grants := make([]worker.Grant, 500)
	faults := make([]error, len(grants))
	var group sync.WaitGroup
	for i := range grants {
		group.Go(func() {
			g, err := b.Admit(t.Context(), []worker.Member{member(fmt.Sprint("c", i), uint64(i+1), cent, scope("day", dollar))})
			if err == nil {
				grants[i], err = g[0], g[0].Err
			}
			faults[i] = err
		})
	}
	group.Wait()
	if err := errors.Join(faults...); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, g := range grants {
		if g.State == worker.AdmissionApproved {
			n++
		}
	}
	if n != 100 {
		t.Errorf("%d requests were approved, want 100", n)
	}
	b.wantBalance(t, "day", 0, dollar)
}

func TestARequestThatAPauseKeepsWaitingSaysSo(t *testing.T) {
	t.Parallel()
	b := setup(t)
	m := member("a", 1, 100, scope("day", 1000))
	m.WaitUntil, m.WaitReason = time.Now().Add(time.Minute), messages.ReasonPaused
	wantGrants(t, b.admit(t, m), "0 waiting paused")
	wantGrants(t, b.admit(t, hold(m)), "0 waiting paused")
	if n := count[int](t, b, "SELECT count(*) FROM flowgate.admission_pending WHERE id = 'a'"); n != 1 {
		t.Errorf("%d decisions: it waits on for the same reason", n)
	}
	m.WaitReason = "" // the pause is over, its not_before is not
	wantGrants(t, b.admit(t, hold(m)), "0 waiting not_before")
	m.WaitUntil = time.Time{}
	wantGrants(t, b.admit(t, hold(m)), approved)
	b.wantBalance(t, "day", 0, 100)
}

// TestAWorkerOfTheVersionBeforeAdmitsOnThisSchema: it calls admit without the reason of a wait.
func TestAWorkerOfTheVersionBeforeAdmitsOnThisSchema(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var outcome int
	var state, reason string
	sha := make([]byte, 32)
	err := b.raw.QueryRow(t.Context(), `SELECT outcome, state, reason
FROM flowgate.admit($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)`,
		[]string{"acme"}, []string{"a"}, []int32{0}, []string{"std"}, []int32{0}, []string{"first"}, []int64{1}, [][]byte{sha}, []bool{false},
		[]string{""}, []bool{true}, []int64{0}, []int32{0}, [][]byte{[]byte("{}")}, []int32{}, []int64{}, []string{}, []string{}).
		Scan(&outcome, &state, &reason)
	if err != nil || outcome != 0 || state != "waiting" || reason != "not_before" {
		t.Errorf("%d %s %s, %v", outcome, state, reason, err)
	}
}

// TestAClockThatJumpsADayBack lets a worker's clock jump: what was reserved in a day is settled in it, whatever the clock says when
// it comes again, and who waits goes on in the day that the clock says. No day is overspent.
func TestAClockThatJumpsADayBack(t *testing.T) {
	t.Parallel()
	b := setup(t)
	today, yesterday := scope("tenant:acme:day:2026-02-01", 100), scope("tenant:acme:day:2026-01-31", 100)
	at := func(m worker.Member, day worker.Scope) worker.Member {
		m.Scopes = []worker.Scope{day}
		return m
	}
	a, w := member("a", 1, 60, today), member("w", 2, 60, today)
	wantGrants(t, b.admit(t, a, w), approved, waiting)
	wantGrants(t, b.admit(t, at(a, yesterday)), again)
	b.wantBalance(t, today.Name, 0, 60)
	wantGrants(t, b.admit(t, hold(at(w, yesterday)), member("n", 3, 60, yesterday)), approved, waiting)
	b.wantBalance(t, yesterday.Name, 0, 60)
	if n := count[int](t, b, "SELECT count(*) FROM flowgate.waiter WHERE id = 'w'"); n != 0 {
		t.Errorf("it waits still, %d times", n)
	}
	b.end(t, "a", 1, 50, yesterday.Name) // whoever ended it took it for yesterday's
	b.end(t, "w", 20, 60, today.Name)
	wantGrants(t, b.admit(t, hold(at(member("n", 3, 60), today))), "0 refused limit_day")
	b.wantBalance(t, today.Name, 50, 0)
	b.wantBalance(t, yesterday.Name, 60, 0)
	b.wantChecked(t)
}

// TestTheSameIDOfTwoTenantsIsTwoAdmissions in one batch and one after the other.
func TestTheSameIDOfTwoTenantsIsTwoAdmissions(t *testing.T) {
	t.Parallel()
	b := setup(t)
	acme, other := member("same", 1, 60, scope("tenant:acme:day:2026-01-31", 100)), member("same", 1, 60, scope("tenant:other:day:2026-01-31", 100))
	other.Tenant = "other"
	wantGrants(t, b.admit(t, acme, other), approved, approved)
	wantGrants(t, b.admit(t, other, acme), again, again)
	b.end(t, "same", 1, 7, "tenant:acme:day:2026-01-31")
	b.wantBalance(t, "tenant:acme:day:2026-01-31", 7, 0)
	b.wantBalance(t, "tenant:other:day:2026-01-31", 0, 60)
	b.wantChecked(t)
}
