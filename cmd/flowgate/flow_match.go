package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"flowgate/pipelines/flow"
)

func newFlowMatch(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "match TEXT", Short: "Tell which agreement a text means, how surely, and what else comes near", Args: cobra.ExactArgs(1),
		Long: "Finds the agreement that a text means as the layers do where flowgate.admission.match_texts is true: exactly its trigger; a text\n" +
			"that has the trigger's words, whole and one after the other; or one with similar words. An agreement is meant where the confidence\n" +
			"reaches its confidence_threshold and no other one does as well. Exit code 1: none is meant.",
		Example: "  flowgate flow match \"please run the cost analysis\"\n  flowgate flow match \"contest\" --json",
		RunE: func(cmd *cobra.Command, args []string) error {
			all, err := g.agreements(cmd.Context())
			if err != nil {
				return err
			}
			book, err := flow.Bind(flow.Governing(all))
			if err != nil {
				return err
			}
			m := book.Match(args[0])
			if g.json {
				return verdict(printJSON(cmd.OutOrStdout(), m), m.Trigger != "")
			}
			if len(m.Candidates) > 0 {
				rows := make([][]string, len(m.Candidates))
				for i, c := range m.Candidates {
					reaches := "no"
					if c.Reaches() {
						reaches = "yes"
					}
					rows[i] = []string{c.Trigger, fmt.Sprintf("%.2f", c.Confidence), fmt.Sprintf("%.2f", c.Threshold), string(c.How), reaches}
				}
				if err := table(cmd.OutOrStdout(), "CANDIDATE CONFIDENCE THRESHOLD HOW REACHES", rows); err != nil {
					return err
				}
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), printable(matchText(m)))
			return verdict(err, m.Trigger != "")
		},
	}
}

// matchText says what a text means.
func matchText(m flow.Match) string {
	switch {
	case m.Trigger != "":
		return fmt.Sprintf("it means %s, %s, confidence %.2f", m.Trigger, m.How, m.Confidence)
	case m.Ambiguous:
		triggers := []string{}
		for _, c := range m.Candidates {
			if c.Reaches() {
				triggers = append(triggers, c.Trigger)
			}
		}
		return "it may mean any of " + strings.Join(triggers, ", ") + ": none is chosen"
	}
	return "it means none"
}
