package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"flowgate/messages"
	"flowgate/worker/chaos"
	"flowgate/worker/postgres"
	"flowgate/worker/provider"
)

// chaosReport is what a drill found, and its JSON.
type chaosReport struct {
	chaos.Report

	// UnaskedExits are processes that ended by themselves and were started again.
	UnaskedExits int     `json:"unasked_exits"`
	Seconds      float64 `json:"seconds"`
	// Again is the command that does the same.
	Again string `json:"again"`
	// Redecided says which decisions were not reproduced; absent where all were.
	Redecided *redecision `json:"redecided,omitempty"`
	// Timeline is the record of the first bad request, Calls are the provider's of it.
	Timeline *postgres.Timeline `json:"timeline,omitempty"`
	Calls    []provider.Call    `json:"calls,omitempty"`
}

// conclude prints the report; exit code 1 unless all is as promised.
func (d *drillRun) conclude(ctx context.Context, r *chaosReport, e chaos.Evidence) error {
	p := d.plan.Options
	r.Again = fmt.Sprintf("flowgate chaos --seed %d --requests %d --faults %d --cluster %d", p.Seed, p.Requests, p.Faults, p.Cluster)
	if r.NotReproduced > 0 {
		r.Redecided = d.again
	}
	if !r.OK && len(r.Bad) > 0 {
		id := r.Bad[0].ID
		timeline, err := d.c.db.Timeline(ctx, messages.Key{Tenant: d.g.tenant, ID: id})
		if err == nil { // else there is nothing on record: that is what is told
			r.Timeline = &timeline
		}
		for _, c := range e.Calls {
			if strings.HasSuffix(c.Key, "/"+id) {
				r.Calls = append(r.Calls, c)
			}
		}
	}
	var err error
	if d.g.json {
		err = printJSON(d.cmd.OutOrStdout(), r)
	} else {
		err = r.show(d.cmd.OutOrStdout())
	}
	return verdict(err, r.OK)
}

// mostBad is how many bad requests are shown.
const mostBad = 20

func (r *chaosReport) show(out io.Writer) error {
	n := strconv.Itoa
	rows := [][]string{
		{"submitted", n(r.Submitted), ""},
		{"accepted", n(r.Accepted), "all of them in the end"},
		{"results", n(r.Results), "one for each accepted"},
		{"lost", n(r.Lost), "must be 0"},
		{"duplicate_results", n(r.DuplicateResults), "must be 0"},
		{"wrong_results", n(r.WrongResults), "must be 0"},
		{"provider_calls", n(r.ProviderCalls), ""},
		{"repeated_calls", n(r.RepeatedCalls), "each after one in doubt"},
		{"unexplained_repeats", n(r.UnexplainedRepeats), "must be 0"},
		{"repeats_outside_faults", n(r.RepeatsOutsideFaults), "in flight at no fault: a starved machine"},
		{"intents", n(r.Intents), ""},
		{"outcomes", n(r.Outcomes), "as many as admissions"},
		{"admissions", n(r.Admissions), ""},
		{"reservations_left", strconv.FormatInt(r.ReservationsLeft, 10), "must be 0"},
		{"overspend_microusd", strconv.FormatInt(r.Overspend, 10), "must be 0"},
		{"decisions_not_reproduced", n(r.NotReproduced), "must be 0: made again out of the record"},
		{"dead_letters", n(r.DeadLetters), ""},
		{"recovery_seconds", strconv.FormatFloat(r.RecoverySeconds, 'f', 2, 64), "the longest until the next result"},
		{"unasked_exits", n(r.UnaskedExits), "started again by the supervisor"},
	}
	fmt.Fprintln(out)
	if err := table(out, "WHAT COUNT RULE", rows); err != nil {
		return err
	}
	for _, b := range r.Broken {
		fmt.Fprintln(out, "AUDIT CHECK:", printable(b))
	}
	for i, b := range r.Bad {
		if i == mostBad {
			fmt.Fprintf(out, "and %d more\n", len(r.Bad)-mostBad)
			break
		}
		fmt.Fprintf(out, "NOT AS PROMISED: %s: %s\n", printable(b.ID), printable(b.What))
	}
	if r.Redecided != nil {
		if err := r.Redecided.write(out, false); err != nil {
			return err
		}
	}
	r.showTimeline(out)
	word := "As promised"
	if !r.OK {
		word = "NOT as promised"
	}
	_, err := fmt.Fprintf(out, "%s after %s. Again: %s\n", word, seconds(r.Seconds), r.Again)
	return err
}

func (r *chaosReport) showTimeline(out io.Writer) {
	if r.Timeline == nil {
		return
	}
	fmt.Fprintf(out, "\nThe record of %s:\n", r.Timeline.Key)
	for _, e := range r.Timeline.Epochs {
		for _, s := range e.Steps {
			fmt.Fprintf(out, "  %s  epoch %d  %-24s %s\n", clock(s.At), e.Epoch, printable(s.What), printable(s.Text))
		}
	}
	fmt.Fprintln(out, "Its calls in the provider's books:")
	for _, c := range r.Calls {
		fmt.Fprintf(out, "  %s to %s  %s (%d): %s\n", clock(c.Began), clock(c.Ended), printable(c.RequestID), c.N, c.Answered)
	}
	fmt.Fprintln(out)
}

func showPlan(out io.Writer, g *globals, p chaos.Plan) error {
	if g.json {
		return printJSON(out, p)
	}
	rows := make([][]string, len(p.Schedule))
	for i, f := range p.Schedule {
		rows[i] = []string{strconv.Itoa(f.N), strconv.Itoa(f.After), f.String()}
	}
	fmt.Fprintf(out, "Seed %d: %d requests and %d faults on %d NATS server(s)\n", p.Seed, p.Requests, p.Faults, p.Cluster)
	return table(out, "FAULT AFTER_ACCEPTED WHAT", rows)
}
