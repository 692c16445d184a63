package postgres_test

import (
	"cmp"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"flowgate/messages"
	"flowgate/worker"
)

// TestTheLedgerIsItsModel draws schedules of admissions, duplicates, redeliveries, decisions on who waits and settlements in doubt
// or not, plays them against the database and against a model of forty lines, and compares every grant and every balance.
func TestTheLedgerIsItsModel(t *testing.T) {
	t.Parallel()
	b := setup(t)
	runs := 0
	rapid.Check(t, func(r *rapid.T) {
		runs++
		m := &ledgerModel{
			t: t, r: r, b: b, run: fmt.Sprint("m", runs), rows: map[string]*modelRow{}, settled: map[string]int64{}, held: map[string]int64{},
			limit: int64(rapid.IntRange(100, 1000).Draw(r, "limit")), position: worker.Position{Stream: fmt.Sprint("m", runs)},
		}
		r.Repeat(map[string]func(*rapid.T){"": m.compare, "admit": m.admit, "decide who waits": m.decide, "settle": m.settle})
		m.drain()
	})
	b.wantChecked(t)
}

// ledgerModel says what the ledger has to grant.
type ledgerModel struct {
	t   *testing.T
	r   *rapid.T
	b   *bundle
	run string

	limit         int64
	settled, held map[string]int64
	rows          map[string]*modelRow
	seq           uint64
	position      worker.Position
}

type modelRow struct {
	member   worker.Member
	state    worker.AdmissionState
	reserved int64
	ended    bool
}

// judge is the rule of money.
func (m *ledgerModel) judge(row *modelRow) string {
	amount := row.member.Amount
	for _, s := range row.member.Scopes {
		if m.settled[s.Name]+amount > s.Limit {
			amount = cmp.Or(row.member.Least, amount)
			break
		}
	}
	row.state = worker.AdmissionApproved
	for _, s := range row.member.Scopes {
		if amount == 0 {
			break
		}
		if m.settled[s.Name]+amount > s.Limit {
			row.state = worker.AdmissionRefused
			return refused
		}
		if m.settled[s.Name]+m.held[s.Name]+amount > s.Limit {
			row.state = worker.AdmissionWaiting
		}
	}
	if row.state == worker.AdmissionWaiting {
		return waiting
	}
	if len(row.member.Scopes) > 0 {
		row.reserved = amount
	}
	for _, s := range row.member.Scopes {
		m.held[s.Name] += amount
	}
	if row.reserved > 0 && row.reserved < row.member.Amount {
		return "0 approved least"
	}
	return approved
}

// admit sends a batch of new requests, of the same ones again, and of others with their ids.
func (m *ledgerModel) admit(r *rapid.T) {
	var members []worker.Member
	var want []string
	for range rapid.IntRange(1, 8).Draw(r, "members") {
		id := fmt.Sprintf("%s-%d", m.run, rapid.IntRange(1, 30).Draw(r, "id"))
		if slices.ContainsFunc(members, func(o worker.Member) bool { return o.ID == id }) {
			continue
		}
		row := m.rows[id]
		if row == nil {
			m.seq++
			row = &modelRow{member: m.draw(r, id)}
			m.rows[id] = row
			members, want = append(members, row.member), append(want, m.judge(row))
			continue
		}
		again := row.member
		reason := row.reason()
		if rapid.Bool().Draw(r, "a duplicate") {
			m.seq++
			again.IngressSeq = m.seq
			members, want = append(members, again), append(want, fmt.Sprintf("3 %s %s", row.state, reason))
			continue
		}
		outcome := worker.GrantAgain
		if row.ended {
			outcome = worker.GrantPassed
		}
		members, want = append(members, again), append(want, fmt.Sprintf("%d %s %s", outcome, row.state, reason))
	}
	m.grants(members, want)
}

// reason is what the row keeps.
func (row *modelRow) reason() messages.Reason {
	switch {
	case row.state == worker.AdmissionWaiting:
		return messages.ReasonWaitingMoney
	case row.state == worker.AdmissionRefused:
		return messages.ReasonLimitDay
	case row.reserved > 0 && row.reserved < row.member.Amount:
		return worker.GrantedLeast
	}
	return ""
}

func (m *ledgerModel) draw(r *rapid.T, id string) worker.Member {
	var scopes []worker.Scope
	for _, name := range []string{"day", "user", "month"} {
		if rapid.Bool().Draw(r, "in "+name) {
			scopes = append(scopes, scope(m.run+"."+name, m.limit))
		}
	}
	amount := int64(rapid.IntRange(0, 200).Draw(r, "amount"))
	d := member(id, m.seq, amount, scopes...)
	if rapid.Bool().Draw(r, "has a least") {
		d.Least = (amount + 1) / 2
	}
	return d
}

