package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"flowgate/configs"
)

// triedCase is a case of a template, and what is not as it has it.
type triedCase struct {
	File string `json:"file"`
	Case string `json:"case"`
	OK   bool   `json:"ok"`
	Why  string `json:"why,omitempty"`
}

func newFlowTest(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "test FILE…", Short: "Try templates of actions by files of cases, without any model", Args: cobra.MinimumNArgs(1),
		Long: "Reads files of cases (NAME" + configs.ActionTestSuffix + "), each with the template that it names, and tells what the template makes of each: what its\n" +
			"steps ask, what is wrong with parameters, and whether an answer passes. Nothing is asked, and nothing needs to run.\n" +
			"Exit code 1: a case is not as it should be.",
		Example: "  flowgate flow test actions/board_summary.test.yaml\n  flowgate flow test actions/*.test.yaml --json",
		RunE: func(cmd *cobra.Command, args []string) error {
			tried, good := []triedCase{}, true
			for _, path := range args {
				if !strings.HasSuffix(path, ".test.yaml") {
					return usageError{fmt.Errorf("%s: a file of cases ends in %s", path, configs.ActionTestSuffix)}
				}
				t, cases, err := configs.LoadActionCases(path)
				if err != nil {
					return usageError{err}
				}
				for _, c := range cases {
					why := t.Try(c)
					good = good && why == ""
					tried = append(tried, triedCase{path, c.Name, why == "", why})
				}
			}
			if g.json {
				return verdict(printJSON(cmd.OutOrStdout(), map[string]any{"cases": tried}), good)
			}
			out := &lines{w: cmd.OutOrStdout()}
			for _, c := range tried {
				word := "ok  "
				if !c.OK {
					word = "FAIL"
				}
				out.print("%s  %s: %s\n", word, printable(c.File), printable(c.Case))
				if !c.OK {
					out.print("      %s\n", strings.Join(wrapped([]string{printable(c.Why)}, tableWidth-6), "\n      "))
				}
			}
			return errors.Join(verdict(out.err, good))
		},
	}
}
