package statistics_test

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"flowgate/worker/statistics"
)

// exact is the q-quantile by nearest rank.
func exact(sorted []time.Duration, q float64) time.Duration {
	rank := int(math.Ceil(q * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
}

// durations draws times of all magnitudes, from below a microsecond to a week.
func durations() *rapid.Generator[[]time.Duration] {
	one := rapid.Custom(func(t *rapid.T) time.Duration {
		magnitude := rapid.Float64Range(0, math.Log(float64(7*24*time.Hour))).Draw(t, "magnitude")
		return time.Duration(math.Exp(magnitude))
	})
	return rapid.SliceOfN(one, 1, 300)
}

func TestQuantilesOfAFleetAreThoseOfAllItsTimes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var all []time.Duration
		var fleet statistics.Histogram
		for range rapid.IntRange(1, 4).Draw(t, "processes") {
			var own, received statistics.Histogram
			for _, d := range durations().Draw(t, "times") {
				own.Add(d)
				all = append(all, d)
			}
			data, err := json.Marshal(own)
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(data, &received); err != nil {
				t.Fatal(err)
			}
			fleet.Merge(&received)
		}
		slices.Sort(all)
		if fleet.Count() != uint64(len(all)) {
			t.Fatalf("%d of %d were counted", fleet.Count(), len(all))
		}
		for _, q := range []float64{0, 0.01, 0.5, 0.95, 0.99, 1} {
			got, want := fleet.Quantile(q), exact(all, q)
			if off := (got - want).Abs(); float64(off) > float64(want)*statistics.RelativeError+float64(time.Microsecond) {
				t.Errorf("quantile %v is %s, exactly %s: off by %s", q, got, want, off)
			}
		}
		if got, want := fleet.Max(), all[len(all)-1].Truncate(time.Microsecond); got != want {
			t.Errorf("the longest is %s, exactly %s", got, want)
		}
	})
}

func TestHistogramKeepsItsBounds(t *testing.T) {
	var h statistics.Histogram
	if h.Quantile(0.5) != 0 || h.Mean() != 0 {
		t.Error("an empty histogram has times")
	}
	h.Add(-time.Second)
	h.Add(100 * 24 * time.Hour)
	if h.Quantile(0) != 0 || h.Quantile(1) != 7*24*time.Hour || h.Mean() != 7*12*time.Hour {
		t.Errorf("quantiles are %s and %s, the mean is %s", h.Quantile(0), h.Quantile(1), h.Mean())
	}
}

func TestHistogramRefusesWhatNoneCanHaveCounted(t *testing.T) {
	for _, data := range []string{
		`{"buckets":[1]}`, `{"buckets":[1152,1]}`, `{"buckets":[-1,1]}`, `{"buckets":[0,99999999999999]}`,
		`{"buckets":[0,1],"sum_us":-1}`, `{"buckets":[0,1],"sum_us":1e300}`, `{"buckets":[0,1],"max_us":9999999999999}`,
		`{"buckets":[` + strings.Repeat("0,1,", 2000) + `0,1]}`, `[]`, `{"buckets":"x"}`,
	} {
		var h statistics.Histogram
		if err := json.Unmarshal([]byte(data), &h); err == nil {
			t.Errorf("%.60s is taken for a histogram of %d", data, h.Count())
		}
	}
}

func BenchmarkHistogramAdd(b *testing.B) {
	var h statistics.Histogram
	for i := range b.N {
		h.Add(time.Duration(i) * time.Microsecond)
	}
}
