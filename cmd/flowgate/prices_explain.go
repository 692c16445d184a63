package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"flowgate/configs"
	"flowgate/messages"
	"flowgate/pipelines/pricing"
	"flowgate/worker"
	"flowgate/worker/postgres"
)

// costExplanation is how the cost of a request's newest epoch came about.
type costExplanation struct {
	messages.Key

	Epoch    int    `json:"epoch"`
	Status   string `json:"status"`
	CacheHit bool   `json:"cache_hit"`
	// Reused says where the answer came from that no call of this request brought.
	Reused *messages.Reused `json:"reused,omitempty"`
	// CostMicroUSD is on record, ComputedMicroUSD comes out of the calls again; Agrees tells whether they are equal, in sum and call by call.
	CostMicroUSD     int64      `json:"cost_microusd"`
	ComputedMicroUSD int64      `json:"computed_microusd"`
	Agrees           bool       `json:"agrees"`
	Calls            []costCall `json:"calls"`
}

// costCall is how the cost of a call came about.
type costCall struct {
	K       int    `json:"k"`
	Backend string `json:"backend"`
	Model   string `json:"model"`
	// Billing is known, none or in_doubt.
	Billing messages.Billing `json:"billing"`
	Class   string           `json:"class,omitempty"`
	// Price is the row by which it is charged; absent where nothing was, or nobody knows the row any more.
	Price *pricing.Row `json:"price,omitempty"`
	// Usage is what the provider told, Bill what it costs by that row.
	Usage *messages.Usage `json:"usage,omitempty"`
	Bill  *pricing.Bill   `json:"bill,omitempty"`
	// Exact is the sum of the bill in micro-dollars before it was rounded up.
	Exact string `json:"exact_microusd,omitempty"`
	// Bound is what it could cost at most, Cost what its outcome states, Charged what it is charged now, Computed what comes out again.
	Bound    int64 `json:"bound_microusd"`
	Cost     int64 `json:"cost_microusd"`
	Charged  int64 `json:"charged_microusd"`
	Computed int64 `json:"computed_microusd"`
	// Why says in words what it is charged; Agrees tells whether Cost is what comes out.
	Why    string `json:"why"`
	Agrees bool   `json:"agrees"`
}

func newPricesExplain(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "explain ID", Short: "Tell how a finished request's cost came about", Args: cobra.ExactArgs(1),
		Long: "Tells of the newest epoch that has ended what each call was charged: the row of prices and its version, the tokens of each class at\n" +
			"their price, what it was multiplied by, and the rounding; of a call in doubt its bound. It computes it all again from the recorded tokens\n" +
			"and the prices on record. Exit code 1: what comes out is not what is recorded, a price is not known any more, or no such request has\n" +
			"ended.",
		Example: "  flowgate prices explain invoice-4711\n  flowgate prices explain invoice-4711 --json",
		RunE: func(cmd *cobra.Command, args []string) error {
			key := messages.Key{Tenant: g.tenant, ID: args[0]}
			if err := messages.CheckKey(key); err != nil {
				return usageError{err}
			}
			settings, err := g.load()
			if err != nil {
				return err
			}
			prices, err := configs.PricesOf(settings)
			if err != nil {
				return usageError{err}
			}
			c, err := reach(cmd.Context(), g, true)
			if err != nil {
				return err
			}
			defer c.close()
			e, err := explainCost(cmd.Context(), c.db, key, prices)
			if err != nil {
				return err
			}
			if g.json {
				return verdict(printJSON(cmd.OutOrStdout(), e), e.Agrees)
			}
			return verdict(e.write(cmd.OutOrStdout()), e.Agrees)
		},
	}
}