// ids are those of some rows, in an order that is the same every time.
func (m *ledgerModel) ids(in func(*modelRow) bool) []string {
	var ids []string
	for id, row := range m.rows {
		if in(row) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// decide decides anew on some that wait, and on some that wait no more.
func (m *ledgerModel) decide(r *rapid.T) {
	var members []worker.Member
	var want []string
	for _, id := range m.ids(func(*modelRow) bool { return true }) {
		if !rapid.Bool().Draw(r, "decided") {
			continue
		}
		row := m.rows[id]
		held := hold(row.member)
		switch {
		case row.ended:
			members, want = append(members, held), append(want, fmt.Sprintf("5 %s %s", row.state, row.reason()))
		case row.state == worker.AdmissionWaiting:
			members, want = append(members, held), append(want, m.judge(row))
		default:
			members, want = append(members, held), append(want, fmt.Sprintf("1 %s %s", row.state, row.reason()))
		}
	}
	m.grants(members, want)
}

func (m *ledgerModel) grants(members []worker.Member, want []string) {
	if len(members) == 0 {
		return
	}
	grants, err := m.b.Admit(m.t.Context(), members)
	if err != nil {
		m.r.Fatal(err)
	}
	if got := outcomes(grants); !slices.Equal(got, want) {
		m.r.Fatalf("grants are %q, want %q", got, want)
	}
}

// settle ends some, twice over; some of them in doubt, at their bound.
func (m *ledgerModel) settle(r *rapid.T) {
	for _, id := range m.ids(func(row *modelRow) bool { return row.state == worker.AdmissionApproved && !row.ended }) {
		if rapid.Bool().Draw(r, "ends") {
			m.end(m.rows[id], int64(rapid.IntRange(0, int(m.rows[id].reserved)).Draw(r, "cost")), rapid.Bool().Draw(r, "in doubt"))
		}
	}
}

func (m *ledgerModel) end(row *modelRow, cost int64, doubt bool) {
	in, out := ended(row.member.ID, row.member.IngressSeq*10, cost)
	if doubt {
		cost = row.reserved
		out.History[0].Billing, out.History[0].CostMicroUSD, out.History[0].BoundMicroUSD = messages.BillingInDoubt, cost, cost
		out.End.CostMicroUSD, out.AI.CostMicroUSD = cost, cost
		out.Sections = sections(&out)
	}
	to := worker.Position{Stream: m.position.Stream, Incarnation: "i", Seq: m.position.Seq + 1}
	batch := worker.RecordBatch{From: m.position, To: to, Intents: []worker.Intent{in, in}, Outcomes: []worker.Outcome{out, out}}
	if _, err := m.b.Commit(m.t.Context(), batch); err != nil {
		m.r.Fatal(err)
	}
	m.position, row.ended = to, true
	for _, s := range row.member.Scopes {
		if row.reserved > 0 {
			m.settled[s.Name] += cost
			m.held[s.Name] -= row.reserved
		}
	}
}

// compare compares the balances, which are never over the limit.
func (m *ledgerModel) compare(*rapid.T) {
	for _, name := range []string{"day", "user", "month"} {
		name = m.run + "." + name
		var settled, held int64
		if err := m.b.raw.QueryRow(m.t.Context(), "SELECT coalesce(sum(settled), 0)::bigint, coalesce(sum(reserved), 0)::bigint FROM flowgate.scope WHERE name = $1", name).
			Scan(&settled, &held); err != nil {
			m.r.Fatal(err)
		}
		if settled != m.settled[name] || held != m.held[name] || settled+held > m.limit {
			m.r.Fatalf("%s has %d settled and %d reserved of %d, want %d and %d", name, settled, held, m.limit, m.settled[name], m.held[name])
		}
	}
}

// drain ends all there is. Nothing stays held then, nobody waits, and who was refused would not have fitted by its least.
func (m *ledgerModel) drain() {
	for {
		for _, id := range m.ids(func(row *modelRow) bool { return row.state == worker.AdmissionApproved && !row.ended }) {
			m.end(m.rows[id], m.rows[id].reserved, false)
		}
		wait := m.ids(func(row *modelRow) bool { return row.state == worker.AdmissionWaiting })
		if len(wait) == 0 {
			break
		}
		for _, id := range wait {
			m.grants([]worker.Member{hold(m.rows[id].member)}, []string{m.judge(m.rows[id])})
		}
	}
	m.compare(m.r)
	for id, row := range m.rows {
		least, full := cmp.Or(row.member.Least, row.member.Amount), false
		for _, s := range row.member.Scopes {
			full = full || m.settled[s.Name]+least > s.Limit
		}
		if row.state == worker.AdmissionRefused && !full {
			m.r.Fatalf("%s was refused and would fit", id)
		}
	}
	for name, held := range m.held {
		if held != 0 {
			m.r.Fatalf("%d stay held in %s", held, name)
		}
	}
}
