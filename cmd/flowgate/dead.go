package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"flowgate/messages"
	"flowgate/worker"
	"flowgate/worker/postgres"
)

func newDead(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use: "dead", Short: "Inspect dead letters: failures that can be replayed", Args: cobra.NoArgs,
		Example: "  flowgate dead list\n  flowgate dead show invoice-4711",
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newDeadList(g), newDeadShow(g))
	return cmd
}

func newDeadList(g *globals) *cobra.Command {
	var filter filterFlags
	var all bool
	cmd := &cobra.Command{
		Use: "list", Short: "List dead letters, newest first", Args: cobra.NoArgs,
		Long:    "Lists failures that can be replayed and were not yet; --all lists the replayed ones too.",
		Example: "  flowgate dead list --reason backend_unavailable --since 24h",
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
			letters, err := c.db.DeadLetters(cmd.Context(), f)
			if err != nil {
				return err
			}
			shown := make([]postgres.DeadLetter, 0, len(letters))
			rows := make([][]string, 0, len(letters))
			for _, l := range letters {
				if l.Replayed && !all {
					continue
				}
				shown = append(shown, l)
				rows = append(rows, []string{
					clock(l.StoredAt), l.ID, strconv.Itoa(l.Epoch), l.Status, l.Reason, l.Layer, strconv.FormatBool(l.Replayed),
				})
			}
			if g.json {
				return printJSON(cmd.OutOrStdout(), shown)
			}
			if len(rows) == 0 {
				_, err = fmt.Fprintln(cmd.OutOrStdout(), "no dead letters")
				return err
			}
			return table(cmd.OutOrStdout(), "TIME ID EPOCH STATUS REASON LAYER REPLAYED", rows)
		},
	}
	filter.bind(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "also those that were replayed")
	return cmd
}

func newDeadShow(g *globals) *cobra.Command {
	epoch := -1
	cmd := &cobra.Command{
		Use: "show ID", Short: "Show a dead letter with its story", Args: cobra.ExactArgs(1),
		Long:    "Shows the whole envelope of a failure: the request, every layer's section, each attempt, and how it ended.",
		Example: "  flowgate dead show invoice-4711",
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
			letter, err := c.db.DeadLetter(cmd.Context(), key, epoch)
			if errors.Is(err, worker.ErrNotFound) {
				return fmt.Errorf("%s has no dead letter; see `flowgate audit show %s`", key.ID, key.ID)
			}
			if err != nil {
				return fmt.Errorf("dead letter of %s: %w", key.ID, err)
			}
			if g.json {
				return printJSON(cmd.OutOrStdout(), json.RawMessage(letter.Envelope))
			}
			e, err := messages.DecodeEnvelope(letter.Envelope)
			if err != nil {
				return err
			}
			return writeLetter(cmd, key, e)
		},
	}
	cmd.Flags().IntVar(&epoch, "epoch", -1, "epoch to show; -1 is the newest failure")
	return cmd
}

func writeLetter(cmd *cobra.Command, key messages.Key, e *messages.Envelope) error {
	out := cmd.OutOrStdout()
	if e.End == nil {
		return fmt.Errorf("dead letter of %s has no end", key.ID)
	}
	lines := []string{
		fmt.Sprintf("%s, epoch %d: %s (%s) in %s at %s", key.ID, e.Epoch, e.End.Status, e.End.Reason, e.End.Layer, clock(e.End.FinishedAt)),
		"  why     " + e.End.Message(),
		"  next    " + messages.Explain(e.End.Reason).Next,
	}
	if e.End.Field != "" {
		lines = append(lines, "  field   "+e.End.Field)
	}
	for i := range e.History {
		a := e.History[i]
		lines = append(lines, fmt.Sprintf("  attempt %d at %s on %s: %s %s %s (%d ms, %d calls, cost %s)", a.K, clock(a.StartedAt), a.Backend,
			a.Class, a.Code, a.Detail, a.DurationMS, max(a.Tries, 1), dollars(a.CostMicroUSD)))
	}
	if m := e.Malformed; m != nil {
		lines = append(lines, fmt.Sprintf("  body    %d bytes, sha256 %s", m.Length, m.SHA256))
	}
	lines = append(lines, "Replay it with: flowgate replay one "+key.ID+" --reason \"…\"")
	for _, l := range lines {
		if _, err := fmt.Fprintln(out, printable(l)); err != nil {
			return err
		}
	}
	return nil
}
