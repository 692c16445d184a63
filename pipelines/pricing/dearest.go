package pricing

import (
	"slices"
	"strings"
	"time"
)

// dearestPrefix begins the versions of rows that price models without one.
const dearestPrefix = "dearest-"

// AtDearest is the table that prices every model without a row at the dearest: in each class the highest price of any row that holds at
// that moment, for inputs of any length, with the multipliers that make a call dearer and none that makes it cheaper. Such a row has a
// version of its own, "dearest-" and the hash of its prices.
func (t *Table) AtDearest() *Table {
	moments := map[int64]time.Time{}
	for _, rows := range t.rows {
		for _, r := range rows {
			moments[r.EffectiveFrom.Unix()] = r.EffectiveFrom
		}
	}
	dear := &Table{rows: t.rows, version: t.version, dearest: []Row{}}
	for _, from := range moments {
		if row := t.highest(from); row.Input > 0 && row.Output > 0 {
			dear.dearest = append(dear.dearest, row)
		}
	}
	slices.SortFunc(dear.dearest, func(a, b Row) int { return b.EffectiveFrom.Compare(a.EffectiveFrom) })
	return dear
}

// PricesUnknown tells whether models without a row have a price.
func (t *Table) PricesUnknown() bool { return t != nil && t.dearest != nil }

// Dearest tells whether a version is that of a row which prices models without one.
func Dearest(version string) bool { return strings.HasPrefix(version, dearestPrefix) }

// highest is the row of the highest prices that hold at a moment.
func (t *Table) highest(at time.Time) Row {
	row := Row{EffectiveFrom: at} // an id without a row is of no known form either: its images are the dearest
	for model := range t.rows {
		r, found := t.listed(model, at)
		if !found {
			continue
		}
		for _, p := range append([]Tier{r.base()}, r.Tiers...) {
			row.Input, row.Output = max(row.Input, p.Input), max(row.Output, p.Output)
			row.CacheRead = max(row.CacheRead, p.CacheRead)
			row.CacheWrite5m, row.CacheWrite1h = max(row.CacheWrite5m, p.CacheWrite5m), max(row.CacheWrite1h, p.CacheWrite1h)
		}
		if r.Image() > imageDearest {
			row.ImageTokens = max(row.ImageTokens, r.Image())
		}
		m, of := &row.Multipliers, r.Multipliers
		m.Batch, m.Flex = max(m.Batch, dearer(of.Batch)), max(m.Flex, dearer(of.Flex))
		m.Priority, m.InferenceGeoUS = max(m.Priority, dearer(of.Priority)), max(m.InferenceGeoUS, dearer(of.InferenceGeoUS))
	}
	row.Version = dearestPrefix + row.version()
	return row
}

// dearer is a multiplier that makes a call dearer, else 0.
func dearer(percent int64) int64 {
	if percent <= 100 {
		return 0
	}
	return percent
}

// unknown is the row of a model without one.
func (t *Table) unknown(model string, fits func(Row) bool) (Row, bool) {
	for _, r := range t.dearest {
		if fits(r) {
			r.Model = model
			return r, true
		}
	}
	return Row{}, false
}
