package main

import (
	"cmp"
	"context"
	"slices"
	"time"

	"flowgate/messages"
	"flowgate/pipelines/corporate"
	"flowgate/worker/postgres"
)

// mostExamples bounds the requests that a trial names.
const mostExamples = 10

// redecision is what became of the decisions of a window.
type redecision struct {
	// Tenant is the one whose decisions they are.
	Tenant   string `json:"tenant"`
	Requests int    `json:"requests"`
	Same     int    `json:"same"`
	// NotReproduced came out otherwise although nothing was changed.
	NotReproduced int `json:"not_reproduced"`
	// Denied would be refused and were not; their calls cost DeniedMicroUSD. Passed were refused and would not be. Otherwise would be
	// refused for something else, or go on as something else. Waiting would have waited for others' reservations.
	Denied         int   `json:"would_be_denied"`
	DeniedMicroUSD int64 `json:"would_be_denied_microusd"`
	Passed         int   `json:"would_pass"`
	Otherwise      int   `json:"otherwise"`
	Waiting        int   `json:"would_wait"`
	// Causes say why NotRecomputable cannot be decided again.
	NotRecomputable int                   `json:"not_recomputable"`
	Causes          map[corporate.Gap]int `json:"causes"`
	Was             redecidedMoney        `json:"was"`
	Now             redecidedMoney        `json:"now"`
	// Unpriced have no cost by the prices that are tried.
	Unpriced int                 `json:"unpriced"`
	Examples []redecisionExample `json:"examples"`
	// More tells that the window has more requests than were read, which are the newest.
	More bool `json:"more"`
	// refusedBefore were refused by another check than the policy's, then and now.
	refusedBefore int
	// chosen tells that not all of the tenant's were asked for.
	chosen bool
}

// redecidedMoney is that of the requests that are let through, in micro-dollars: the bounds of one call of each, what is reserved,
// and what they cost. One that never ran costs its bound.
type redecidedMoney struct {
	Bound    int64 `json:"bound_microusd"`
	Reserved int64 `json:"reserved_microusd"`
	Cost     int64 `json:"cost_microusd"`
}

// redecisionExample is a request that would be decided otherwise.
type redecisionExample struct {
	messages.Key

	Epoch  int    `json:"epoch"`
	Before string `json:"before"`
	After  string `json:"after"`
	// Differ names what is not the same although nothing was changed.
	Differ []string `json:"differ,omitempty"`
}

// good tells whether everything was decided again, and the same.
func (r *redecision) good() bool {
	return r.NotReproduced+r.Denied+r.Passed+r.Otherwise+r.NotRecomputable == 0
}

// redecide decides again what a filter chooses.
func redecide(ctx context.Context, db *postgres.DB, f postgres.Filter, c proposal) (*redecision, error) {
	r, err := newRedecider(ctx, db, c)
	if err != nil {
		return nil, err
	}
	more := f.Limit > 0
	if more {
		f.Limit++
	}
	decisions, err := db.Decisions(ctx, f)
	if err != nil {
		return nil, err
	}
	if more = more && len(decisions) == f.Limit; more {
		decisions = decisions[:f.Limit-1]
	}
	all := make([]redone, len(decisions))
	for i, d := range decisions {
		all[i] = r.again(d)
	}
	if c.limited() {
		if err := r.rehearse(ctx, db, f.Tenant, all); err != nil {
			return nil, err
		}
	}
	report := &redecision{Tenant: f.Tenant, chosen: f.Status+f.Reason+f.User != "", Causes: make(map[corporate.Gap]int), Examples: []redecisionExample{}, More: more}
	for i := range all {
		report.count(&all[i])
	}
	return report, nil
}

func (r *redecision) count(d *redone) {
	r.Requests++
	if d.Gap != "" {
		r.NotRecomputable++
		r.Causes[d.Gap]++
		return
	}
	switch {
	case len(d.Differ) > 0:
		r.NotReproduced++
	case d.Word == corporate.AgainDenied:
		r.Denied++
		r.DeniedMicroUSD += d.Cost
	case d.Word == corporate.AgainPassed:
		r.Passed++
	case d.Word == corporate.AgainOtherwise:
		r.Otherwise++
	default:
		r.Same++
		if check, _ := corporate.Refuser(d.Was); check != "" && check != "policy" {
			r.refusedBefore++
		}
	}
	if d.Waits {
		r.Waiting++
	}
	r.money(d)
	if (len(d.Differ) > 0 || d.Word != corporate.AgainSame) && len(r.Examples) < mostExamples {
		r.Examples = append(r.Examples, redecisionExample{d.Key, d.Epoch, saidOf(d.Was, d.WasEnd), saidOf(d.Now, d.NowEnd), d.Differ})
	}
}

