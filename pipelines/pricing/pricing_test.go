package pricing

import (
	"math"
	"math/big"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"flowgate/messages"
)

func day(s string) time.Time {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		panic(err)
	}
	return t
}

func sonnet() Row {
	return Row{
		Model: "claude-sonnet-4-5", Input: 3_000_000, Output: 15_000_000, CacheRead: 300_000, CacheWrite5m: 3_750_000, CacheWrite1h: 6_000_000,
		Tiers: []Tier{{Above: 200_000, Input: 6_000_000, Output: 22_500_000, CacheRead: 600_000, CacheWrite5m: 7_500_000, CacheWrite1h: 12_000_000}},
	}
}

func TestCostAddsEveryClassAndRoundsUpOnce(t *testing.T) {
	for _, c := range []struct {
		name  string
		usage messages.Usage
		want  int64
	}{
		{"nothing", messages.Usage{}, 0},
		{"one input token", messages.Usage{InputUncached: 1}, 3},
		{"one cached token is rounded up", messages.Usage{InputCacheRead: 1}, 1},
		{"the sum is rounded, not its parts", messages.Usage{InputCacheRead: 2, InputCacheWrite5m: 1}, 5},
		{"reasoning is part of the output", messages.Usage{Output: 10, OutputReasoning: 9}, 150},
		{"up to the tier", messages.Usage{InputUncached: 200_000, Output: 1000}, 615_000},
		{"above the tier everything is dearer", messages.Usage{InputUncached: 200_001, Output: 1000}, 1_222_506},
		{"cached input counts for the tier", messages.Usage{InputUncached: 1, InputCacheRead: 200_000}, 120_006},
		{"negative counts are 0", messages.Usage{InputUncached: -5, Output: 1}, 15},
		{"too much is as much as there is", messages.Usage{InputUncached: math.MaxInt64}, math.MaxInt64},
		{"the sum of classes may overflow", messages.Usage{InputUncached: math.MaxInt64, InputCacheRead: math.MaxInt64}, math.MaxInt64},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := sonnet().Cost(c.usage); got != c.want {
				t.Errorf("cost %d, want %d", got, c.want)
			}
		})
	}
}

func TestBoundTakesTheDearestClassOfTheDearestReachableTier(t *testing.T) {
	for _, c := range []struct {
		name          string
		input, output int64
		want          int64
	}{
		{"nothing", 0, 0, 0},
		{"the hour's cache write is dearest", 1000, 2000, 6000 + 30_000},
		{"at the threshold", 200_000, 0, 1_200_000},
		{"above it", 200_001, 1000, 2_400_012 + 22_500},
		{"negative counts are 0", -1, -1, 0},
		{"too much", math.MaxInt64, math.MaxInt64, math.MaxInt64},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := sonnet().Bound(c.input, c.output); got != c.want {
				t.Errorf("bound %d, want %d", got, c.want)
			}
		})
	}
	cheaper := Row{Model: "m", Input: 10, Output: 10, Tiers: []Tier{{Above: 10, Input: 1, Output: 1}}}
	if got, want := cheaper.Bound(1_000_000, 0), int64(10); got != want {
		t.Errorf("a tier that is cheaper: bound %d, want %d of the dearer", got, want)
	}
}

func drawRow(t *rapid.T) Row {
	price := func(name string, least int64) int64 {
		return rapid.OneOf(rapid.Int64Range(least, 100), rapid.Int64Range(least, MaxPrice)).Draw(t, name)
	}
	r := Row{
		Model: "m", Input: price("in", 1), Output: price("out", 1),
		CacheRead: price("read", 0), CacheWrite5m: price("5m", 0), CacheWrite1h: price("1h", 0),
	}
	above := int64(0)
	for range rapid.IntRange(0, 3).Draw(t, "tiers") {
		above += rapid.Int64Range(1, 300_000).Draw(t, "above")
		r.Tiers = append(r.Tiers, Tier{
			Above: above, Input: price("in", 1), Output: price("out", 1),
			CacheRead: price("read", 0), CacheWrite5m: price("5m", 0), CacheWrite1h: price("1h", 0),
		})
	}
	percent := func(name string) int64 {
		return rapid.OneOf(rapid.Just(int64(0)), rapid.SampledFrom([]int64{50, 110, 175}), rapid.Int64Range(1, MaxPercent)).Draw(t, name)
	}
	r.Multipliers = Multipliers{Batch: percent("batch"), Flex: percent("flex"), Priority: percent("priority"), InferenceGeoUS: percent("geo")}
	return r
}

func drawTokens(t *rapid.T, name string) int64 {
	return rapid.OneOf(rapid.Int64Range(-2, 10), rapid.Int64Range(0, 400_000), rapid.Int64()).Draw(t, name)
}

