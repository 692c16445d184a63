package postgres_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"flowgate/messages"
	"flowgate/pipelines/corporate"
	"flowgate/worker"
)

// The start of an hour.
var start = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

// clock puts a test's own clock in the place of the ledger's.
func (b *bundle) clock(t testing.TB, now time.Time) {
	t.Helper()
	if !b.clocked {
		b.clocked = true
		b.sql(t, `CREATE TABLE flowgate.test_clock (ms bigint); INSERT INTO flowgate.test_clock VALUES (0);
			CREATE OR REPLACE FUNCTION flowgate.rate_now() RETURNS bigint LANGUAGE sql VOLATILE AS 'SELECT ms FROM flowgate.test_clock'`)
	}
	b.sql(t, "UPDATE flowgate.test_clock SET ms = $1", now.UnixMilli())
}

func rate(name string, requests, tokens int64) worker.Rate {
	return worker.Rate{Name: name, Span: time.Minute, Requests: requests, Tokens: tokens, Reason: messages.ReasonLimitRateUser}
}

func waits(r worker.Rate) worker.Rate {
	r.Wait = true
	return r
}

func counts(id string, seq uint64, tokens int64, rates ...worker.Rate) worker.Member {
	m := member(id, seq, 0)
	m.Tokens, m.Rates = tokens, rates
	return m
}

const (
	limited  = "0 refused limit_rate_user"
	queueing = "0 waiting waiting_rate"
)

func wantAt(t *testing.T, g worker.Grant, at time.Time, blocked string) {
	t.Helper()
	if !g.RetryAt.Equal(at) || g.Blocked != blocked {
		t.Errorf("it may come back at %s for %s, want %s for %s", g.RetryAt.UTC(), g.Blocked, at, blocked)
	}
}

func TestRatesLetThroughAndTellWhenThereIsRoom(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.clock(t, start.Add(30*time.Second))
	ann := rate("ann", 4, 0)
	wantGrants(t, b.admit(t, counts("a1", 1, 0, ann), counts("a2", 2, 0, ann), counts("a3", 3, 0, ann), counts("a4", 4, 0, ann)), approved, approved, approved, approved)
	grants := b.admit(t, counts("a5", 5, 0, ann), counts("a6", 6, 0))
	wantGrants(t, grants, limited, approved)
	// Four weigh three when a quarter of the next minute is over.
	wantAt(t, grants[0], start.Add(75*time.Second), "ann")
	t.Run("the same message gets the same answer", func(t *testing.T) {
		grants := b.admit(t, counts("a5", 5, 0, ann))
		wantGrants(t, grants, "1 refused limit_rate_user")
		wantAt(t, grants[0], start.Add(75*time.Second), "ann")
	})
	t.Run("what was counted is not counted again", func(t *testing.T) {
		wantGrants(t, b.admit(t, counts("a4", 4, 0, ann)), again)
		if n := count[int](t, b, "SELECT requests FROM flowgate.rate WHERE name = 'ann'"); n != 4 {
			t.Errorf("%d are counted", n)
		}
	})
	for _, c := range []struct {
		at   time.Duration
		want string
	}{{75*time.Second - time.Millisecond, limited}, {75 * time.Second, approved}, {89 * time.Second, limited}, {90 * time.Second, approved}, {10 * time.Minute, approved}} {
		b.clock(t, start.Add(c.at))
		wantGrants(t, b.admit(t, counts("at"+c.at.String(), uint64(c.at), 0, ann)), c.want)
	}
	b.wantChecked(t)
}

// A request that is refused for one thing spends nothing of another, neither money nor a limit.
func TestRatesAndMoneyAreTakenTogetherOrNotAtAll(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.clock(t, start)
	ann, all := rate("ann", 1, 0), waits(rate("zz", 10, 100))
	both := func(id string, seq uint64, amount int64, rates ...worker.Rate) worker.Member {
		m := member(id, seq, amount, scope("day", 100))
		m.Rates, m.Tokens = rates, 40
		return m
	}
	denied := both("denied", 4, 10, ann, all)
	denied.Refused = messages.ReasonPolicyDenied
	wantGrants(t, b.admit(t, both("money", 1, 101, ann, all), denied, both("ok", 2, 60, ann, all), both("holds", 3, 60, all)),
		refused, "0 refused policy_denied", approved, waiting)
	wantGrants(t, b.admit(t, both("limit", 5, 10, ann, all), both("last", 6, 40, all), both("tokens", 7, 0, all)), limited, approved, queueing)
	b.wantBalance(t, "day", 0, 100)
	for name, want := range map[string]string{"ann": "1 40", "zz": "2 80"} {
		if got := count[string](t, b, "SELECT requests || ' ' || tokens FROM flowgate.rate WHERE name = $1", name); got != want {
			t.Errorf("%s has counted %s, want %s", name, got, want)
		}
	}
	b.wantChecked(t)
}

