package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"flowgate/configs"
)

func newConfigDiff(g *globals) *cobra.Command {
	var against string
	cmd := &cobra.Command{
		Use: "diff [FILE]", Short: "List the settings that differ from the defaults, or from another file", Args: cobra.MaximumNArgs(1),
		Example: "  flowgate config diff settings.yaml\n  flowgate config diff new.yaml --against settings.yaml --json",
		RunE: func(cmd *cobra.Command, args []string) error {
			loaded, err := g.read(args)
			if err != nil {
				return err
			}
			other, name := configs.ReadDefaults(), "DEFAULT"
			if against != "" {
				name = "OTHER"
				if other, err = configs.Read(against, os.LookupEnv); err != nil {
					return usageError{err}
				}
			}
			found := loaded.Diff(other)
			if g.json {
				return printJSON(cmd.OutOrStdout(), map[string]any{
					"version": loaded.Version(), "other_version": other.Version(), "differences": append([]configs.Difference{}, found...),
				})
			}
			if len(found) == 0 {
				_, err := fmt.Fprintln(cmd.OutOrStdout(), "nothing differs")
				return err
			}
			rows := make([][]string, len(found))
			for i, d := range found {
				rows[i] = []string{d.Key, orDash(d.Other), orDash(d.Value), d.Origin.String()}
			}
			return table(cmd.OutOrStdout(), "KEY "+name+" VALUE FROM", rows)
		},
	}
	cmd.Flags().StringVar(&against, "against", "", "another settings `file` to compare with (default: the defaults)")
	return cmd
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