func drawUsage(t *rapid.T) messages.Usage {
	return messages.Usage{
		InputUncached: drawTokens(t, "uncached"), InputCacheRead: drawTokens(t, "read"), InputCacheWrite5m: drawTokens(t, "5m"),
		InputCacheWrite1h: drawTokens(t, "1h"), Output: drawTokens(t, "output"),
		ServiceTier: rapid.SampledFrom([]string{"", "standard", "default", "flex", "priority", "batch", "scale", "fast", "strange"}).Draw(t, "tier"),
		Batch:       rapid.Bool().Draw(t, "batched"), InferenceGeo: rapid.SampledFrom([]string{"", "global", "us", "eu"}).Draw(t, "where"),
	}
}

func TestCostNeverExceedsTheBoundOfItsTokens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r, u := drawRow(t), drawUsage(t)
		in, out := inputOf(u), max(u.Output, 0)
		in += rapid.Int64Range(0, math.MaxInt64-in).Draw(t, "spare input")
		out += rapid.Int64Range(0, math.MaxInt64-out).Draw(t, "spare output")
		if cost, bound := r.Cost(u), r.Bound(in, out); cost > bound || cost < 0 {
			t.Fatalf("cost %d, bound %d", cost, bound)
		}
	})
}

func TestBoundGrowsWithTokens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := drawRow(t)
		in, out := rapid.Int64Range(0, math.MaxInt64).Draw(t, "in"), rapid.Int64Range(0, math.MaxInt64).Draw(t, "out")
		less, fewer := rapid.Int64Range(0, in).Draw(t, "less"), rapid.Int64Range(0, out).Draw(t, "fewer")
		if r.Bound(less, fewer) > r.Bound(in, out) {
			t.Fatal("fewer tokens have a higher bound")
		}
	})
}

func TestCostIsTheExactSumRoundedUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r, u := drawRow(t), drawUsage(t)
		tier := r.filled().tier(inputOf(u))
		sum := new(big.Int)
		for _, c := range []charge{
			{u.InputUncached, tier.Input},
			{u.InputCacheRead, tier.CacheRead},
			{u.InputCacheWrite5m, tier.CacheWrite5m},
			{u.InputCacheWrite1h, tier.CacheWrite1h},
			{u.Output, tier.Output},
		} {
			sum.Add(sum, new(big.Int).Mul(big.NewInt(max(c.tokens, 0)), big.NewInt(c.price)))
		}
		exact := new(big.Rat).SetFrac(sum, big.NewInt(1_000_000))
		percent := func(applies bool, p int64) {
			if applies && p > 0 {
				exact.Mul(exact, big.NewRat(p, 100))
			}
		}
		percent(u.Batch, r.Multipliers.Batch)
		percent(u.ServiceTier == "flex", r.Multipliers.Flex)
		percent(u.ServiceTier == "priority", r.Multipliers.Priority)
		percent(u.InferenceGeo == "us", r.Multipliers.InferenceGeoUS)
		sum.Add(exact.Num(), new(big.Int).Sub(exact.Denom(), big.NewInt(1))).Div(sum, exact.Denom())
		want := int64(math.MaxInt64)
		if sum.IsInt64() {
			want = sum.Int64()
		}
		if got := r.Cost(u); got != want {
			t.Fatalf("cost %d, want %d", got, want)
		}
	})
}

func TestClassesWithoutPriceCostWhatOthersDo(t *testing.T) {
	r := Row{Model: "m", Input: 5, Output: 7, CacheWrite5m: 9}.filled()
	if r.CacheRead != 5 || r.CacheWrite5m != 9 || r.CacheWrite1h != 9 {
		t.Errorf("got %+v", r)
	}
}

func TestInputBoundCoversTextNamesAndOverhead(t *testing.T) {
	if got := InputBound(&messages.Question{}); got != 16 {
		t.Errorf("no message: %d", got)
	}
	msgs := []messages.Message{{Role: "system", Content: "äö"}, {Role: "user", Content: "hello", Name: "ann"}}
	if got, want := InputBound(&messages.Question{Messages: msgs}), int64(16+16+4+16+5+3); got != want {
		t.Errorf("%d, want %d", got, want)
	}
}

func TestTableFindsTheNewestRowThatHolds(t *testing.T) {
	old, cut := sonnet(), sonnet()
	cut.EffectiveFrom, cut.CacheRead = day("2026-10-07"), 100_000
	future := sonnet()
	future.EffectiveFrom, future.Input = day("2027-01-01"), 1
	table, err := NewTable([]Row{cut, future, old})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		at   time.Time
		want int64
	}{{day("2026-01-01"), 300_000}, {day("2026-10-07"), 100_000}, {day("2026-10-07").Add(-1), 300_000}, {day("2026-12-31"), 100_000}} {
		r, ok := table.Row("claude-sonnet-4-5", c.at)
		if !ok || r.CacheRead != c.want {
			t.Errorf("at %v: %v, cache read %d, want %d", c.at, ok, r.CacheRead, c.want)
		}
		if again, ok := table.ByVersion(r.Model, r.Version); !ok || again.CacheRead != c.want {
			t.Errorf("by version %s: %v %+v", r.Version, ok, again)
		}
	}
	if _, ok := table.Row("gpt-unknown", day("2026-10-07")); ok {
		t.Error("an unknown model has a price")
	}
	if _, ok := table.ByVersion("claude-sonnet-4-5", "none"); ok {
		t.Error("an unknown version has a price")
	}
	if len(table.Rows()) != 3 || len(table.Models()) != 1 {
		t.Errorf("rows %v models %v", table.Rows(), table.Models())
	}
}

