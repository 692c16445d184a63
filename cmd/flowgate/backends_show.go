package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"flowgate/worker/fleet"
)

// show prints the backends, whole blocks of those that were named.
func (v *backendsView) show(w io.Writer, asJSON, whole bool) error {
	var err error
	now := time.Now()
	for i := range v.Backends {
		b := &v.Backends[i]
		b.Stops, b.State = stopsOf(b.Backend, now), b.state(now)
	}
	switch {
	case asJSON:
		err = printJSON(w, v)
	case whole:
		err = v.blocks(w)
	default:
		err = v.table(w)
	}
	return verdict(err, v.checksOK())
}

// head says who was asked, and what of the settings leads nowhere.
func (v *backendsView) head(w io.Writer) error {
	said := fmt.Sprintf("By settings and environment alone: %s\n", printable(v.Why))
	if v.Asked == "processes" {
		said = fmt.Sprintf("Asked: %d process(es) with layer 2\n", v.Processes)
	}
	for _, warning := range v.Warnings {
		said += "Warning: " + printable(warning.String()) + "\n"
	}
	_, err := io.WriteString(w, said)
	return err
}

// table is one line for each that is used, then why the others are not.
func (v *backendsView) table(w io.Writer) error {
	if err := v.head(w); err != nil {
		return err
	}
	var rows [][]string
	var others strings.Builder
	for _, b := range v.Backends {
		if !b.Used {
			fmt.Fprintf(&others, "  %-9s  %s\n", b.Name, printable(b.Skipped))
			continue
		}
		requests, failed, took := "-", "-", "-"
		if b.Calls != nil {
			requests, failed = fmt.Sprint(b.Calls.Requests), fmt.Sprint(b.Calls.Errors)
			took = fmt.Sprintf("%.0f/%.0f/%.0f", b.Calls.Took.P50, b.Calls.Took.P95, b.Calls.Took.P99)
		}
		rows = append(rows, []string{b.Name, b.State, orDash(b.Breaker), requests, failed, took, b.Source})
	}
	if len(rows) > 0 {
		if err := table(w, "BACKEND STATE BREAKER CALLS_5M FAILED MS_P50/95/99 CREDENTIALS", rows); err != nil {
			return err
		}
	}
	for _, b := range v.Backends {
		for _, s := range b.Stops {
			if b.Used {
				fmt.Fprintf(&others, "  %-9s  %s\n", b.Name, printable(s.String()))
			}
		}
		if b.Check != nil {
			fmt.Fprintf(&others, "  %-9s  checked: %s\n", b.Name, printable(b.Check.String()))
		}
	}
	_, err := io.WriteString(w, others.String())
	return err
}

// state is one word for how a backend stands.
func (b *backendView) state(now time.Time) string {
	switch {
	case !b.Used:
		return "skipped"
	case b.Check != nil && !b.Check.ok():
		return string(b.Check.State)
	}
	return stateBy(stopsOf(b.Backend, now), b.Backend)
}

// blocks is everything about each.
func (v *backendsView) blocks(w io.Writer) error {
	if err := v.head(w); err != nil {
		return err
	}
	var out strings.Builder
	for _, b := range v.Backends {
		fmt.Fprintf(&out, "%s: %s\n", b.Name, b.State)
		for _, line := range b.lines(time.Now()) {
			if line[1] != "" {
				fmt.Fprintf(&out, "  %-12s %s\n", line[0], printable(line[1]))
			}
		}
	}
	_, err := io.WriteString(w, out.String())
	return err
}

func (b *backendView) lines(now time.Time) [][2]string {
	lines := [][2]string{
		{"why", b.Skipped},
		{"credentials", b.Source},
		{"address", b.Address},
		{"region", cmp.Or(b.Region, "not named")},
		{"models", modelsOf(b.Backend)},
		{"limited", b.Limited},
	}
	if len(b.Names) > 0 {
		var named []string
		for _, id := range slices.Sorted(maps.Keys(b.Names)) {
			named = append(named, id+" as "+b.Names[id])
		}
		lines = append(lines, [2]string{"names", strings.Join(named, ", ")})
	}
	if b.Used {
		lines = append(lines, [2]string{"breaker", cmp.Or(b.Breaker, "nothing known")})
	}
	for _, stop := range b.Stops {
		lines = append(lines, [2]string{"stopped", stop.String()})
	}
	for _, m := range b.ModelBreakers {
		if m.State == "half_open" {
			lines = append(lines, [2]string{"breaker", m.Model + ": " + m.State + " after " + strings.TrimSpace(m.Class+" "+m.Code)})
		}
	}
	for _, p := range b.Paces {
		lines = append(lines, [2]string{"pace", paceOf(p, now)})
	}
	if c := b.Calls; c != nil {
		lines = append(lines, [2]string{"calls", fmt.Sprintf("%d in 5 minutes, %d failed; %.0f/%.0f/%.0f ms (p50/95/99); %d in all", c.Requests, c.Errors, c.Took.P50, c.Took.P95, c.Took.P99, c.Total)})
		if !c.LastError.IsZero() {
			lines = append(lines, [2]string{"last error", strings.TrimSpace(c.LastErrorReason+" "+b.LastErrorCode) + " at " + clock(c.LastError)})
		}
	}
	if b.Check != nil {
		lines = append(lines, [2]string{"check", b.Check.String() + ", asked by " + b.Check.By})
	}
	return lines
}

func modelsOf(b fleet.Backend) string {
	what := "any id"
	switch {
	case len(b.Models) > 0:
		what = strings.Join(b.Models, ", ")
	case len(b.Prefixes) > 0:
		what = strings.Join(b.Prefixes, "*, ") + "*"
	}
	return fmt.Sprintf("%s (%d with a price)", what, b.Priced)
}

func paceOf(p fleet.Pace, now time.Time) string {
	said := fmt.Sprintf("%s: %.1f calls/s", p.Model, p.PerSecond)
	if p.From != "" {
		said += " (" + p.From + ")"
	}
	said += fmt.Sprintf(", %d wait, %d come back", p.Waiting, p.Away)
	if p.BlockedUntil.After(now) {
		said += ", blocked until " + clock(p.BlockedUntil)
	}
	return said
}