// explainCost reads the record; now are the prices of today, for versions that no settings on record have.
func explainCost(ctx context.Context, db *postgres.DB, key messages.Key, now *pricing.Table) (costExplanation, error) {
	e := costExplanation{Key: key, Calls: []costCall{}}
	usages, err := db.OutcomeTokens(ctx, postgres.Filter{Tenant: key.Tenant, ID: key.ID, Limit: -1})
	if err != nil {
		return e, err
	}
	if len(usages) == 0 {
		return e, fmt.Errorf("%s: no such request has ended; `flowgate explain %s` tells of one that has not", key.ID, key.ID)
	}
	newest := slices.MaxFunc(usages, func(a, b postgres.OutcomeUsage) int { return a.Epoch - b.Epoch })
	story, err := db.Timeline(ctx, key)
	if err != nil && !errors.Is(err, worker.ErrNotFound) {
		return e, err
	}
	past, err := newRedecider(ctx, db, proposal{})
	if err != nil {
		return e, err
	}
	e.Epoch, e.Status, e.CacheHit, e.CostMicroUSD = newest.Epoch, newest.Status, newest.CacheHit, newest.CostMicroUSD
	b := biller{past: past, now: now, version: newest.PriceVersion, charged: map[int]int64{}}
	for i := range story.Epochs {
		if story.Epochs[i].Epoch == e.Epoch {
			e.Reused = b.read(&story.Epochs[i])
		}
	}
	e.Agrees = true
	for i := range newest.Attempts {
		call := b.call(&newest.Attempts[i])
		e.ComputedMicroUSD += call.Computed
		e.Agrees = e.Agrees && call.Agrees
		e.Calls = append(e.Calls, call)
	}
	e.Agrees = e.Agrees && e.ComputedMicroUSD == e.CostMicroUSD
	return e, nil
}

// biller computes calls again.
type biller struct {
	past *redecider
	now  *pricing.Table
	// version is the outcome's, for records whose calls name none; section is layer 1's.
	version string
	section messages.CorporateSection
	charged map[int]int64
}

// read takes over what the layers said; a section of a newer version has what is needed here, or the price is not found.
func (b *biller) read(story *postgres.EpochTimeline) (reused *messages.Reused) {
	for _, a := range story.Attempts {
		b.charged[a.K] = a.Charged
	}
	for _, l := range story.Layers {
		var answered messages.AISection
		switch messages.LayerName(l.Layer) {
		case messages.LayerCorporate:
			_ = json.Unmarshal(l.Section, &b.section)
		case messages.LayerAI:
			_ = json.Unmarshal(l.Section, &answered)
			reused = answered.Reused
		case messages.LayerOptimizer:
		}
	}
	return reused
}

// row is the price row that a call was charged by.
func (b *biller) row(a *messages.Attempt) (pricing.Row, bool) {
	version := a.PriceVersion
	for _, r := range b.section.Routes {
		if r.Backend == a.Backend && r.Model == a.Model {
			version = cmp.Or(version, r.PriceVersion)
		}
	}
	version = cmp.Or(version, b.version, b.section.PriceVersion)
	if p := b.past.settingsOf(b.section.PolicyVersion); p != nil {
		if row, found := p.Prices.ByVersion(a.Model, version); found {
			return row, true
		}
	}
	if row, found := b.now.ByVersion(a.Model, version); found {
		return row, true
	}
	for _, kept := range slices.Sorted(maps.Keys(b.past.kept)) { // the layer that called may have had other settings
		if p := b.past.settingsOf(kept); p != nil {
			if row, found := p.Prices.ByVersion(a.Model, version); found {
				return row, true
			}
		}
	}
	return pricing.Row{}, false
}

func (b *biller) call(a *messages.Attempt) costCall {
	c := costCall{
		K: a.K, Backend: a.Backend, Model: a.Model, Billing: a.Billing, Class: a.Class, Usage: a.Usage,
		Bound: a.BoundMicroUSD, Cost: a.CostMicroUSD, Charged: a.CostMicroUSD,
	}
	if charged, known := b.charged[a.K]; known {
		c.Charged = charged
	}
	row, found := b.row(a)
	if found && a.Billing != messages.BillingNone {
		c.Price = &row
	}
	switch {
	case a.Billing == messages.BillingNone:
		c.Why = "nothing was billed"
	case a.Billing == messages.BillingInDoubt:
		c.Computed, c.Why = a.BoundMicroUSD, "it may have been billed, and nobody told for what: it costs its bound"
	case a.Usage == nil:
		c.Why = "its tokens are not on record"
	case !found:
		c.Why = "its price is not known any more"
	default:
		bill := row.Bill(*a.Usage)
		c.Bill, c.Computed, c.Exact = &bill, bill.CostMicroUSD, decimal(exactSum(bill))
		c.Why = "its tokens at their price, rounded up once"
	}
	if c.Charged != c.Cost {
		c.Why += "; its true cost became known later"
	}
	c.Agrees = c.Computed == c.Cost && (found || a.Billing != messages.BillingKnown)
	return c
}