// Who waits comes back one after the other, and goes on by age.
func TestWhoWaitsForALimitQueuesByAge(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.clock(t, start)
	ann := waits(rate("ann", 2, 0))
	wantGrants(t, b.admit(t, counts("a", 1, 0, ann), counts("b", 2, 0, ann)), approved, approved)
	var members []worker.Member
	for i := range 6 {
		members = append(members, counts(fmt.Sprintf("w%d", i), uint64(10+i), 0, ann))
	}
	grants := b.admit(t, members...)
	wantGrants(t, grants, slices.Repeat([]string{queueing}, 6)...)
	for i := range grants {
		wantAt(t, grants[i], start.Add(90*time.Second+time.Duration(i)*30*time.Second), "ann")
	}
	if n := count[int](t, b, "SELECT count(*) FROM flowgate.waiter"); n != 6 {
		t.Errorf("%d wait", n)
	}
	b.sql(t, "UPDATE flowgate.waiter SET since = since - interval '1 second' * (20 - right(id, 1)::int)")
	b.clock(t, start.Add(120*time.Second))
	wantGrants(t, b.admit(t, counts("new", 20, 0, ann)), queueing) // there is room, and others are before it
	wantGrants(t, b.admit(t, hold(members[3]), hold(members[0]), hold(members[1]), hold(members[2])), queueing, approved, approved, queueing)
	free := ann
	free.Wait = false
	b.clock(t, start.Add(5*time.Minute))
	wantGrants(t, b.admit(t, counts("urgent", 21, 0, free)), approved) // who does not wait is not kept by who does

	waiters, err := b.Waiting(t.Context(), []string{"ann"}, 2)
	if err != nil || len(waiters) != 2 || waiters[0].ID != "w2" {
		t.Errorf("%+v wait: %v", waiters, err)
	}
	b.end(t, "w2", 100, 0) // cancelled
	if n := count[int](t, b, "SELECT count(*) FROM flowgate.waiter WHERE id = 'w2'"); n != 0 {
		t.Error("who has ended waits still")
	}
}

// Those who would wait go on only behind who waits already, with all the tokens that it asks for.
func TestSmallRequestsDoNotPassALargeOneThatWaits(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.clock(t, start)
	all := waits(rate("all", 0, 10_000))
	large := counts("large", 2, 8_000, all)
	grants := b.admit(t, counts("before", 1, 5_000, all), large, counts("small", 3, 100, all))
	wantGrants(t, grants, approved, queueing, queueing)
	wantAt(t, grants[1], start.Add(96*time.Second), "all") // 5,000 weigh 2,000
	b.sql(t, "UPDATE flowgate.waiter SET since = since - interval '1 second' * (5 - length(id) % 4) WHERE id IN ('large', 'small')")
	for i := range 9 {
		b.clock(t, start.Add(time.Duration(i+1)*10*time.Second))
		wantGrants(t, b.admit(t, counts(fmt.Sprintf("new%d", i), uint64(10+i), 100, all), hold(large)), queueing, queueing)
	}
	waiters, err := b.Waiting(t.Context(), nil, 3)
	if err != nil || len(waiters) != 3 {
		t.Errorf("%+v wait: %v", waiters, err)
	}
	b.clock(t, start.Add(96*time.Second))
	wantGrants(t, b.admit(t, hold(large), counts("urgent", 30, 100, rate("all", 0, 10_000))), approved, limited)
	wantGrants(t, b.admit(t, counts("last", 31, 100, all)), queueing)
	b.wantChecked(t)
}

