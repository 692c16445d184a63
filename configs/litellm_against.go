package configs

import (
	"slices"
	"strings"
	"time"

	"flowgate/pipelines/pricing"
)

// PriceChange is a model of which an import changes the price.
type PriceChange struct {
	Old pricing.Row `json:"old"`
	New pricing.Row `json:"new"`
}

// PriceDifferences is what an import changes of a table.
type PriceDifferences struct {
	// Same is how many models keep their price.
	Same    int           `json:"same"`
	Changed []PriceChange `json:"changed"`
	Added   []pricing.Row `json:"added"`
}

// Rows are those that the table does not have yet, by model.
func (d PriceDifferences) Rows() []pricing.Row {
	rows := slices.Clone(d.Added)
	for _, c := range d.Changed {
		rows = append(rows, c.New)
	}
	for i := range rows {
		rows[i].Version = "" // its content's
	}
	slices.SortFunc(rows, func(a, b pricing.Row) int { return strings.Compare(a.Model, b.Model) })
	return rows
}

// Against compares an import with a table at the moment from which it would hold. What the import does not say of a model that the table
// has is carried over: multipliers, retirement, cache classes in proportion to the input, and the prices of long inputs where short ones
// cost the same.
func (in PriceImport) Against(table *pricing.Table, from time.Time) (PriceDifferences, error) {
	d := PriceDifferences{Changed: []PriceChange{}, Added: []pricing.Row{}}
	for _, r := range in.Rows {
		old, found := table.Row(r.Model, from)
		if found {
			r = carried(r, old)
		}
		filled, err := pricing.NewTable([]pricing.Row{r})
		if err != nil {
			return d, err
		}
		r, _ = filled.Row(r.Model, from)
		switch {
		case !found:
			d.Added = append(d.Added, r)
		case samePrices(old, r):
			d.Same++
		default:
			d.Changed = append(d.Changed, PriceChange{old, r})
		}
	}
	return d, nil
}

func carried(r, old pricing.Row) pricing.Row {
	keep := func(into *int64, value int64) {
		if *into == 0 {
			*into = value
		}
	}
	keep(&r.Multipliers.Batch, old.Multipliers.Batch)
	keep(&r.Multipliers.Flex, old.Multipliers.Flex)
	keep(&r.Multipliers.Priority, old.Multipliers.Priority)
	keep(&r.Multipliers.InferenceGeoUS, old.Multipliers.InferenceGeoUS)
	keep(&r.ImageTokens, old.ImageTokens)
	r.RetiredOn, r.RetiredBy, r.Successor = old.RetiredOn, old.RetiredBy, old.Successor
	t := pricing.Tier{Input: r.Input, CacheRead: r.CacheRead, CacheWrite5m: r.CacheWrite5m, CacheWrite1h: r.CacheWrite1h}
	inProportion(&t, pricing.Tier{Input: old.Input, CacheRead: old.CacheRead, CacheWrite5m: old.CacheWrite5m, CacheWrite1h: old.CacheWrite1h})
	r.CacheRead, r.CacheWrite5m, r.CacheWrite1h = t.CacheRead, t.CacheWrite5m, t.CacheWrite1h
	if len(r.Tiers) == 0 && r.Input == old.Input && r.Output == old.Output {
		r.Tiers = old.Tiers
	}
	return r
}

func samePrices(a, b pricing.Row) bool {
	return a.Input == b.Input && a.Output == b.Output && a.CacheRead == b.CacheRead && a.CacheWrite5m == b.CacheWrite5m &&
		a.CacheWrite1h == b.CacheWrite1h && a.NoOutput == b.NoOutput && a.Free == b.Free && a.Multipliers == b.Multipliers &&
		slices.Equal(a.Tiers, b.Tiers)
}
