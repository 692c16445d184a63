package main

import (
	"cmp"
	"context"
	"fmt"
	"strconv"

	"flowgate/messages"
	"flowgate/worker/postgres"
)

// measure reads the record.
func (d *demo) measure(ctx context.Context) (*demoReport, error) {
	r := &demoReport{Backend: "offline", Lines: len(d.sent), Statuses: make(map[string]int), Reasons: make(map[string]int)}
	all := postgres.Filter{Tenant: d.g.tenant, Limit: -1}
	outcomes, err := d.c.db.ListOutcomes(ctx, all)
	if err != nil {
		return nil, err
	}
	for _, o := range outcomes {
		r.Statuses[o.Status]++
		r.Reasons[o.Reason]++
		r.TokensIn += o.TokensIn
		r.TokensOut += o.TokensOut
		r.Cost += o.CostMicroUSD
		if o.Replayable {
			r.Dead = append(r.Dead, demoDeadLetter{o.ID, o.Reason, o.Field, o.Detail})
		}
	}
	if r.Duplicates, err = d.c.db.CountEvents(ctx, d.g.tenant, string(messages.EventDuplicateID)); err != nil {
		return nil, err
	}
	if r.Recomputed, err = d.recompute(ctx, all); err != nil {
		return nil, err
	}
	r.Layers, err = d.c.db.LayerTimes(ctx, d.g.tenant)
	return r, err
}

// recompute adds up what the recorded tokens cost by the price rows that the record names.
func (d *demo) recompute(ctx context.Context, all postgres.Filter) (sum int64, err error) {
	usages, err := d.c.db.OutcomeTokens(ctx, all)
	if err != nil {
		return 0, err
	}
	for _, u := range usages {
		for _, a := range u.Attempts {
			if a.Usage == nil {
				continue
			}
			row, found := d.node.prices.ByVersion(a.Model, cmp.Or(a.PriceVersion, u.PriceVersion))
			if !found {
				return 0, fmt.Errorf("outcome %s names a price row that is not there: %s %s", u.ID, a.Model, u.PriceVersion)
			}
			sum += row.Cost(*a.Usage)
		}
	}
	return sum, nil
}

// show prints the tables.
func (d *demo) show(r *demoReport) error {
	if d.g.json {
		return nil
	}
	out := d.cmd.OutOrStdout()
	var rows [][]string
	for _, s := range messages.Statuses() {
		if n := r.Statuses[string(s)]; n > 0 {
			rows = append(rows, []string{string(s), strconv.Itoa(n)})
		}
	}
	rows = append(rows, []string{"duplicate_id", strconv.FormatUint(r.Duplicates, 10)})
	d.say("\nWhat became of %d lines:", r.Lines)
	if err := table(out, "RESULT REQUESTS", rows); err != nil {
		return err
	}
	rows = nil
	for _, l := range r.Layers {
		rows = append(rows, []string{l.Layer, strconv.FormatInt(l.Requests, 10), fmt.Sprintf("%.1f", l.P50), fmt.Sprintf("%.1f", l.P95)})
	}
	d.say("")
	if err := table(out, "LAYER REQUESTS P50_MS P95_MS", rows); err != nil {
		return err
	}
	d.say("\nTokens %d in, %d out. Money %s by the price table, %d micro-dollars off when recomputed from tokens.", r.TokensIn, r.TokensOut,
		dollars(r.Cost), r.Cost-r.Recomputed)
	d.say("(The offline backend declares its tokens; nothing was paid.)")
	d.say("\nDead letters:")
	rows = nil
	for _, l := range r.Dead {
		rows = append(rows, []string{l.ID, l.Reason, l.Field, l.Detail})
	}
	return table(out, "ID REASON FIELD WHY", rows)
}
