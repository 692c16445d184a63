package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"

	"flowgate/messages"
	"flowgate/worker/postgres"
)

// clusterReport is what a rehearsal found, and its JSON.
type clusterReport struct {
	OK      bool `json:"ok"`
	Servers int  `json:"nats_servers"`
	// Copies are those of the WORK stream that were up to date at the end.
	Copies  int `json:"copies"`
	Workers int `json:"workers"`
	// Lines were sent; Requests and Outcomes are those of the record: each line must be there once.
	Lines    int                     `json:"lines"`
	Requests int                     `json:"requests"`
	Outcomes int                     `json:"outcomes"`
	Statuses map[messages.Status]int `json:"statuses"`
	Reasons  map[messages.Reason]int `json:"reasons"`
	// Attempts are the calls that were begun: as many as lines where no drain cut one off.
	Attempts int   `json:"attempts"`
	Cost     int64 `json:"cost_microusd"`
	// NATSBytes are those of one copy of a request in the streams while it is held, PostgresBytes those that the database
	// grew by, both on average; Connections are the workers' to Postgres.
	NATSBytes     int64 `json:"nats_bytes_per_request"`
	PostgresBytes int64 `json:"postgres_bytes_per_request"`
	Connections   int64 `json:"postgres_connections"`

	Replaced     []replaced         `json:"replaced"`
	Findings     []postgres.Finding `json:"audit_check"`
	StartSeconds float64            `json:"start_seconds"`
	BatchSeconds float64            `json:"batch_seconds"`
	Seconds      float64            `json:"seconds"`
	// Faults say what was not as promised.
	Faults []string `json:"faults,omitempty"`
}

// judge tells whether everything went as promised.
func (r *clusterReport) judge() {
	fault := func(wrong bool, format string, a ...any) {
		if wrong {
			r.Faults = append(r.Faults, fmt.Sprintf(format, a...))
		}
	}
	fault(r.Statuses[messages.StatusSuccess] != r.Lines, "%d of %d lines succeeded", r.Statuses[messages.StatusSuccess], r.Lines)
	fault(r.Requests != r.Lines || r.Outcomes != r.Lines, "%d outcomes of %d requests are recorded for %d lines", r.Outcomes, r.Requests, r.Lines)
	fault(r.Copies != r.Servers, "%d of %d copies of the WORK stream are up to date", r.Copies, r.Servers)
	fault(len(r.Replaced) == 0, "no worker was replaced")
	for _, one := range r.Replaced {
		fault(one.OpenBefore == 0, "the worker %s was stopped when nothing was left to do: take a longer --lasts", one.Layer)
	}
	for _, f := range r.Findings {
		fault(!f.OK, "audit check finds %s: %s", f.Name, f.Detail)
	}
	r.OK = len(r.Faults) == 0
}

// show prints the tables.
func (r *clusterReport) show(out io.Writer, g *globals) error {
	rows := make([][]string, len(r.Replaced))
	for i, one := range r.Replaced {
		rows[i] = []string{
			one.Layer, seconds(one.AfterSeconds), strconv.Itoa(one.OpenBefore), seconds(one.DrainSeconds), seconds(one.StartSeconds), strconv.Itoa(one.OpenAfter),
		}
	}
	fmt.Fprintln(out, "\nWorkers that were stopped and started while the batch ran:")
	if err := table(out, "LAYER AFTER LINES_OPEN DRAINED_IN STARTED_IN LINES_OPEN", rows); err != nil {
		return err
	}
	rows = nil
	for _, s := range messages.Statuses() {
		if n := r.Statuses[s]; n > 0 {
			rows = append(rows, []string{string(s), strconv.Itoa(n)})
		}
	}
	fmt.Fprintf(out, "\nWhat became of %d lines (%d outcomes recorded, %d calls begun, %s by the price table):\n", r.Lines, r.Outcomes, r.Attempts, dollars(r.Cost))
	if err := table(out, "RESULT LINES", rows); err != nil {
		return err
	}
	fmt.Fprintln(out, "\nThe record, the money and the queue (flowgate audit check):")
	if err := showFindings(out, g, r.Findings); err != nil && !errors.Is(err, errSaid) {
		return err
	}
	for _, f := range r.Faults {
		fmt.Fprintln(out, "NOT AS PROMISED:", f)
	}
	fmt.Fprintf(out, "\nA request took %d bytes in the streams, a copy, and %d in Postgres; the workers hold %d connections to Postgres.\n",
		r.NATSBytes, r.PostgresBytes, r.Connections)
	_, err := fmt.Fprintf(out, "%d NATS servers, %d copies of each message, %d workers: started in %s, the batch took %s, everything %s.\n",
		r.Servers, r.Copies, r.Workers, seconds(r.StartSeconds), seconds(r.BatchSeconds), seconds(r.Seconds))
	return err
}

func seconds(s float64) string { return strconv.FormatFloat(s, 'f', 2, 64) + " s" }
