package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"flowgate/messages"
	"flowgate/worker"
	"flowgate/worker/broker"
	"flowgate/worker/postgres"
)

func newAudit(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use: "audit", Short: "Read and check the record", Args: cobra.NoArgs,
		Example: "  flowgate audit list --status denied\n  flowgate audit show invoice-4711\n  flowgate audit check\n  flowgate audit redecide --since 24h",
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newAuditList(g), newAuditShow(g), newAuditCheck(g), newAuditRedecide(g))
	return cmd
}

func newAuditList(g *globals) *cobra.Command {
	var filter filterFlags
	cmd := &cobra.Command{
		Use: "list", Short: "List recorded outcomes, newest first", Args: cobra.NoArgs,
		Example: "  flowgate audit list --status denied --since 24h --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, err := filter.filter(g)
			if err != nil {
				return err
			}
			c, err := reach(cmd.Context(), g, true)
			if err != nil {
				return err
			}
			defer c.close()
			outcomes, err := c.db.ListOutcomes(cmd.Context(), f)
			if err != nil {
				return err
			}
			if g.json {
				if outcomes == nil {
					outcomes = []postgres.Outcome{}
				}
				return printJSON(cmd.OutOrStdout(), outcomes)
			}
			rows := make([][]string, len(outcomes))
			for i, o := range outcomes {
				rows[i] = []string{
					clock(o.StoredAt), o.ID, strconv.Itoa(o.Epoch), o.Status, o.Reason, o.UserID, o.Department, o.Model, o.Backend, dollars(o.CostMicroUSD),
				}
			}
			return table(cmd.OutOrStdout(), "TIME ID EPOCH STATUS REASON USER DEPARTMENT MODEL BACKEND COST", rows)
		},
	}
	filter.bind(cmd)
	return cmd
}

func newAuditShow(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "Show a request's timeline over the layers", Args: cobra.ExactArgs(1),
		Example: "  flowgate audit show invoice-4711",
		RunE: func(cmd *cobra.Command, args []string) error {
			key := messages.Key{Tenant: g.tenant, ID: args[0]}
			if err := messages.CheckKey(key); err != nil {
				return usageError{err}
			}
			c, err := reach(cmd.Context(), g, true)
			if err != nil {
				return err
			}
			defer c.close()
			return showTimeline(cmd.Context(), cmd.OutOrStdout(), g, c.db, key)
		},
	}
}

func showTimeline(ctx context.Context, w io.Writer, g *globals, db *postgres.DB, key messages.Key) error {
	t, err := db.Timeline(ctx, key)
	if errors.Is(err, worker.ErrNotFound) {
		return fmt.Errorf("nothing is recorded of %s; see `flowgate result %s`", key.ID, key.ID)
	}
	if err != nil {
		return fmt.Errorf("timeline of %s: %w", key.ID, err)
	}
	if g.json {
		return printJSON(w, t)
	}
	for _, epoch := range t.Epochs {
		if _, err := fmt.Fprintf(w, "%s, epoch %d\n", key.ID, epoch.Epoch); err != nil {
			return err
		}
		for _, s := range epoch.Steps {
			if _, err := fmt.Fprintf(w, "  %s  %-12s %s\n", clock(s.At), printable(s.What), printable(s.Text)); err != nil {
				return err
			}
		}
	}
	return nil
}

func newAuditCheck(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "check", Short: "Check that record, money and queue agree", Args: cobra.NoArgs,
		Long:    "Checks the invariants of the record, of the money and of the queue. Exit code 0: all hold; 1: one does not.",
		Example: "  flowgate audit check --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := reach(cmd.Context(), g, true)
			if err != nil {
				return err
			}
			defer c.close()
			findings, err := auditCheck(cmd.Context(), c)
			if err != nil {
				return err
			}
			return showFindings(cmd.OutOrStdout(), g, findings)
		},
	}
}

func showFindings(w io.Writer, g *globals, findings []postgres.Finding) error {
	clean := true
	rows := make([][]string, len(findings))
	for i, f := range findings {
		clean = clean && f.OK
		state := "ok"
		if !f.OK {
			state = fmt.Sprintf("BROKEN (%d): %v", f.Count, f.Examples)
		}
		rows[i] = []string{f.Name, state, f.Detail}
	}
	var err error
	if g.json {
		err = printJSON(w, map[string]any{"ok": clean, "findings": findings})
	} else {
		err = table(w, "CHECK STATE RULE", rows)
	}
	return verdict(err, clean)
}

// stuckAfter is how long an open request may stand still before its newest state is looked at.
const stuckAfter = 5 * time.Second

// auditCheck checks the record in Postgres and the families of open requests in the queue.
func auditCheck(ctx context.Context, c *client) ([]postgres.Finding, error) {
	findings, err := c.db.Check(ctx)
	if err != nil {
		return nil, err
	}
	families, err := checkFamilies(ctx, c)
	return append(findings, families), err
}

// checkFamilies looks for requests that nobody will ever take up again: their newest state is one that no consumer still
// has to deliver.
func checkFamilies(ctx context.Context, c *client) (postgres.Finding, error) {
	f := postgres.Finding{Name: "families", OK: true, Detail: "every open request's newest state is one that a reader still has to read"}
	open, err := c.db.OpenAdmissions(ctx, time.Now().Add(-stuckAfter), 100_000)
	if err != nil {
		return f, err
	}
	leader := &worker.Leader{JS: c.js}
	floors := make(map[string]uint64)
	for _, a := range open {
		newest, found, err := leader.Newest(ctx, a.P, a.Key)
		if err != nil {
			return f, err
		}
		var stuck bool
		switch {
		case !found: // its message stands in the ingress stream, unacknowledged
			stuck, err = c.passed(ctx, floors, worker.IngressStream, "corporate-"+string(a.Class), a.IngressSeq)
		case newest.State == messages.StateDone:
			position, e := c.db.Position(ctx, worker.WorkStream(a.P))
			stuck, err = position.Seq >= newest.Seq, e
		default:
			seq := newest.Seq
			queue := broker.LayerQueue{Name: string(newest.State), State: newest.State}
			switch newest.State {
			case messages.StateHold:
				queue.Name = "corporate-hold"
			case messages.StateCalling:
				call, e := messages.DecodeCalling(newest.Data)
				if e != nil && !messages.Newer(newest.Data) { // keys change only by addition: input_seq means the same
					return f, e
				}
				queue.Name, seq = "ai", call.InputSeq
			case messages.StateAI, messages.StateOptimizer, messages.StateDone:
			}
			stuck, err = c.passed(ctx, floors, worker.WorkStream(a.P), queue.Consumer(a.Class, a.P), seq)
		}
		if err != nil {
			return f, err
		}
		if stuck {
			f.OK = false
			f.Count++
			if len(f.Examples) < 5 {
				f.Examples = append(f.Examples, a.String())
			}
		}
	}
	return f, nil
}

// passed tells whether a consumer has acknowledged everything up to seq.
func (c *client) passed(ctx context.Context, floors map[string]uint64, stream, consumer string, seq uint64) (bool, error) {
	floor, known := floors[consumer]
	if !known {
		handle, err := c.js.Consumer(ctx, stream, consumer)
		if err != nil {
			return false, fmt.Errorf("reading consumer %s: %w", consumer, err)
		}
		info, err := handle.Info(ctx)
		if err != nil {
			return false, fmt.Errorf("reading consumer %s: %w", consumer, err)
		}
		floor = info.AckFloor.Stream
		floors[consumer] = floor
	}
	return floor >= seq, nil
}
