package pricing

import (
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"flowgate/messages"
)

func TestMultipliersMultiplyAndAreRoundedOnce(t *testing.T) {
	r := sonnet()
	r.Multipliers = Multipliers{Batch: 50, Flex: 50, Priority: 175, InferenceGeoUS: 110}
	for _, c := range []struct {
		name  string
		usage messages.Usage
		want  int64
	}{
		{"the list", messages.Usage{InputUncached: 1000, ServiceTier: "standard", InferenceGeo: "global"}, 3000},
		{"a batch", messages.Usage{InputUncached: 1000, Batch: true, ServiceTier: "batch"}, 1500},
		{"flex", messages.Usage{InputUncached: 1000, ServiceTier: "flex"}, 1500},
		{"priority", messages.Usage{InputUncached: 1000, ServiceTier: "priority"}, 5250},
		{"in the US", messages.Usage{InputUncached: 1000, InferenceGeo: "us"}, 3300},
		{"a batch in the US", messages.Usage{InputUncached: 1000, Batch: true, InferenceGeo: "us"}, 1650},
		{"rounded after multiplying", messages.Usage{InputUncached: 1, Batch: true, InferenceGeo: "us"}, 2}, // 1.65
		{"capacity that was bought", messages.Usage{InputUncached: 1000, ServiceTier: "scale"}, 3000},
		{"a whole unit is not rounded", messages.Usage{InputUncached: 20, Batch: true, InferenceGeo: "us"}, 33},
	} {
		if got := r.Cost(c.usage); got != c.want {
			t.Errorf("%s: cost %d, want %d", c.name, got, c.want)
		}
		if !r.Prices(c.usage) {
			t.Errorf("%s: has no price", c.name)
		}
	}
	if got, want := r.Bound(1000, 0), int64(6000*1.75*1.1); got != want {
		t.Errorf("bound %d, want %d: priority in the US", got, want)
	}
	r.Multipliers = Multipliers{Batch: MaxPercent, Priority: MaxPercent, InferenceGeoUS: MaxPercent}
	if got := r.Bound(math.MaxInt64, math.MaxInt64); got != math.MaxInt64 {
		t.Errorf("too much: bound %d", got)
	}
}

func TestWaysOfBillingWithoutAMultiplierHaveNoPrice(t *testing.T) {
	plain := sonnet()
	for tier, want := range map[string]bool{"": true, "default": true, "auto": true, "reserved": true, "flex": true, "priority": false, "fast": false, "strange": false} {
		if got := plain.Prices(messages.Usage{Output: 1, ServiceTier: tier}); got != want {
			t.Errorf("tier %q: %v", tier, got)
		}
	}
	for where, want := range map[string]bool{"": true, "global": true, "not_available": true, "us": false, "eu": false} {
		if got := plain.Prices(messages.Usage{Output: 1, InferenceGeo: where}); got != want {
			t.Errorf("in %q: %v", where, got)
		}
	}
	if free := (Row{Model: "local", Free: true}); !free.Prices(messages.Usage{ServiceTier: "strange"}) {
		t.Error("what is free has no price")
	}
}

func TestEmbeddingsHaveNoOutputPrice(t *testing.T) {
	table, err := NewTable([]Row{{Model: "e", Input: 20_000, NoOutput: true}})
	if err != nil {
		t.Fatal(err)
	}
	r, _ := table.Row("e", day("2026-01-01"))
	if r.Cost(messages.Usage{InputUncached: 100}) != 2 || r.Bound(100, 2000) != 2 {
		t.Errorf("cost %d, bound %d", r.Cost(messages.Usage{InputUncached: 100}), r.Bound(100, 2000))
	}
	if !r.Prices(messages.Usage{InputUncached: 1}) || r.Prices(messages.Usage{InputUncached: 1, Output: 1}) {
		t.Error("output of a model that has none has a price")
	}
	for want, row := range map[string]Row{
		"output: must be 0 where the model has no output":        {Model: "e", Input: 1, Output: 1, NoOutput: true},
		"output: is required":                                    {Model: "e", Input: 1},
		"multipliers.batch: -1 is not from 1 to 1000 percent":    {Model: "e", Input: 1, Output: 1, Multipliers: Multipliers{Batch: -1}},
		"multipliers.priority: 1001 is not from 1 to 1000":       {Model: "e", Input: 1, Output: 1, Multipliers: Multipliers{Priority: 1001}},
		"multipliers.inference_geo_us: 9999 is not from 1 to 10": {Model: "e", Input: 1, Output: 1, Multipliers: Multipliers{InferenceGeoUS: 9999}},
	} {
		if _, err := NewTable([]Row{row}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestRowsKeepTheVersionsOfRecordsWhenTheyGetMultipliers(t *testing.T) {
	before, err := NewTable([]Row{sonnet()})
	if err != nil {
		t.Fatal(err)
	}
	row := sonnet()
	row.Multipliers.Batch = 50
	after, err := NewTable([]Row{row})
	if err != nil {
		t.Fatal(err)
	}
	old, _ := before.Row(row.Model, day("2026-01-01"))
	now, _ := after.Row(row.Model, day("2026-01-01"))
	if old.Version == now.Version {
		t.Error("another price, the same version")
	}
	found, ok := after.ByVersion(row.Model, old.Version)
	if !ok || found.Multipliers != (Multipliers{}) || found.Version != old.Version || found.Input != old.Input {
		t.Errorf("%v %+v: a record that names the version of before is not understood any more", ok, found)
	}
	if n := len(after.Rows()); n != 1 {
		t.Errorf("%d rows", n)
	}
}

func TestBillAddsUpToTheCost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r, u := drawRow(t), drawUsage(t)
		b := r.Bill(u)
		f := list
		for _, m := range b.Multipliers {
			f = f / 100 * factor(m.Percent)
		}
		var charges []charge
		for _, l := range b.Lines {
			charges = append(charges, charge{l.Tokens, l.Price})
		}
		if got := total(f, charges...); got != b.CostMicroUSD || got != r.Cost(u) {
			t.Fatalf("lines make %d, the bill says %d, the cost is %d", got, b.CostMicroUSD, r.Cost(u))
		}
	})
}

