package statistics

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"time"
)

// The buckets of a histogram, in microseconds: each of its own up to fine, then perOctave of equal width between a power
// of two and the next (log-linear, as HdrHistogram has them).
const (
	fine      = 64
	perOctave = fine / 2
	// longest is what durations are cut to.
	longest = 7 * 24 * time.Hour
	// buckets is one more than the index of longest: 34 octaves above fine.
	buckets = perOctave*34 + fine
	// most bounds one count of a histogram that somebody sent, so that no sum of them overflows.
	most = 1 << 40
)

// RelativeError bounds how far a quantile lies from the exact one: half the width of a bucket. Below 64 µs it is exact to
// the microsecond.
const RelativeError = 1.0 / fine

// Histogram counts durations. It has a fixed size (9 KiB at most), and the sum of the histograms of several processes is the
// histogram of them all: quantiles of a fleet are true, and no averages of quantiles. The zero value is empty. It is not
// safe for concurrent use.
type Histogram struct {
	counts []uint64 // one a bucket, up to the highest that was ever needed
	n      uint64
	sum    float64 // microseconds
	max    time.Duration
}

// Add counts a duration. A negative one (of a clock that was set back) counts as none.
func (h *Histogram) Add(d time.Duration) {
	d = min(max(d, 0), longest)
	i := bucket(d)
	h.grow(i + 1)
	h.counts[i]++
	h.n++
	h.sum += float64(d) / float64(time.Microsecond)
	h.max = max(h.max, d)
}

// Merge adds what another histogram counted.
func (h *Histogram) Merge(o *Histogram) {
	h.grow(len(o.counts))
	for i, c := range o.counts {
		h.counts[i] += c
	}
	h.n += o.n
	h.sum += o.sum
	h.max = max(h.max, o.max)
}

// Count is how many durations were counted.
func (h *Histogram) Count() uint64 { return h.n }

// Max is the longest one, exactly.
func (h *Histogram) Max() time.Duration { return h.max }

// Mean is the mean; 0 of none.
func (h *Histogram) Mean() time.Duration {
	if h.n == 0 {
		return 0
	}
	return time.Duration(h.sum / float64(h.n) * float64(time.Microsecond))
}

// Quantile is the q-quantile (0 to 1) by nearest rank, within RelativeError; 0 of none.
func (h *Histogram) Quantile(q float64) time.Duration {
	if h.n == 0 {
		return 0
	}
	rank := min(max(uint64(math.Ceil(q*float64(h.n))), 1), h.n)
	for i, c := range h.counts {
		if c >= rank {
			return min(middle(i), h.max)
		}
		rank -= c
	}
	return h.max
}

func (h *Histogram) grow(n int) {
	if n > len(h.counts) {
		h.counts = append(h.counts, make([]uint64, n-len(h.counts))...)
	}
}

func (h *Histogram) reset() {
	clear(h.counts)
	h.n, h.sum, h.max = 0, 0, 0
}

// bucket is the index of a duration's bucket.
func bucket(d time.Duration) int {
	us := uint64(d / time.Microsecond) //nolint:gosec // Add lets no negative one pass
	if us < fine {
		return int(us) //nolint:gosec // it is below fine
	}
	octave := bits.Len64(us) - bits.Len64(fine-1)
	return octave*perOctave + int(us>>octave) //nolint:gosec // below fine
}

// middle is the duration in the middle of a bucket.
func middle(i int) time.Duration {
	if i < fine {
		return time.Duration(i) * time.Microsecond
	}
	octave := i/perOctave - 1
	return time.Duration(2*(i-octave*perOctave)+1) << octave * time.Microsecond / 2
}

// wire is a histogram as JSON: only buckets that counted something, each as its index and its count.
type wire struct {
	Buckets []uint64 `json:"buckets"`
	SumUS   float64  `json:"sum_us"`
	MaxUS   int64    `json:"max_us"`
}

// MarshalJSON writes the buckets that counted something.
func (h Histogram) MarshalJSON() ([]byte, error) {
	w := wire{Buckets: []uint64{}, SumUS: h.sum, MaxUS: h.max.Microseconds()}
	for i, c := range h.counts {
		if c > 0 {
			w.Buckets = append(w.Buckets, uint64(i), c) //nolint:gosec // an index
		}
	}
	return json.Marshal(w)
}

// UnmarshalJSON reads a histogram that another process sent and refuses what none can have counted.
func (h *Histogram) UnmarshalJSON(data []byte) error {
	var w wire
	if err := json.Unmarshal(data, &w); err != nil {
		return fmt.Errorf("reading a histogram: %w", err)
	}
	if len(w.Buckets)%2 != 0 || len(w.Buckets) > 2*buckets {
		return errors.New("reading a histogram: buckets must be pairs of index and count")
	}
	read := Histogram{}
	for i := 0; i < len(w.Buckets); i += 2 {
		index, count := w.Buckets[i], w.Buckets[i+1]
		if index >= buckets || count > most {
			return fmt.Errorf("reading a histogram: bucket %d with count %d is out of bounds", index, count)
		}
		read.grow(int(index) + 1)
		read.counts[index] = count
		read.n += count
	}
	if w.MaxUS < 0 || w.MaxUS > longest.Microseconds() || w.SumUS < 0 || w.SumUS > float64(read.n)*float64(longest.Microseconds()) {
		return errors.New("reading a histogram: sum or maximum is out of bounds")
	}
	read.sum, read.max = w.SumUS, time.Duration(w.MaxUS)*time.Microsecond
	*h = read
	return nil
}
