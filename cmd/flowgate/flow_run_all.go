package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"flowgate/messages"
	"flowgate/pipelines/flow"
)

// agreementRun is what came of one of many agreements.
type agreementRun struct {
	Trigger    string                 `json:"trigger"`
	ID         string                 `json:"id"`
	Status     messages.Status        `json:"status"`
	Reason     messages.Reason        `json:"reason"`
	Mode       messages.ExecutionMode `json:"execution_mode"`
	Because    string                 `json:"because,omitempty"`
	Seconds    float64                `json:"seconds"`
	Samples    int64                  `json:"samples"`
	Confidence float64                `json:"confidence"`
}

// good tells that it measured now, and that its request succeeded.
func (a agreementRun) good() bool {
	return a.Mode == messages.ExecutionReal && a.Status == messages.StatusSuccess
}

func ranAgreement(trigger string, r messages.Result) agreementRun {
	a := agreementRun{Trigger: trigger, ID: r.ID, Status: r.Status, Reason: r.Reason, Mode: messages.ExecutionFailed}
	if x := r.Execution; x != nil {
		a.Mode, a.Because, a.Seconds, a.Samples, a.Confidence = x.Mode, x.Because, x.Seconds, x.Samples, x.Confidence
	}
	if a.Because == "" && !a.good() {
		a.Because = string(r.Reason)
	}
	return a
}

// agreementRuns is what came of many.
type agreementRuns struct {
	Executions []agreementRun `json:"executions"`
	Real       int            `json:"real"`
	All        int            `json:"all"`
	// NotRun are the triggers of those that were not come to, LeftOut of those whose action is unknown by the settings.
	NotRun  []string `json:"not_run"`
	LeftOut []string `json:"left_out"`
}

// errNotAsked says that no request can be made for an agreement: others can be asked for.
var errNotAsked = errors.New("it cannot be asked for")

// runAll carries out every agreement in force, one after the other. One that cannot be asked for has failed, and the others are run; where
// the broker does not take it, or its end is not waited for, that ends it, and what ended before is shown with what was not come to.
func (r *flowRun) runAll(cmd *cobra.Command, g *globals) error {
	if _, err := r.order("[All]"); err != nil {
		return usageError{err}
	}
	c, err := reach(cmd.Context(), g, true)
	if err != nil {
		return err
	}
	defer c.close()
	all, err := c.db.Agreements(cmd.Context())
	if err != nil {
		return err
	}
	catalog, err := g.catalog()
	if err != nil {
		return err
	}
	entries, without := runnable(all, catalog, g.tenant, time.Now())
	for _, e := range without {
		fmt.Fprintf(cmd.ErrOrStderr(), "flowgate: left out: %s\n", unknownActionText(e.Trigger, e.Action))
	}
	if len(entries) == 0 {
		return fmt.Errorf("no agreement with an action is in force for tenant %s%s; `flowgate flow list` lists them", g.tenant, leftOutText(len(without)))
	}
	runs := agreementRuns{Executions: []agreementRun{}, All: len(entries), NotRun: []string{}, LeftOut: triggersOf(without)}
	err = runs.each(entries, func(e flow.Entry, place string) (agreementRun, error) { return r.runNext(cmd, g, c, e, place) })
	return errors.Join(runs.show(cmd.OutOrStdout(), g), err)
}

func triggersOf(entries []flow.Entry) []string {
	triggers := make([]string, len(entries))
	for i, e := range entries {
		triggers[i] = e.Trigger
	}
	return triggers
}

// each carries out agreements one after the other, until one fails in a way that others would too.
func (a *agreementRuns) each(entries []flow.Entry, run func(e flow.Entry, place string) (agreementRun, error)) error {
	for i, e := range entries {
		one, err := run(e, fmt.Sprintf("%d of %d, %s", i+1, len(entries), printable(e.Trigger)))
		switch {
		case errors.Is(err, errNotAsked):
			one = agreementRun{Trigger: e.Trigger, Status: messages.StatusFailure, Mode: messages.ExecutionFailed, Because: err.Error()}
		case err != nil:
			a.NotRun = triggersOf(entries[i+1:])
			return fmt.Errorf("%s: %w", printable(e.Trigger), err)
		}
		if one.good() {
			a.Real++
		}
		a.Executions = append(a.Executions, one)
	}
	return nil
}

// runNext carries out one of them and tells how far it is.
func (r *flowRun) runNext(cmd *cobra.Command, g *globals, c *client, e flow.Entry, place string) (a agreementRun, err error) {
	document, err := r.order(e.Trigger)
	if err != nil {
		return a, fmt.Errorf("%w: %w", errNotAsked, err)
	}
	key := messages.Key{Tenant: g.tenant}
	if key.ID, err = newID(); err != nil {
		return a, err
	}
	if err := taken(cmd, g, c, messages.ClassStd, key); err != nil {
		return a, err
	}
	if _, _, err := publishRequest(cmd.Context(), c.js, messages.ClassStd, key, document); err != nil {
		return a, err
	}
	told := tellWaiting(cmd.Context(), cmd.ErrOrStderr(), isTerminal(os.Stderr), place)
	result, err := await(cmd.Context(), c, key, 0, r.timeout)
	told()
	if err != nil {
		return a, err
	}
	a = ranAgreement(e.Trigger, result)
	fmt.Fprintf(cmd.ErrOrStderr(), "flowgate: %s: %s, %.3f s\n", place, a.Mode, a.Seconds)
	return a, nil
}

// tellWaiting tells a terminal every second what is being waited for, until stop is called or ctx ends.
func tellWaiting(ctx context.Context, w io.Writer, terminal bool, place string) (stop func()) {
	if !terminal {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var going sync.WaitGroup
	began := time.Now()
	going.Go(func() {
		each := time.NewTicker(time.Second)
		defer each.Stop()
		for {
			fmt.Fprintf(w, "\r\x1b[K%s, %d s", place, int(time.Since(began).Seconds()))
			select {
			case <-each.C:
			case <-ctx.Done():
				fmt.Fprint(w, "\r\x1b[K")
				return
			}
		}
	})
	return func() { cancel(); going.Wait() }
}

// show shows what came of them.
func (a *agreementRuns) show(w io.Writer, g *globals) error {
	good := a.Real == a.All
	if g.json {
		return verdict(printJSON(w, a), good)
	}
	rows, notes := make([][]string, len(a.Executions)), make([]string, len(a.Executions))
	for i, x := range a.Executions {
		rows[i] = []string{x.Trigger, string(x.Mode), fmt.Sprintf("%.3f", x.Seconds), fmt.Sprint(x.Samples), fmt.Sprintf("%.2f", x.Confidence)}
		notes[i] = x.Because
	}
	if err := notedTable(w, "TRIGGER MODE SECONDS SAMPLES CONFIDENCE", rows, "BECAUSE", notes); err != nil {
		return err
	}
	out := &lines{w: w}
	if len(a.NotRun) > 0 {
		for i, line := range wrapped([]string{printable("not run: " + strings.Join(a.NotRun, ", "))}, tableWidth-2) {
			out.print("%s%s\n", strings.Repeat("  ", min(i, 1)), line)
		}
	}
	out.print("%d of %d were real and succeeded%s\n", a.Real, a.All, leftOutText(len(a.LeftOut)))
	return verdict(out.err, good)
}

func leftOutText(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("; %d left out: the settings in use here do not know the action", n)
}
