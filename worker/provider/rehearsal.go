package provider

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Rehearsal is a script in numbers: how long answers take, and how often which trouble comes.
type Rehearsal struct {
	Latency time.Duration
	// Faults are probabilities, together at most 1. Slow stands among them.
	Faults map[Outcome]float64
	// Seed decides which calls meet which trouble: with the same seed the same calls do.
	Seed uint64
}

// Slow is a call of a Rehearsal that is answered well, after ten times the latency and a second.
const Slow Outcome = "slow"

// MaxLatency bounds what an answer may take.
const MaxLatency = time.Hour

// Validate tells every fault at once.
func (r Rehearsal) Validate() error {
	var all []error
	if r.Latency < 0 || r.Latency > MaxLatency {
		all = append(all, fmt.Errorf("latency is %s, must be 0 to %s", r.Latency, MaxLatency))
	}
	sum := 0.0
	for _, o := range slices.Sorted(maps.Keys(r.Faults)) {
		p := r.Faults[o]
		if !(p >= 0 && p <= 1) { // NaN is neither
			all = append(all, fmt.Errorf("fault %.40q has the probability %g, must be 0 to 1", string(o), p))
		}
		sum += p
		if o != Slow && (o == Success || !slices.Contains(Outcomes(), o)) {
			all = append(all, fmt.Errorf("fault %.40q is not known; use one of %s", string(o), FaultNames()))
		}
	}
	if sum > 1+1e-9 {
		all = append(all, fmt.Errorf("the probabilities of all faults are %g together, must be at most 1", sum))
	}
	return errors.Join(all...)
}

// FaultNames are the troubles of a Rehearsal, for people.
func FaultNames() string {
	names := []string{string(Slow)}
	for _, o := range Outcomes() {
		if o != Success {
			names = append(names, string(o))
		}
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// Script answers by the numbers. It depends on the request id and how often it came alone.
func (r Rehearsal) Script() func(Ask) Reply {
	names := slices.Sorted(maps.Keys(r.Faults))
	return func(ask Ask) Reply {
		reply := Reply{Outcome: Success, After: r.Latency}
		drawn := float64(mix(hash64(strconv.FormatUint(r.Seed, 10), ask.RequestID, strconv.Itoa(ask.N)))>>11) / (1 << 53)
		for _, name := range names {
			if drawn -= r.Faults[name]; drawn >= 0 {
				continue
			}
			switch name { //nolint:exhaustive // the others are outcomes as they are
			case Slow:
				reply.After = min(10*r.Latency+time.Second, MaxLatency)
			case RateLimited, Overloaded, Unavailable, NotReady:
				reply.Outcome, reply.RetryAfter = name, time.Second
			case ModelError:
				reply.Outcome, reply.Original = name, 500
			default:
				reply.Outcome = name
			}
			break
		}
		return reply
	}
}

// mix spreads the bits of a hash: it is the last step of SplitMix64.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