// A limit that is lowered by far while many wait makes no sum that is no number.
func TestALimitThatIsLoweredByFarStillCounts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.clock(t, start)
	const most = 1_000_000_000_000
	hour := func(tokens int64) worker.Rate {
		r := waits(rate("all", 0, tokens))
		r.Span = time.Hour
		return r
	}
	wantGrants(t, b.admit(t, counts("a", 1, most, hour(most)), counts("b", 2, most, hour(most)), counts("c", 3, most, hour(most))), approved, queueing, queueing)
	wantGrants(t, b.admit(t, counts("d", 4, 1, hour(1))), queueing)
}

func TestTokensThatWereNotUsedAreGivenBackOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.clock(t, start)
	ann := rate("ann", 0, 1000)
	wantGrants(t, b.admit(t, counts("a", 1, 600, ann), counts("b", 2, 400, ann), counts("c", 3, 1, ann)), approved, approved, limited)
	finish := func(id string, seq uint64) worker.Committed {
		in, out := ended(id, seq, 5)
		out.Corporate.RateTokens = 600
		out.At = out.At.Truncate(time.Microsecond)
		batch := worker.RecordBatch{Intents: []worker.Intent{in}, Outcomes: []worker.Outcome{out}}
		b.commit(t, batch)
		return b.commit(t, batch)
	}
	tokens := func() int64 { return count[int64](t, b, "SELECT tokens FROM flowgate.rate WHERE name = 'ann'") }
	finish("a", 10) // used 120
	if got := tokens(); got != 520 {
		t.Errorf("%d tokens are counted, want 520", got)
	}
	b.clock(t, start.Add(time.Minute))
	wantGrants(t, b.admit(t, counts("d", 4, 1, ann)), approved)
	finish("b", 20)
	if got := count[int64](t, b, "SELECT tokens_before FROM flowgate.rate WHERE name = 'ann'"); got != 240 || tokens() != 1 {
		t.Errorf("%d and %d tokens are counted, want 240 and 1", got, tokens())
	}
	b.clock(t, start.Add(time.Hour))
	wantGrants(t, b.admit(t, counts("e", 5, 500, ann)), approved)
	finish("d", 30)
	if got := tokens(); got != 500 {
		t.Errorf("%d tokens are counted: what was given back belongs to another window", got)
	}
}

// An epoch may make more calls than the one at whose bound it was counted.
func TestTokensAboveTheBoundOfOneCallAreCountedOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.clock(t, start)
	ann := rate("ann", 0, 1000)
	wantGrants(t, b.admit(t, counts("a", 1, 500, ann), counts("b", 2, 100, ann)), approved, approved)
	finish := func(id string, seq uint64, bound, want int64, history ...messages.Attempt) {
		t.Helper()
		in, out := ended(id, seq, 0)
		out.Corporate.RateTokens, out.History, out.At = bound, history, out.At.Truncate(time.Microsecond)
		for range 2 {
			b.commit(t, worker.RecordBatch{Intents: []worker.Intent{in}, Outcomes: []worker.Outcome{out}})
			if got := count[int64](t, b, "SELECT tokens FROM flowgate.rate WHERE name = 'ann'"); got != want {
				t.Errorf("%d tokens are counted, want %d", got, want)
			}
		}
	}
	doubt := func(k int) messages.Attempt {
		return messages.Attempt{K: k, Layer: messages.LayerAI, Backend: "offline", StartedAt: time.Now(), Billing: messages.BillingInDoubt, BoundMicroUSD: 1}
	}
	answered := doubt(3)
	answered.Billing, answered.Usage = messages.BillingKnown, &messages.Usage{InputUncached: 100, Output: 20}
	finish("b", 10, 100, 600, doubt(1)) // as counted
	grants := b.admit(t, counts("c", 3, 400, ann))
	wantGrants(t, grants, approved)
	finish("a", 20, 500, 1620, doubt(1), doubt(2), answered)
	grants = b.admit(t, counts("d", 4, 100, ann))
	wantGrants(t, grants, limited)
	at := grants[0].RetryAt
	for _, c := range []struct {
		at   time.Time
		want string
	}{{at.Add(-time.Millisecond), limited}, {at, approved}} {
		b.clock(t, c.at)
		wantGrants(t, b.admit(t, counts("at"+c.at.String(), uint64(c.at.UnixMilli()), 100, ann)), c.want)
	}
	b.wantChecked(t)
}