func dearTable(t testing.TB) *Table {
	t.Helper()
	late := Row{Model: "late", Input: 7_000_000, Output: 1_000_000, EffectiveFrom: day("2026-06-01"), Multipliers: Multipliers{Batch: 50, Flex: 50, InferenceGeoUS: 110}}
	early := sonnet()
	early.EffectiveFrom = day("2026-01-01")
	table, err := NewTable([]Row{late, early, {Model: "e", Input: 20_000, NoOutput: true}, {Model: "local", Free: true}})
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func TestUnknownModelsCostTheDearest(t *testing.T) {
	plain := dearTable(t)
	if _, found := plain.Row("unknown", day("2026-07-01")); found || plain.PricesUnknown() {
		t.Fatal("an unknown model has a price")
	}
	table := plain.AtDearest()
	if _, found := table.Row("unknown", day("2025-01-01")); found || !table.PricesUnknown() {
		t.Error("a price before there is any of output")
	}
	first, found := table.Row("unknown", day("2026-03-01"))
	if !found || first.Input != 6_000_000 || first.Output != 22_500_000 || first.CacheWrite1h != 12_000_000 || first.Multipliers != (Multipliers{}) {
		t.Errorf("%v %+v, want the dearest of every class and length", found, first)
	}
	r, _ := table.Row("unknown", day("2026-07-01"))
	if r.Input != 7_000_000 || r.Output != 22_500_000 || r.Multipliers != (Multipliers{InferenceGeoUS: 110}) || r.Model != "unknown" || !Dearest(r.Version) {
		t.Errorf("%+v", r)
	}
	if again, found := table.ByVersion("another", first.Version); !found || again.Input != first.Input || again.Model != "another" {
		t.Errorf("by version: %v %+v", found, again)
	}
	if r.Version == first.Version {
		t.Error("other prices, the same version")
	}
	if own, _ := table.Row("late", day("2026-07-01")); own.Output != 1_000_000 || Dearest(own.Version) {
		t.Errorf("a model with a row: %+v", own)
	}
	if slices.Contains(table.Models(), "unknown") || len(table.Rows()) != len(plain.Rows()) {
		t.Error("it lists what it does not have")
	}
	rebuilt, err := NewTable(table.Rows())
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := rebuilt.AtDearest().Row("unknown", day("2026-07-01")); again.Version != r.Version {
		t.Errorf("out of its own rows: version %s, was %s", again.Version, r.Version)
	}
}

func TestNoListedModelIsDearerThanTheDearest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var rows []Row
		for i := range rapid.IntRange(1, 4).Draw(t, "models") {
			r := drawRow(t)
			r.Model = string(rune('a' + i))
			rows = append(rows, r)
		}
		table, err := NewTable(rows)
		if err != nil {
			t.Fatal(err)
		}
		dearest, found := table.AtDearest().Row("unknown", day("2026-01-01"))
		if !found {
			t.Fatal("no price")
		}
		u := drawUsage(t)
		for _, r := range rows {
			if r.Prices(u) && dearest.Prices(u) && dearest.Cost(u) < r.Cost(u) {
				t.Fatalf("%+v costs %d, an unknown model %d", r, r.Cost(u), dearest.Cost(u))
			}
			if dearest.Bound(100, 100) < r.Bound(100, 100) {
				t.Fatalf("%+v is bound by %d, an unknown model by %d", r, r.Bound(100, 100), dearest.Bound(100, 100))
			}
		}
	})
}
