package flow

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

func TestConfidenceGrowsWithSamplesAndFallsWithSpread(t *testing.T) {
	for _, c := range []struct {
		n            int64
		mean, spread float64
		want         float64
	}{
		{0, 1, 1, 0},
		{1, 1, 0, 0},
		{2, 0, 1, 0},
		{2, math.NaN(), 1, 0},
		{10, 1, -1, 0},
		{100, 10, 0, 1 - 1.0/101},
		{100, 10, 10, 1 / (1 + 0.1959963984540054)},
		{100, -10, 10, 1 / (1 + 0.1959963984540054)},
	} {
		if got := Confidence(c.n, c.mean, c.spread); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("%+v: %v", c, got)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		n, mean, spread := rapid.Int64Range(2, 1e6).Draw(t, "n"), rapid.Float64Range(0.001, 1e6).Draw(t, "mean"), rapid.Float64Range(0.001, 1e6).Draw(t, "spread")
		c := Confidence(n, mean, spread)
		if c <= 0 || c >= 1 || Confidence(2*n, mean, spread) <= c || Confidence(n, mean, 2*spread) >= c {
			t.Fatalf("%v of %d, %v, %v", c, n, mean, spread)
		}
		hits := rapid.Int64Range(0, n).Draw(t, "hits")
		if s := ConfidenceOfShare(hits, n); s < 0 || s >= 1 || ConfidenceOfShare(2*hits, 2*n) < s {
			t.Fatalf("%v of %d of %d", s, hits, n)
		}
	})
	// By hand: (3 + 1.9207) / 23.8415 = 0.20639, and 1.96 * sqrt(0.20639 * 0.79361 / 23.8415) = 0.16246.
	if got := ConfidenceOfShare(3, 20); math.Abs(got-(1-0.16246)) > 0.0001 {
		t.Errorf("3 of 20: %v", got)
	}
	for _, c := range [][2]int64{{0, 0}, {-1, 5}, {6, 5}} {
		if ConfidenceOfShare(c[0], c[1]) != 0 {
			t.Errorf("%v", c)
		}
	}
}
