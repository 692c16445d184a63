package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"flowgate/messages"
	"flowgate/worker/actions"
)

// showPerformance shows how long the backend, the gateway and both together took.
func showPerformance(r *report, s *actions.Step) {
	r.line("answered", "%d of %d, %d at once, in %.1f s: %.1f a second%s", s.Requests-s.Failed, s.Requests, s.AtOnce, s.Seconds, s.PerSecond, answeredBy(s.Backends))
	if s.Failed > 0 {
		r.line("failed", "%s", reasonsText(s.Reasons))
	}
	r.line("cost", "%s, %d tokens in, %d out", dollars(s.CostMicroUSD), s.TokensIn, s.TokensOut)
	row := func(name string, q actions.Quantiles) []string {
		row := []string{name}
		for _, v := range []float64{q.Min, q.P50, q.P95, q.P99, q.Max, q.Mean, q.Spread} {
			row = append(row, millis(v))
		}
		return row
	}
	r.table("SECONDS MIN P50 P95 P99 MAX MEAN SPREAD", [][]string{row("backend", s.Model), row("gateway", s.Gateway), row("together", s.Latency)}, "", nil)
}

// answeredBy names who did.
func answeredBy(backends []string) string {
	if len(backends) == 0 {
		return ""
	}
	return ", by " + strings.Join(backends, ", ")
}

// reasonsText counts reasons, the most frequent first.
func reasonsText(reasons map[messages.Reason]int) string {
	names := slices.Sorted(maps.Keys(reasons))
	slices.SortStableFunc(names, func(a, b messages.Reason) int { return reasons[b] - reasons[a] })
	all := make([]string, len(names))
	for i, name := range names {
		all[i] = fmt.Sprintf("%s %d", name, reasons[name])
	}
	return strings.Join(all, ", ")
}

// millis is a time in seconds, to the millisecond.
func millis(v float64) string { return fmt.Sprintf("%.3f", v) }

// showScalability shows the knee and the steps that led to it.
func showScalability(r *report, s *actions.ScalabilityReport) {
	switch {
	case s.Knee == 0:
		r.line("knee", "none: %d at once are too much", s.Over)
	case s.Over == 0:
		r.line("knee", "%d at once or more, %.1f a second: more were not tried", s.Knee, s.PerSecond)
	default:
		r.line("knee", "%d at once, %.1f a second; %d are too much", s.Knee, s.PerSecond, s.Over)
	}
	if s.Over > 0 {
		r.line("limit", "%s", endedText(s))
	}
	rows, notes := make([][]string, len(s.Steps)), make([]string, len(s.Steps))
	for i, step := range s.Steps {
		rows[i] = []string{
			strconv.Itoa(step.AtOnce), strconv.Itoa(step.Requests), strconv.Itoa(step.Failed), fmt.Sprintf("%.1f", step.PerSecond),
			millis(step.Latency.P50), millis(step.Latency.P95), millis(step.Model.Mean), millis(step.Gateway.Mean),
		}
		switch step.AtOnce {
		case s.Knee:
			notes[i] = "the knee"
		case s.Over:
			notes[i] = "too much"
		}
	}
	r.table("AT_ONCE REQUESTS FAILED PER_SECOND P50_S P95_S BACKEND_S GATEWAY_S", rows, "", notes)
}

// endedText says what ended the growth.
func endedText(s *actions.ScalabilityReport) string {
	switch {
	case s.Why != "":
		return fmt.Sprintf("%s, most of them %s", s.Limit, s.Why)
	case s.Grew != "":
		return fmt.Sprintf("%s; the part of the %s in the time grew", s.Limit, s.Grew)
	}
	return s.Limit
}
