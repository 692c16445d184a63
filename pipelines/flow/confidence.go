package flow

import "math"

// z is the two-sided 95 % quantile of the normal distribution.
const z = 1.959963984540054

// Confidence says how far a mean of n samples with a spread (the sample's standard deviation) can be relied on, from 0 to 1: it is
// 1 / (1 + h), where h is half the width of the mean's 95 % interval, z * spread / sqrt(n), as a part of the mean. Fewer than two samples
// say nothing.
func Confidence(n int64, mean, spread float64) float64 {
	if n < 2 || math.IsNaN(mean) || math.IsNaN(spread) || spread < 0 {
		return 0
	}
	if spread == 0 {
		return 1 - 1/float64(n+1)
	}
	if mean == 0 {
		return 0
	}
	return 1 / (1 + z*spread/math.Sqrt(float64(n))/math.Abs(mean))
}

// ConfidenceOfShare says how far a share of n samples can be relied on, from 0 to 1: it is 1 less half the width of the 95 % interval of
// Agresti and Coull ("Approximate is Better than Exact for Interval Estimation of Binomial Proportions", 1998).
func ConfidenceOfShare(hits, n int64) float64 {
	if n < 1 || hits < 0 || hits > n {
		return 0
	}
	all := float64(n) + z*z
	p := (float64(hits) + z*z/2) / all
	return max(0, 1-z*math.Sqrt(p*(1-p)/all))
}
