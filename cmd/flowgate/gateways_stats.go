package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"flowgate/messages"
	"flowgate/worker/statistics"
)

// statsLine is what a gateway or a backend did in one window, over the whole fleet.
type statsLine struct {
	Name      string            `json:"name"`
	Requests  uint64            `json:"requests"`
	PerSecond float64           `json:"per_second"`
	Errors    uint64            `json:"errors"`
	Refused   uint64            `json:"refused"`
	Again     uint64            `json:"again"`
	Reasons   map[string]uint64 `json:"reasons"`
	Took      times             `json:"took_ms"`
	Waited    *times            `json:"waited_ms,omitempty"` // none at backends
	// Total and TotalErrors count since the processes started.
	Total           uint64    `json:"total"`
	TotalErrors     uint64    `json:"total_errors"`
	Last            time.Time `json:"last,omitzero"`
	LastError       time.Time `json:"last_error,omitzero"`
	LastErrorReason string    `json:"last_error_reason,omitempty"`
}

// times are in milliseconds, quantiles within statistics.RelativeError.
type times struct {
	P50  float64 `json:"p50"`
	P95  float64 `json:"p95"`
	P99  float64 `json:"p99"`
	Mean float64 `json:"mean"`
	Max  float64 `json:"max"`
}

func timesOf(h *statistics.Histogram) times {
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return times{P50: ms(h.Quantile(0.5)), P95: ms(h.Quantile(0.95)), P99: ms(h.Quantile(0.99)), Mean: ms(h.Mean()), Max: ms(h.Max())}
}

func statsOf(l *statistics.Line, span statistics.Span, backend bool) statsLine {
	w := l.Window(span)
	s := statsLine{
		Name: l.Name, Requests: w.Requests, Errors: w.Errors, Refused: w.Refused, Again: w.Again, Reasons: w.Reasons, Took: timesOf(&w.Took),
		Total: l.Total, TotalErrors: l.TotalErrors, Last: l.Last, LastError: l.LastError, LastErrorReason: l.LastErrorReason,
	}
	if s.Reasons == nil {
		s.Reasons = map[string]uint64{}
	}
	if w.Seconds > 0 {
		s.PerSecond = float64(w.Requests) / w.Seconds
	}
	if !backend {
		waited := timesOf(&w.Waited)
		s.Waited = &waited
	}
	return s
}

func newGatewaysStats(g *globals) *cobra.Command {
	var window string
	cmd := &cobra.Command{
		Use: "stats", Short: "Show what gateways and backends did: requests, errors by reason, times", Args: cobra.NoArgs,
		Long: "Counts are those of all processes together since they started, at most as far back as the window. Quantiles are those\n" +
			"of all their times, true within 1.6 percent. Refused are requests that a rule denied; again counts retries and waits.",
		Example: "  flowgate gateways stats --window 1h\n  flowgate gateways stats --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			span := statistics.Span(window)
			if !slices.Contains(statistics.Spans(), span) {
				return usageError{fmt.Errorf("flag --window must be one of %s", listed(statistics.Spans()))}
			}
			a, err := assembled(cmd.Context(), g, true)
			if err != nil {
				return err
			}
			return showStats(cmd.OutOrStdout(), g, a, span)
		},
	}
	cmd.Flags().StringVar(&window, "window", string(statistics.FiveMinutes), "how far back: "+listed(statistics.Spans()))
	return cmd
}

func showStats(w io.Writer, g *globals, a assembly, span statistics.Span) error {
	counted := a.fleet.Statistics()
	gateways, backends := []statsLine{}, []statsLine{}
	for _, name := range messages.Layers() { // also those that did nothing yet
		line := &statistics.Line{Name: string(name)}
		for i := range counted.Gateways {
			if counted.Gateways[i].Name == line.Name {
				line = &counted.Gateways[i]
			}
		}
		gateways = append(gateways, statsOf(line, span, false))
	}
	for i := range counted.Backends {
		backends = append(backends, statsOf(&counted.Backends[i], span, true))
	}
	if g.json {
		return printJSON(w, map[string]any{"window": span, "processes": len(a.fleet.Answers), "gateways": gateways, "backends": backends})
	}
	if err := statsTable(w, "GATEWAY", gateways); err != nil || len(backends) == 0 {
		return err
	}
	return statsTable(w, "BACKEND", backends)
}

func statsTable(w io.Writer, title string, lines []statsLine) error {
	rows := make([][]string, len(lines))
	for i, l := range lines {
		waited := "-"
		if l.Waited != nil {
			waited = fmt.Sprintf("%.1f/%.1f/%.1f", l.Waited.P50, l.Waited.P95, l.Waited.P99)
		}
		rows[i] = []string{
			l.Name, fmt.Sprint(l.Requests), fmt.Sprintf("%.2f", l.PerSecond), fmt.Sprint(l.Errors), fmt.Sprint(l.Refused), fmt.Sprint(l.Again),
			fmt.Sprintf("%.1f/%.1f/%.1f", l.Took.P50, l.Took.P95, l.Took.P99), waited, clock(l.Last), orDash(strings.TrimSpace(reasonsOf(l))),
		}
	}
	return table(w, title+" REQUESTS PER_S ERRORS REFUSED AGAIN TOOK_MS_P50/95/99 WAITED_MS_P50/95/99 LAST WHY", rows)
}

// reasonsOf names the most frequent reasons of a window, at most four.
func reasonsOf(l statsLine) string {
	type counted struct {
		reason string
		n      uint64
	}
	var all []counted
	for reason, n := range l.Reasons {
		all = append(all, counted{reason, n})
	}
	slices.SortFunc(all, func(a, b counted) int { return cmp.Or(cmp.Compare(b.n, a.n), cmp.Compare(a.reason, b.reason)) })
	var words []string
	for i, c := range all {
		if i == 4 {
			words = append(words, "…")
			break
		}
		words = append(words, fmt.Sprintf("%s %d", c.reason, c.n))
	}
	return strings.Join(words, ", ")
}
