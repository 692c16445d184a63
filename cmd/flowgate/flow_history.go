package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"flowgate/pipelines/flow"
	"flowgate/worker/postgres"
)

// agreementHistory is what became of agreements.
type agreementHistory struct {
	Changes []agreementChange `json:"changes"`
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

func newFlowHistory(g *globals) *cobra.Command {
	limit, since := 0, ""
	cmd := &cobra.Command{
		Use: "history [TRIGGER]", Short: "List what was done with agreements, when, by whom and why", Args: cobra.MaximumNArgs(1),
		Example: "  flowgate flow history\n  flowgate flow history \"[Cost Analysis]\" --since 24h --json",
		RunE: func(cmd *cobra.Command, args []string) error {
			from := time.Time{}
			if since != "" {
				var err error
				if from, err = ago("since", since); err != nil {
					return err
				}
			}
			if limit < 1 {
				return usageError{fmt.Errorf("flag --limit must be at least 1")}
			}
			return g.withAgreements(cmd.Context(), func(db *postgres.DB, all []flow.Entry) error {
				trigger := ""
				if len(args) > 0 {
					var err error
					if trigger, err = triggerOf(all, args[0]); err != nil {
						return err
					}
				}
				acts, err := db.AgreementHistory(cmd.Context(), trigger, limit)
				if err != nil {
					return err
				}
				acts = slices.DeleteFunc(acts, func(e flow.Entry) bool { return e.Last.At.Before(from) })
				return writeHistory(cmd, g, acts)
			})
		},
	}
	cmd.Flags().IntVar(&limit, "limit", 100, "the most `rows`, the newest")
	cmd.Flags().StringVar(&since, "since", "", "only newer ones: a `time` (RFC 3339) or an age such as 24h")
	return cmd
}

func writeHistory(cmd *cobra.Command, g *globals, acts []flow.Entry) error {
	h := agreementHistory{Changes: make([]agreementChange, len(acts))}
	rows := make([][]string, len(acts))
	for i, e := range acts {
		h.Changes[i] = agreementChange{e.Trigger, e.Version, e.Last, e.State, e.Revision}
		rows[i] = []string{clock(e.Last.At), e.Trigger, e.Version, string(e.Last.Act), string(e.State), e.Last.By, e.Last.Reason}
	}
	if g.json {
		return printJSON(cmd.OutOrStdout(), h)
	}
	return table(cmd.OutOrStdout(), "TIME TRIGGER VERSION ACT STATE BY REASON", rows)
}