func TestNoBackendsWordMakesACountNoNumber(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.clock(t, start)
	ann := rate("ann", 0, 1000)
	wantGrants(t, b.admit(t, counts("a", 1, 500, ann)), approved)
	in, out := ended("a", 10, 5)
	out.Corporate.RateTokens = 500
	out.History[0].Usage = &messages.Usage{InputUncached: 1 << 62, Output: 1 << 62}
	b.commit(t, worker.RecordBatch{Intents: []worker.Intent{in}, Outcomes: []worker.Outcome{out}})
	wantGrants(t, b.admit(t, counts("b", 2, 1, ann)), limited)
}

// A clock that jumps a day and back neither opens nor closes a limit for good.
func TestAClockThatJumpsNeitherOpensNorClosesALimit(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n := uint64(0)
	ask := func(at time.Time, want string) worker.Grant {
		t.Helper()
		n++
		b.clock(t, at)
		grants := b.admit(t, counts(fmt.Sprintf("r%d", n), n, 0, rate("ann", 2, 0)))
		wantGrants(t, grants, want)
		return grants[0]
	}
	day := start.Add(24 * time.Hour)
	ask(day, approved)
	ask(day, approved)
	ask(day.Add(-time.Second), limited) // a small step back opens nothing
	g := ask(start, limited)
	if wait := g.RetryAt.Sub(start); wait <= 0 || wait > 2*time.Minute {
		t.Errorf("a day back it is closed for %s", wait)
	}
	ask(g.RetryAt.Add(-time.Millisecond), limited)
	ask(g.RetryAt, approved)
	ask(day, approved)
	ask(day, approved)
	ask(day, limited)
}

func TestForgettingLimitsLeavesWhatCounts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.clock(t, start)
	b.admit(t, counts("a", 1, 0, rate("old", 1, 0)), counts("b", 2, 0, waits(rate("waited", 1, 0))), counts("c", 3, 0, waits(rate("waited", 1, 0))))
	b.clock(t, start.Add(2*time.Minute))
	b.admit(t, counts("d", 4, 0, rate("new", 1, 0)))
	b.clock(t, start.Add(3*time.Minute))
	b.sql(t, "INSERT INTO flowgate.rate (name, span) SELECT 'refused' || n, 60000 FROM generate_series(1, 25000) n")
	if n, err := b.ForgetRates(t.Context()); n != 25_001 || err != nil {
		t.Errorf("forgot %d: %v", n, err)
	}
	counted, now, err := b.Counted(t.Context(), []string{""}, 10)
	if err != nil || len(counted) != 2 || counted[0].Name != "new" || counted[1].Waiting != 1 || !now.Equal(start.Add(3*time.Minute)) {
		t.Errorf("counted %+v at %s: %v", counted, now, err)
	}
}

// However many admit at once: no window of the clock lets through more than the limit.
func TestManyAtOnceNeverPassALimit(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const workers, each, limit = 64, 12, 100
	var group sync.WaitGroup
	faults := make([]error, workers)
	for w := range workers {
		group.Go(func() {
			for i := range each {
				seq := uint64(w*each + i + 1)
				grants, err := b.Admit(t.Context(), []worker.Member{counts(fmt.Sprintf("r%d", seq), seq, 3, rate("ann", limit, 0), rate("zoe", 0, 3*limit))})
				if err == nil {
					err = grants[0].Err
				}
				if err != nil {
					faults[w] = err
					return
				}
			}
		})
	}
	group.Wait()
	for _, err := range faults {
		if err != nil {
			t.Fatal(err)
		}
	}
	over := count[int](t, b, `SELECT count(*) FROM (SELECT u.id, u.win FROM flowgate.admission a CROSS JOIN LATERAL unnest(a.rates, a.rate_wins) u (id, win)
		WHERE a.state = 'approved' GROUP BY 1, 2 HAVING count(*) > $1) x`, limit)
	through := count[int](t, b, "SELECT count(*) FROM flowgate.admission WHERE state = 'approved'")
	if over != 0 || through < limit || through+count[int](t, b, "SELECT count(*) FROM flowgate.admission WHERE state = 'refused'") != workers*each {
		t.Errorf("%d windows let through more than %d, %d were let through in all", over, limit, through)
	}
}

