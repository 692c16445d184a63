package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"flowgate/configs"
)

// trial is what a policy would have decided on requests that have ended.
type trial struct {
	Version  string `json:"version"`
	Requests int    `json:"requests"`
	Same     int    `json:"same"`
	// Denied would be denied and were not; their calls cost DeniedMicroUSD. Passed were denied and would not be.
	Denied         int   `json:"would_be_denied"`
	DeniedMicroUSD int64 `json:"would_be_denied_microusd"`
	Passed         int   `json:"would_pass"`
	// Otherwise would be denied or flagged by other rules.
	Otherwise int `json:"otherwise"`
	// Refused were refused by other checks before any rule was asked. NotRecomputable lack facts, since an older version
	// recorded them.
	Refused         int                 `json:"refused_before"`
	NotRecomputable int                 `json:"not_recomputable"`
	Examples        []redecisionExample `json:"examples"`
}

func newPolicyTry(g *globals) *cobra.Command {
	filter := filterFlags{}
	cmd := &cobra.Command{
		Use: "try FILE", Short: "Tell what a file would have decided on requests that have ended", Args: cobra.ExactArgs(1),
		Long: "Makes the decisions of layer 1's policy again out of the record, with the rules of a file: how many requests would be denied\n" +
			"that were not, what those cost, how many would pass that were denied, with examples. Nothing is changed. What an older version\n" +
			"recorded without the facts that rules speak of is counted as not recomputable. Exit code 1: something would be decided otherwise.",
		Example: "  flowgate policy try policy.yaml --since 24h\n  flowgate policy try policy.yaml --since 720h --limit 100000 --json",
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := configs.LoadPolicy(args[0])
			if err != nil {
				return usageError{err}
			}
			f, err := filter.filter(g)
			if err != nil {
				return err
			}
			settings, err := g.load()
			if err != nil {
				return err
			}
			db, err := g.reachDatabase(cmd.Context(), settings)
			if err != nil {
				return environmentError{err}
			}
			defer db.Close()
			report, err := redecide(cmd.Context(), db, f, proposal{policy: p})
			if err != nil {
				return err
			}
			t := trialOf(p.Version(), report)
			if g.json {
				err = printJSON(cmd.OutOrStdout(), t)
			} else {
				err = t.write(cmd.OutOrStdout())
			}
			return verdict(err, t.Denied+t.Passed+t.Otherwise == 0)
		},
	}
	filter.bind(cmd)
	filter.window(cmd)
	return cmd
}

// trialOf is the part of a redecision that a policy alone changes.
func trialOf(version string, r *redecision) trial {
	return trial{
		Version: version, Requests: r.Requests, Same: r.Same - r.refusedBefore, Denied: r.Denied, DeniedMicroUSD: r.DeniedMicroUSD,
		Passed: r.Passed, Otherwise: r.Otherwise, Refused: r.refusedBefore, NotRecomputable: r.NotRecomputable, Examples: r.Examples,
	}
}

func (t trial) write(w io.Writer) error {
	_, err := fmt.Fprintf(w, "%d requests, policy %s: %d as before, %d would be denied (they cost %s), %d would pass, %d otherwise, %d refused before any rule, %d not recomputable\n",
		t.Requests, t.Version, t.Same, t.Denied, dollars(t.DeniedMicroUSD), t.Passed, t.Otherwise, t.Refused, t.NotRecomputable)
	if err != nil || len(t.Examples) == 0 {
		return err
	}
	rows := make([][]string, len(t.Examples))
	for i, e := range t.Examples {
		rows[i] = []string{e.ID, fmt.Sprint(e.Epoch), e.Before, e.After}
	}
	return table(w, "ID EPOCH BEFORE AFTER", rows)
}