func (r *redecision) money(d *redone) {
	if d.Unpriced {
		r.Unpriced++
	}
	if d.WasEnd == nil {
		r.Was.Bound, r.Was.Reserved, r.Was.Cost = r.Was.Bound+d.Was.BoundMicroUSD, r.Was.Reserved+d.Was.ReservedMicroUSD, r.Was.Cost+d.Cost
	}
	if d.NowEnd == nil {
		r.Now.Bound, r.Now.Reserved, r.Now.Cost = r.Now.Bound+d.Now.BoundMicroUSD, r.Now.Reserved+d.Now.ReservedMicroUSD, r.Now.Cost+d.CostNow
	}
}

// rehearse plays the ledger again under limits of days and months: what was granted is a fact of other limits.
func (r *redecider) rehearse(ctx context.Context, db *postgres.DB, tenant string, all []redone) error {
	oldest := time.Now()
	for i := range all {
		if all[i].Stored.Before(oldest) {
			oldest = all[i].Stored
		}
	}
	settled, err := r.settledBefore(ctx, db, tenant, oldest)
	if err != nil {
		return err
	}
	playAgain(all, settled)
	return nil
}

// playAgain asks the ledger for what no check refuses. What a limit on requests or tokens refused is taken as it was: limits of money
// say nothing of it, and it never came to reserve any.
func playAgain(all []redone, settled map[string]int64) {
	var asked []int
	var spends []corporate.Spend
	for i := range all {
		d := &all[i]
		if d.Gap != "" || !d.Asks || corporate.ByRate(d.NowEnd) {
			continue
		}
		cost := d.CostNow
		if d.WasEnd != nil {
			cost = d.most()
		}
		asked = append(asked, i)
		spends = append(spends, corporate.Spend{At: d.Now.FinishedAt, Ended: d.Stored, Amount: d.Amount, Cost: cost, Scopes: d.Scopes})
	}
	for n, said := range corporate.Rehearse(spends, settled) {
		all[asked[n]].limited(said)
	}
}

// limited takes over what the ledger would have said.
func (d *redone) limited(said corporate.Rehearsed) {
	d.Waits = said.Waits
	switch was := d.WasEnd; {
	case said.Reason == "":
		if d.NowEnd = nil; was != nil {
			d.Word = corporate.AgainPassed
			d.Now.ReservedMicroUSD, d.CostNow = d.Amount, d.most()
		}
		return
	case was == nil:
		d.Word = corporate.AgainDenied
	case was.Reason != said.Reason:
		d.Word = corporate.AgainOtherwise
	}
	d.NowEnd = &messages.End{Status: messages.StatusDenied, Reason: said.Reason, Layer: messages.LayerCorporate}
}

// settledBefore is what every scope had spent in its month and day when the window begins.
func (r *redecider) settledBefore(ctx context.Context, db *postgres.DB, tenant string, begin time.Time) (map[string]int64, error) {
	zone := cmp.Or(r.zone, time.UTC)
	at := begin.In(zone)
	month := time.Date(at.Year(), at.Month(), 1, 0, 0, 0, 0, zone)
	spent, err := db.DaysSpent(ctx, tenant, month, begin, zone.String())
	if err != nil {
		return nil, err
	}
	settled := make(map[string]int64)
	for _, s := range spent {
		names := map[corporate.BudgetKind]string{
			corporate.BudgetTenant: "", corporate.BudgetUser: s.UserID, corporate.BudgetDepartment: s.Department, corporate.BudgetAgreement: s.Trigger,
		}
		for kind, name := range names {
			scope := corporate.ScopeName(s.Tenant, kind, name)
			settled[scope+corporate.DayWindow(s.Day)] += s.SpentMicroUSD
			settled[scope+corporate.MonthWindow(s.Day)] += s.SpentMicroUSD
		}
	}
	return settled, nil
}

// saidOf says a decision in a few words.
func saidOf(s *messages.CorporateSection, end *messages.End) string {
	if end == nil {
		return decided("", s.Flags)
	}
	if check, rule := corporate.Refuser(s); check == "policy" && rule != "" {
		return decided(rule, s.Flags)
	}
	return decided(string(end.Reason), s.Flags)
}

// oldestFirst orders the epochs of one request.
func oldestFirst(all []redone) {
	slices.SortFunc(all, func(a, b redone) int { return a.Epoch - b.Epoch })
}
