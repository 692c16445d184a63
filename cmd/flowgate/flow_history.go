package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"flowgate/messages"
	"flowgate/pipelines/flow"
	"flowgate/worker/postgres"
)

// agreementHistory is what became of agreements.
type agreementHistory struct {
	// Executions are those of the tenant, LastHour counts those of its last hour by mode, whatever the flags choose but for the trigger.
	Executions []postgres.Execution      `json:"executions"`
	Changes    []agreementChange         `json:"changes"`
	LastHour   []postgres.ExecutionCount `json:"last_hour"`
}

// agreementChange is an act on a version.
type agreementChange struct {
	Trigger string `json:"trigger"`
	Version string `json:"version"`
	flow.Change

	// State is where the version stood from then on.
	State    flow.State `json:"state"`
	Revision int64      `json:"revision"`
}

// historyChoice is what the flags of history choose.
type historyChoice struct {
	trigger, mode, user, since, until string
	limit                             int
}

func newFlowHistory(g *globals) *cobra.Command {
	var choice historyChoice
	cmd := &cobra.Command{
		Use: "history [TRIGGER]", Short: "List how agreements were executed, and what was done with them, when, by whom and why", Args: cobra.MaximumNArgs(1),
		Long: "Lists three things: requests of the tenant for actions of agreements that have ended, also those that were denied, each with its\n" +
			"mode; the acts that changed agreements, each with its reason; and how often each agreement was executed in the last hour, by mode.\n" +
			"With --mode it leaves the acts out, which have none; --user chooses executions by who asked, and acts by who did them.",
		Example: "  flowgate flow history\n  flowgate flow history \"[Cost Analysis]\" --since 24h --json\n  flowgate flow history --mode failed --user anna --until 1h",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				if choice.trigger != "" {
					return usageError{errors.New("name the agreement once: as an argument, or with --trigger")}
				}
				choice.trigger = args[0]
			}
			executions, changes, err := choice.filters(g)
			if err != nil {
				return err
			}
			return g.withAgreements(cmd.Context(), func(db *postgres.DB, all []flow.Entry) error {
				if choice.trigger != "" {
					if executions.Trigger, err = triggerOf(all, choice.trigger); err != nil {
						return err
					}
				}
				changes.Trigger = executions.Trigger
				h, err := choice.read(cmd.Context(), db, executions, changes)
				if err != nil {
					return err
				}
				if g.json {
					return printJSON(cmd.OutOrStdout(), h)
				}
				return h.write(cmd.OutOrStdout(), g.tenant, choice.mode == "")
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&choice.trigger, "trigger", "", "only those of one agreement")
	f.StringVar(&choice.mode, "mode", "", "only executions of a `mode`: real, fallback, failed or denied")
	f.StringVar(&choice.user, "user", "", "only those of one user")
	f.StringVar(&choice.since, "since", "", "only newer ones: a `time` (RFC 3339) or an age such as 24h")
	f.StringVar(&choice.until, "until", "", "only older ones: a `time` (RFC 3339) or an age such as 1h")
	f.IntVar(&choice.limit, "limit", 100, "the most `rows` of executions and of acts, the newest")
	return cmd
}

func executionModes() []messages.ExecutionMode {
	return []messages.ExecutionMode{messages.ExecutionReal, messages.ExecutionFallback, messages.ExecutionFailed, messages.ExecutionDenied}
}

// filters are what the flags choose; triggers are left out.
func (c *historyChoice) filters(g *globals) (x postgres.ExecutionFilter, changes postgres.ChangeFilter, err error) {
	switch {
	case c.limit < 1 || c.limit > postgres.MaxExecutions:
		return x, changes, usageError{fmt.Errorf("flag --limit must be from 1 to %d", postgres.MaxExecutions)}
	case c.mode != "" && !slices.Contains(executionModes(), messages.ExecutionMode(c.mode)):
		return x, changes, usageError{fmt.Errorf("flag --mode must be one of %s", listed(executionModes()))}
	}
	x = postgres.ExecutionFilter{Tenant: g.tenant, Mode: messages.ExecutionMode(c.mode), User: c.user, Limit: c.limit}
	for _, b := range []struct {
		flag, text string
		into       *time.Time
	}{{"since", c.since, &x.Since}, {"until", c.until, &x.Until}} {
		if b.text == "" {
			continue
		}
		if *b.into, err = ago(b.flag, b.text); err != nil {
			return x, changes, err
		}
	}
	return x, postgres.ChangeFilter{By: c.user, Since: x.Since, Until: x.Until, Limit: c.limit}, nil
}

// read reads what the flags choose.
func (c *historyChoice) read(ctx context.Context, db *postgres.DB, x postgres.ExecutionFilter, changes postgres.ChangeFilter) (h agreementHistory, err error) {
	if h.Executions, err = db.Executions(ctx, x); err != nil {
		return h, err
	}
	h.Changes = []agreementChange{}
	if c.mode == "" {
		acts, err := db.AgreementHistory(ctx, changes)
		if err != nil {
			return h, err
		}
		for _, e := range acts {
			h.Changes = append(h.Changes, agreementChange{e.Trigger, e.Version, e.Last, e.State, e.Revision})
		}
	}
	if h.LastHour, err = db.ExecutionCounts(ctx, x.Tenant, time.Now().Add(-time.Hour)); err != nil {
		return h, err
	}
	if x.Trigger != "" {
		h.LastHour = slices.DeleteFunc(h.LastHour, func(n postgres.ExecutionCount) bool { return n.Trigger != x.Trigger })
	}
	return h, nil
}

func (h agreementHistory) write(w io.Writer, tenant string, acts bool) error {
	out := &strings.Builder{}
	fmt.Fprintf(out, "executions in tenant %s\n", printable(tenant))
	rows, notes := make([][]string, len(h.Executions)), make([]string, len(h.Executions))
	for i, x := range h.Executions {
		rows[i] = []string{second(x.EndedAt), orDash(x.Trigger), string(x.Mode), fmt.Sprintf("%.3f", x.Seconds), fmt.Sprint(x.Samples), fmt.Sprintf("%.2f", x.Confidence), orDash(x.UserID)}
		notes[i] = x.Because
	}
	err := noted(out, "TIME TRIGGER MODE SECONDS SAMPLES CONFIDENCE USER", rows, "BECAUSE", notes)
	if acts {
		fmt.Fprintf(out, "\nchanges of agreements\n")
		rows, notes = make([][]string, len(h.Changes)), make([]string, len(h.Changes))
		for i, c := range h.Changes {
			rows[i] = []string{second(c.At), c.Trigger, c.Version, string(c.Act), string(c.State), c.By}
			notes[i] = c.Reason
		}
		err = errors.Join(err, noted(out, "TIME TRIGGER VERSION ACT STATE BY", rows, "REASON", notes))
	}
	fmt.Fprintf(out, "\nlast hour in tenant %s\n", printable(tenant))
	rows, notes = make([][]string, len(h.LastHour)), make([]string, len(h.LastHour))
	for i, n := range h.LastHour {
		trigger := n.Trigger
		if trigger == "" {
			trigger = "of no agreement"
		}
		rows[i] = []string{trigger, fmt.Sprint(n.Real), fmt.Sprint(n.Fallback), fmt.Sprint(n.Failed), fmt.Sprint(n.Denied), fmt.Sprint(n.All())}
		notes[i] = second(n.Newest)
	}
	err = errors.Join(err, noted(out, "TRIGGER REAL FALLBACK FAILED DENIED ALL", rows, "NEWEST", notes))
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, out.String())
	return err
}

// noted is notedTable, or a word where it has no row.
func noted(w io.Writer, header string, rows [][]string, last string, notes []string) error {
	if len(rows) == 0 {
		_, err := fmt.Fprintln(w, "none")
		return err
	}
	return notedTable(w, header, rows, last, notes)
}

// second is a time to the second.
func second(t time.Time) string { return t.UTC().Format(time.DateTime) }
