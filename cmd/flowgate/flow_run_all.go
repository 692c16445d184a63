package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
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

// runAll carries out every agreement in force, one after the other. What cannot be asked or waited for ends it, and what ended before is
// shown.
func (r *flowRun) runAll(cmd *cobra.Command, g *globals) error {
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
		return fmt.Errorf("no agreement with an action is in force for tenant %s; `flowgate flow list` lists them", g.tenant)
	}
	ran, err := []agreementRun{}, error(nil)
	for i, e := range entries {
		var one agreementRun
		if one, err = r.runNext(cmd, g, c, e, fmt.Sprintf("%d of %d, %s", i+1, len(entries), printable(e.Trigger))); err != nil {
			break
		}
		ran = append(ran, one)
	}
	return errors.Join(showRuns(cmd.OutOrStdout(), g, ran, len(entries)), err)
}

// runNext carries out one of them and tells how far it is.
func (r *flowRun) runNext(cmd *cobra.Command, g *globals, c *client, e flow.Entry, place string) (a agreementRun, err error) {
	document, err := r.order(e.Trigger)
	if err != nil {
		return a, usageError{err}
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

// showRuns shows what came of agreements; wanted is how many were to be carried out.
func showRuns(w io.Writer, g *globals, ran []agreementRun, wanted int) error {
	good := 0
	rows, notes := make([][]string, len(ran)), make([]string, len(ran))
	for i, a := range ran {
		if a.good() {
			good++
		}
		rows[i] = []string{a.Trigger, string(a.Mode), fmt.Sprintf("%.3f", a.Seconds), fmt.Sprint(a.Samples), fmt.Sprintf("%.2f", a.Confidence)}
		notes[i] = a.Because
	}
	if g.json {
		return verdict(printJSON(w, map[string]any{"executions": ran, "real": good, "all": wanted}), good == wanted)
	}
	if err := notedTable(w, "TRIGGER MODE SECONDS SAMPLES CONFIDENCE", rows, "BECAUSE", notes); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%d of %d were real and succeeded\n", good, wanted)
	return verdict(err, good == wanted)
}