// The ledger counts as the counter in Go does, whatever the order of requests, ends and steps of the clock; and the time to come back
// is honest: at it there is room, a moment before there is none.
func TestTheLedgerCountsAsTheCounterDoes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	runs := 0
	rapid.Check(t, func(r *rapid.T) {
		runs++
		name := fmt.Sprintf("run%d", runs)
		requests, tokens := rapid.Int64Range(1, 5).Draw(r, "requests"), rapid.Int64Range(20, 60).Draw(r, "tokens")
		var model [2]corporate.Counter
		now, open := start, []counted{}
		index := func() int64 { return now.UnixMilli() / time.Minute.Milliseconds() }
		for step := range rapid.IntRange(1, 20).Draw(r, "steps") {
			switch rapid.IntRange(0, 3).Draw(r, "what") {
			case 0:
				now = now.Add(time.Duration(rapid.Int64Range(-90_000, 100_000).Draw(r, "step")) * time.Millisecond)
			case 1:
				if len(open) == 0 {
					continue
				}
				m := open[0]
				open = open[1:]
				_, out := ended(m.ID, m.IngressSeq*10, 0)
				out.Corporate.RateTokens, out.At = m.Tokens, out.At.Truncate(time.Microsecond)
				used := rapid.Int64Range(0, 30).Draw(r, "used")
				out.History[0].Usage = &messages.Usage{Output: used}
				b.commit(t, worker.RecordBatch{Outcomes: []worker.Outcome{out}})
				switch model[1].Index {
				case m.index:
					model[1].Now += used - m.Tokens
				case m.index + 1:
					model[1].Before += used - m.Tokens
				}
			default:
				b.clock(t, now)
				m := counts(fmt.Sprintf("%s-%d", name, step), uint64(runs*100+step), rapid.Int64Range(0, 20).Draw(r, "n"), rate(name, requests, tokens))
				fits := model[0].Used(now, time.Minute)+1 <= requests && (m.Tokens == 0 || model[1].Used(now, time.Minute)+m.Tokens <= tokens)
				g := b.admit(t, m)[0]
				if (g.State == worker.AdmissionApproved) != fits {
					r.Fatalf("at %s the ledger says %s, the counters %+v", now, g.State, model)
				}
				if fits || model[0].Index > index()+1 { // what was set back is kept
					model[0], _ = model[0].At(now, time.Minute)
					model[1], _ = model[1].At(now, time.Minute)
				}
				if fits {
					model[0].Now++
					model[1].Now += m.Tokens
					if m.Tokens > 0 { // the record says of whom it was not counted
						open = append(open, counted{m, model[1].Index})
					}
					continue
				}
				wait := time.Duration(0)
				if model[0].Used(now, time.Minute)+1 > requests {
					wait = model[0].Wait(now, time.Minute, 1, requests)
				}
				if m.Tokens > 0 && model[1].Used(now, time.Minute)+m.Tokens > tokens {
					wait = max(wait, model[1].Wait(now, time.Minute, m.Tokens, tokens))
				}
				if !g.RetryAt.Equal(now.Add(wait)) {
					r.Fatalf("the ledger says %s, the counters %s", g.RetryAt.UTC(), now.Add(wait))
				}
			}
		}
	})
}

// counted is a member that was let through, and the window that it was counted in.
type counted struct {
	worker.Member

	index int64
}

func TestAReplayCountsAgainAndADuplicateDoesNot(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.clock(t, start)
	ann := rate("ann", 2, 0)
	first := counts("r", 1, 0, ann)
	wantGrants(t, b.admit(t, first), approved)
	wantGrants(t, b.admit(t, first), again)
	wantGrants(t, b.admit(t, counts("r", 2, 0, ann)), duplicate)
	in, out := ended("r", 1, 4)
	out.End.Status, out.End.Replayable, out.DeadLetter = messages.StatusFailure, true, []byte("envelope")
	b.commit(t, worker.RecordBatch{Intents: []worker.Intent{in}, Outcomes: []worker.Outcome{out}})
	wantGrants(t, b.admit(t, first), passed)
	replay := counts("r", 5, 0, ann)
	replay.Epoch, replay.Replay = 1, true
	wantGrants(t, b.admit(t, replay), approved)
	wantGrants(t, b.admit(t, counts("other", 6, 0, ann)), limited)
}
