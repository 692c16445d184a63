package bench

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Report is what was measured. Rates are requests a second, through all three layers and, governed, until the outcome is
// committed; each is the median of its rounds.
type Report struct {
	GovernedRPS float64 `json:"governed_rps"`
	BareRPS     float64 `json:"bare_rps"`
	// Ratio is GovernedRPS by BareRPS.
	Ratio float64 `json:"ratio"`
	// Unloaded and Bare latencies are from publication to wake-up with one request at a time, governed and bare. The
	// governed wake-up comes before the commit.
	UnloadedP50MS float64 `json:"unloaded_p50_ms"`
	UnloadedP99MS float64 `json:"unloaded_p99_ms"`
	BareP50MS     float64 `json:"bare_p50_ms"`
	BareP99MS     float64 `json:"bare_p99_ms"`
	// CPUUSPerRequest is user and system time of this process (server, layers, recorder, load) and of the Postgres
	// processes, in microseconds, over all governed rounds.
	CPUUSPerRequest float64 `json:"cpu_us_per_request"`
	// BareCPUUSPerRequest is the same of the bare rounds.
	BareCPUUSPerRequest float64 `json:"bare_cpu_us_per_request"`
	// CPUSplitUS adds up to CPUUSPerRequest.
	CPUSplitUS Split `json:"cpu_split_us"`
	// AllocBytesPerRequest is what this process allocated on its heap, over all governed rounds.
	AllocBytesPerRequest float64 `json:"alloc_bytes_per_request"`
	Sync                 string  `json:"sync"`
	Rounds               int     `json:"rounds"`
	SecondsPerRound      float64 `json:"seconds_per_round"`
	// Requests and BareRequests were completed in the rounds that count.
	Requests     int `json:"requests"`
	BareRequests int `json:"bare_requests"`
	// Durable is measured where the server flushes always.
	*Durable

	// GovernedRoundsRPS and BareRoundsRPS are in order of the rounds.
	GovernedRoundsRPS []float64 `json:"governed_rounds_rps"`
	BareRoundsRPS     []float64 `json:"bare_rounds_rps"`
}

// Split is CPU time a governed request in microseconds by what it went to. This process's time in the rounds that count is
// divided as the samples of one more round under the profiler are (attribute has the rules); the Postgres processes' time
// is measured in the rounds that count and belongs to Postgres, beside this process's database client.
type Split struct {
	Broker   float64 `json:"broker"`
	Codec    float64 `json:"codec"`
	Postgres float64 `json:"postgres"`
	Recorder float64 `json:"recorder"`
	Other    float64 `json:"other"`
}

func newReport(o Options, governed, bare []sample) Report {
	r := Report{
		Sync: o.Sync, Rounds: o.Rounds, SecondsPerRound: o.RoundTime.Seconds(),
		GovernedRoundsRPS: rates(governed), BareRoundsRPS: rates(bare),
	}
	r.GovernedRPS, r.BareRPS = median(r.GovernedRoundsRPS), median(r.BareRoundsRPS)
	r.Ratio = rounded(r.GovernedRPS/r.BareRPS, 3)
	g, b := total(governed), total(bare)
	r.Requests, r.BareRequests = g.requests, b.requests
	r.CPUUSPerRequest, r.BareCPUUSPerRequest = rounded(g.cpuUS(), 1), rounded(b.cpuUS(), 1)
	r.AllocBytesPerRequest = rounded(float64(g.used.allocated)/float64(g.requests), 0)
	return r
}

// split divides this process's CPU time by the shares of the profile.
func (r *Report) split(s shares, governed []sample) {
	g := total(governed)
	own := microseconds(g.used.process) / float64(g.requests)
	processes := microseconds(g.used.postgres) / float64(g.requests)
	r.CPUSplitUS = Split{
		Broker: rounded(own*s[partBroker], 1), Codec: rounded(own*s[partCodec], 1),
		Postgres: rounded(own*s[partPostgres]+processes, 1),
		Recorder: rounded(own*s[partRecorder], 1), Other: rounded(own*s[partOther], 1),
	}
}

func total(samples []sample) sample {
	var t sample
	for _, s := range samples {
		t.requests += s.requests
		t.elapsed += s.elapsed
		t.used.process += s.used.process
		t.used.postgres += s.used.postgres
		t.used.allocated += s.used.allocated
	}
	return t
}

func rates(samples []sample) []float64 {
	all := make([]float64, len(samples))
	for i, s := range samples {
		all[i] = rounded(s.rps(), 1)
	}
	return all
}

// median is the middle value, or the mean of the two middle values; of none it is 0.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// percentile is the smallest value that at least p percent of the values do not exceed (nearest rank); of none it is 0.
func percentile(values []time.Duration, p float64) time.Duration {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	rank := int(math.Ceil(p / 100 * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
}

func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
func milliseconds(d time.Duration) float64 { return rounded(float64(d)/float64(time.Millisecond), 3) }

func rounded(v float64, digits int) float64 {
	scale := math.Pow10(digits)
	return math.Round(v*scale) / scale
}

// Print writes the report as a table for people.
func (r *Report) Print(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	s := r.CPUSplitUS
	for _, row := range [][]any{
		{"", "governed", "bare"},
		{"requests/s (median)", round(r.GovernedRPS), round(r.BareRPS)},
		{"rounds", list(r.GovernedRoundsRPS), list(r.BareRoundsRPS)},
		{"unloaded p50, ms", two(r.UnloadedP50MS), two(r.BareP50MS)},
		{"unloaded p99, ms", two(r.UnloadedP99MS), two(r.BareP99MS)},
		{"CPU a request, us", round(r.CPUUSPerRequest), round(r.BareCPUUSPerRequest)},
		{"  broker", round(s.Broker), ""},
		{"  codec", round(s.Codec), ""},
		{"  postgres", round(s.Postgres), ""},
		{"  recorder", round(s.Recorder), ""},
		{"  other", round(s.Other), ""},
		{"allocated a request, bytes", round(r.AllocBytesPerRequest), ""},
		{"requests", r.Requests, r.BareRequests},
	} {
		if _, err := fmt.Fprintf(tw, "%v\t%v\t%v\n", row...); err != nil {
			return fmt.Errorf("printing the report: %w", err)
		}
	}
	if err := r.print(tw); err != nil {
		return err
	}
	if err := tw.Flush(); err != nil {
		return fmt.Errorf("printing the report: %w", err)
	}
	if _, err := fmt.Fprintf(w, "governed/bare %.2f; %d rounds of %gs; sync %s\n", r.Ratio, r.Rounds, r.SecondsPerRound, r.Sync); err != nil {
		return fmt.Errorf("printing the report: %w", err)
	}
	return nil
}

func round(v float64) string { return fmt.Sprintf("%.0f", v) }
func two(v float64) string   { return fmt.Sprintf("%.2f", v) }

func list(values []float64) string {
	parts := make([]string, len(values))
	for i, v := range values {
		parts[i] = round(v)
	}
	return strings.Join(parts, " ")
}
