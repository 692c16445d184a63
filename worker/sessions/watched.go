package sessions

import (
	"errors"
	"slices"
	"sync"
	"time"
)

const (
	// HistoryLength is how many checks a Health shows.
	HistoryLength = 20
	// LatencyWindow is over how many checks the quantiles of latencies are taken.
	LatencyWindow = 256
	// recovering is how many good checks after a failure a service stays degraded.
	recovering = 3
)

// watched is one service and what its checks found.
type watched struct {
	probe  Probe
	slow   time.Duration
	maxAge time.Duration

	mu        sync.Mutex
	state     State
	since     time.Time
	last      time.Time
	finding   Finding
	fault     string
	latencies []float64 // of checks that were answered, oldest first
	history   []Sample  // oldest first
	good      int       // good checks since the last failure
	failed    bool      // whether there was one
}

// record takes in a check. It returns the state before it, empty for the first one, and the health after it.
func (w *watched) record(r reply, at time.Time, took time.Duration) (State, Health) {
	before := w.health(at).State
	w.mu.Lock()
	if w.last.IsZero() {
		before = ""
	}
	state, fault := w.judge(r, took)
	if !r.cut {
		w.finding.Source = r.finding.Source
	}
	if r.err == nil {
		w.finding = r.finding
		w.latencies = appendBounded(w.latencies, milliseconds(took), LatencyWindow)
	}
	if state != w.state {
		w.state, w.since = state, at
	}
	w.last, w.fault = at, fault
	w.history = appendBounded(w.history, Sample{At: at.UTC(), State: state, LatencyMS: milliseconds(took), Error: fault}, HistoryLength)
	w.mu.Unlock()
	return before, w.health(at)
}

// judge is the state that a check shows, and what keeps it from being healthy.
func (w *watched) judge(r reply, took time.Duration) (State, string) {
	switch {
	case errors.Is(r.err, ErrUnknown):
		return StateUnknown, Printable(r.err)
	case r.err != nil:
		w.good, w.failed = 0, true
		return StateUnhealthy, Printable(r.err)
	}
	w.good++
	switch {
	case r.finding.Degraded != "":
		return StateDegraded, clean(r.finding.Degraded)
	case took > w.slow:
		return StateDegraded, "answered slowly, after " + took.Round(time.Millisecond).String()
	case w.failed && w.good < recovering:
		return StateDegraded, "answers again after a failure"
	}
	w.failed = false
	return StateHealthy, ""
}

// health is what is known now.
func (w *watched) health(now time.Time) Health {
	w.mu.Lock()
	defer w.mu.Unlock()
	h := Health{
		Service: w.probe.Name(), State: w.state, Detail: w.finding.Detail, Source: w.finding.Source,
		LatencyMS: quantiles(w.latencies), LastCheck: w.last.UTC(), Since: w.since.UTC(), Error: w.fault, History: slices.Clone(w.history),
	}
	switch {
	case w.last.IsZero():
		h.State, h.LastCheck, h.Error = StateUnknown, time.Time{}, "not checked yet"
	case now.Sub(w.last) > w.maxAge:
		h.State, h.Since = StateUnknown, w.last.Add(w.maxAge).UTC()
		h.Error = "the last check is " + now.Sub(w.last).Round(time.Second).String() + " old"
	}
	return h
}

// quantiles are taken by nearest rank.
func quantiles(of []float64) Latency {
	if len(of) == 0 {
		return Latency{}
	}
	sorted := slices.Sorted(slices.Values(of))
	rank := func(percent int) float64 { return sorted[(len(sorted)*percent+99)/100-1] }
	return Latency{Last: of[len(of)-1], P50: rank(50), P95: rank(95), P99: rank(99)}
}

func appendBounded[T any](list []T, item T, most int) []T {
	if len(list) == most {
		list = slices.Delete(list, 0, 1)
	}
	return append(list, item)
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
