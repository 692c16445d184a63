package worker

import (
	"context"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// Delays is an exponential policy: Base, times Factor each time, up to Max, each drawn from [d(1-Jitter), d(1+Jitter)].
type Delays struct {
	Base, Max time.Duration
	Factor    float64
	// Jitter is 0 to 1; 1 is full jitter around the mean.
	Jitter float64
}

// DefaultDelays are those of short trouble with the broker.
func DefaultDelays() Delays {
	return Delays{Base: 50 * time.Millisecond, Max: 2 * time.Second, Factor: 2, Jitter: 0.5}
}

// After is the delay after the n-th failure, n from 1. The schedule is made anew each time: NextBackOff advances it.
func (d Delays) After(n int) time.Duration {
	b := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(max(d.Base, time.Millisecond)),
		backoff.WithMaxInterval(max(d.Max, d.Base, time.Millisecond)),
		backoff.WithMultiplier(max(d.Factor, 1)),
		backoff.WithRandomizationFactor(d.Jitter),
		backoff.WithMaxElapsedTime(0),
	)
	delay := b.NextBackOff()
	for range min(n, 64) - 1 {
		delay = b.NextBackOff()
	}
	return delay
}

// Pause waits After(n); false means that ctx ended first.
func (d Delays) Pause(ctx context.Context, n int) bool {
	if ctx.Err() != nil {
		return false
	}
	timer := time.NewTimer(d.After(n))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
