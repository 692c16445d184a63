package main

import (
	"fmt"
	"strconv"
	"strings"

	"flowgate/worker/actions"
	"flowgate/worker/security"
)

// showComponents shows what a request depends on, as it was found.
func showComponents(r *report, i *actions.IntegrationReport) {
	var down []string
	rows, notes := make([][]string, len(i.Components)), make([]string, len(i.Components))
	for n, c := range i.Components {
		rows[n], notes[n] = []string{named(c.Name), orDash(c.State), millis(c.Seconds)}, c.Detail
		if c.Error != "" {
			notes[n] = c.Error
		}
		if !c.OK {
			down = append(down, c.Name)
		}
	}
	if len(down) == 0 {
		r.line("found", "all %d are as they should be", len(rows))
	} else {
		r.line("found", "%d of %d are not as they should be: %s", len(down), len(rows), strings.Join(down, ", "))
	}
	r.table("COMPONENT STATE SECONDS", rows, "DETAIL", notes)
}

// showSecurity shows the checks, and then what was found, the worst of each first.
func showSecurity(r *report, s *actions.SecurityReport) {
	passed, counts := 0, []string{}
	for _, severity := range security.Severities() {
		if n := s.Counts[severity]; n > 0 {
			counts = append(counts, fmt.Sprintf("%d %s", n, severity))
		}
	}
	rows, notes := make([][]string, len(s.Checks)), make([]string, len(s.Checks))
	for i, c := range s.Checks {
		rows[i], notes[i] = []string{named(c.Check), string(c.State), strconv.FormatInt(c.LookedAt, 10), strconv.Itoa(len(c.Findings) + c.More)}, c.Why
		if c.State == security.Pass {
			passed++
		}
	}
	found := "nothing"
	if len(counts) > 0 {
		found = strings.Join(counts, ", ")
	}
	r.line("found", "%s; %d of %d checks pass", found, passed, len(rows))
	r.table("CHECK STATE LOOKED_AT FINDINGS", rows, "", notes)
	for _, c := range s.Checks {
		for _, f := range c.Findings {
			r.finding(c.Check, f)
		}
		if c.More > 0 {
			r.write(fmt.Sprintf("… and %d more of %s\n", c.More, printable(c.Check)))
		}
	}
}

// finding tells what was found, and what mends it.
func (r *report) finding(check string, f security.Finding) {
	r.write("\n")
	for i, text := range []string{fmt.Sprintf("%s  %s: %s", f.Severity, check, f.Subject), f.What, f.NextStep} {
		indent := strings.Repeat("    ", min(i, 1))
		for _, line := range wrapped([]string{printable(text)}, tableWidth-len(indent)) {
			r.write(indent + line + "\n")
		}
	}
}