func TestAModelHasNoPriceBeforeItsFirstRow(t *testing.T) {
	r := sonnet()
	r.EffectiveFrom = day("2026-10-07")
	table, err := NewTable([]Row{r})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := table.Row(r.Model, day("2026-10-06")); ok {
		t.Error("a price before it was effective")
	}
}

func TestTableRowsCannotBeChangedFromOutside(t *testing.T) {
	rows := []Row{sonnet()}
	table, err := NewTable(rows)
	if err != nil {
		t.Fatal(err)
	}
	rows[0].Tiers[0].Input = 1
	got, _ := table.Row("claude-sonnet-4-5", day("2026-01-01"))
	got.Tiers[0].Output = 1
	again, _ := table.Row("claude-sonnet-4-5", day("2026-01-01"))
	if again.Tiers[0].Input != 6_000_000 || again.Tiers[0].Output != 22_500_000 {
		t.Errorf("got %+v", again.Tiers)
	}
}

func TestVersionFollowsPricesAlone(t *testing.T) {
	version := func(change func(*Row)) string {
		r := sonnet()
		change(&r)
		table, err := NewTable([]Row{r})
		if err != nil {
			t.Fatal(err)
		}
		got, _ := table.Row(r.Model, day("2030-01-01"))
		return got.Version
	}
	base := version(func(*Row) {})
	if base != "3bcaf13f1312" {
		t.Errorf("version %q of a known row: records of the past name it, so it must never change", base)
	}
	for name, change := range map[string]func(*Row){
		"source": func(r *Row) { r.Source = "elsewhere" }, "retired": func(r *Row) { r.RetiredOn = day("2026-01-01") },
	} {
		if got := version(change); got != base {
			t.Errorf("%s: version changed", name)
		}
	}
	for name, change := range map[string]func(*Row){
		"input": func(r *Row) { r.Input++ }, "tier": func(r *Row) { r.Tiers[0].Above++ }, "date": func(r *Row) { r.EffectiveFrom = day("2026-01-01") },
	} {
		if got := version(change); got == base {
			t.Errorf("%s: version did not change", name)
		}
	}
	if got := version(func(r *Row) { r.Version = "v7" }); got != "v7" {
		t.Errorf("a given version became %q", got)
	}
}

func TestNewTableNamesEveryFaultAtOnce(t *testing.T) {
	_, err := NewTable([]Row{
		{Input: 1, Output: 1},
		{Model: "zero"},
		{Model: "negative", Input: -1, Output: MaxPrice + 1},
		{Model: "tiers", Input: 1, Output: 1, Tiers: []Tier{{Above: 5, Input: 1, Output: 1}, {Above: 5, Input: 1}}},
		{Model: "free", Free: true, Input: 3},
		{Model: "twice", Input: 1, Output: 1},
		{Model: "twice", Input: 2, Output: 1},
		{Model: "version", Version: "a", Input: 2, Output: 1},
		{Model: "version", Version: "a", Input: 2, Output: 1, EffectiveFrom: day("2026-01-01")},
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"row 1 ()", "row 2 (zero): input: is required", "output: is required", "row 3 (negative): input: -1", "output: 1000000000001",
		"tiers[1].above: 5 must be larger than 5", "tiers[1].output: is required", "row 5 (free): input: must be 0",
		"row 7 (twice): a second row from 0001-01-01", `row 9 (version): a second row of version "a"`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in:\n%v", want, err)
		}
	}
}

func TestFreeModelsCostNothing(t *testing.T) {
	table, err := NewTable([]Row{{Model: "local", Free: true}})
	if err != nil {
		t.Fatal(err)
	}
	r, ok := table.Row("local", day("2026-01-01"))
	if !ok || r.Bound(1000, 1000) != 0 || r.Cost(messages.Usage{Output: 5}) != 0 {
		t.Errorf("%v %+v", ok, r)
	}
}

func TestRetiredRowsKeepTheirPrice(t *testing.T) {
	r := sonnet()
	r.RetiredOn = day("2026-11-30")
	table, err := NewTable([]Row{r})
	if err != nil {
		t.Fatal(err)
	}
	got, ok := table.Row(r.Model, day("2028-01-01"))
	if !ok || got.Input != r.Input || !got.Retired(day("2026-11-30")) || got.Retired(day("2026-11-29")) {
		t.Errorf("%v %+v", ok, got)
	}
	if r.RetiredBy = "anthropic"; r.Retired(day("2026-12-01")) {
		t.Error("a model that others serve counts as retired")
	}
}
