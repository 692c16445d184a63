package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"flowgate/worker/sessions"
)

// watchEvery is how often running processes are asked for what they know; it costs the services nothing.
const watchEvery = 2 * time.Second

// table prints one line for each service; with several processes, for each of them.
func (s sight) table(w io.Writer) error {
	if s.Why != "" {
		if _, err := fmt.Fprintf(w, "Asked directly, by the settings: %s.\n", printable(s.Why)); err != nil {
			return err
		}
	}
	header, many := "SERVICE STATE LATENCY LAST_CHECK SOURCE DETAIL", len(s.Views) > 1
	if many {
		header = "WORKER " + header
	}
	var rows [][]string
	var notes []string
	for _, v := range s.Views {
		for _, h := range v.Health {
			row := healthRow(h, time.Now())
			if many {
				row = append([]string{v.Worker}, row...)
			}
			rows = append(rows, row)
			if h.Error != "" {
				notes = append(notes, strings.TrimSpace(v.Worker+" "+h.Service)+": "+h.Error)
			}
		}
	}
	if err := table(w, header, rows); err != nil {
		return err
	}
	for _, note := range notes {
		if _, err := fmt.Fprintf(w, "\n%s\n", strings.ReplaceAll(printable(note), "; ", ";\n  ")); err != nil {
			return err
		}
	}
	return nil
}

func healthRow(h sessions.Health, now time.Time) []string {
	state, latency, last := string(h.State), "-", "-"
	if h.Unused {
		state = "unused"
	}
	if h.LatencyMS != (sessions.Latency{}) {
		latency = fmt.Sprintf("%.1f ms", h.LatencyMS.Last)
	}
	if !h.LastCheck.IsZero() {
		last = fmt.Sprintf("%.0f s ago", max(0, now.Sub(h.LastCheck).Seconds()))
	}
	return []string{h.Service, state, latency, last, cmp.Or(h.Source, "-"), cmp.Or(h.Detail, "-")}
}

// watch shows until it is interrupted: the whole again on a terminal, elsewhere each change on a line.
func (a *asker) watch(ctx context.Context, w io.Writer, asJSON bool) error {
	terminal := w == io.Writer(os.Stdout) && isTerminal(os.Stdout) && !asJSON
	before := map[string]sessions.State{}
	for {
		s, err := a.ask(ctx)
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // an interrupt ends the watch as it should
		case err != nil:
			return err
		case terminal:
			_, _ = fmt.Fprint(w, "\x1b[H\x1b[2J") // the table tells a closed terminal
			err = s.table(w)
		default:
			err = s.changes(w, before, asJSON)
		}
		if err != nil {
			return err
		}
		every := watchEvery
		if s.Asked == "settings" {
			every = a.settings.Flowgate.Probes.Interval
		}
		if !sleep(ctx, every) {
			return nil
		}
	}
}

// change is one service whose state is not what it was.
type change struct {
	At     time.Time      `json:"at"`
	Worker string         `json:"worker,omitempty"`
	Before sessions.State `json:"before,omitempty"`

	sessions.Health
}

// changes prints what differs from before.
func (s sight) changes(w io.Writer, before map[string]sessions.State, asJSON bool) error {
	var faults []error
	for _, v := range s.Views {
		for _, h := range v.Health {
			key := v.Worker + " " + h.Service
			was, seen := before[key]
			if seen && was == h.State || h.Unused {
				continue
			}
			before[key] = h.State
			h.History = nil
			faults = append(faults, change{At: time.Now().UTC(), Worker: v.Worker, Before: was, Health: h}.print(w, asJSON))
		}
	}
	return errors.Join(faults...)
}

func (c change) print(w io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(c)
	}
	name := strings.TrimSpace(c.Worker + " " + c.Service)
	text := cmp.Or(c.Error, c.Detail)
	if c.Before != "" {
		name += " was " + string(c.Before) + ","
	}
	_, err := fmt.Fprintf(w, "%s %s is %s: %s\n", clock(c.At), printable(name), c.State, printable(text))
	return err
}

// sleep waits. It tells whether ctx is still alive.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
