package main

import (
	"github.com/spf13/cobra"
)

func newConfigShow(g *globals) *cobra.Command {
	var origin bool
	cmd := &cobra.Command{
		Use: "show [FILE]", Short: "Print the settings that hold, as a settings file", Args: cobra.MaximumNArgs(1),
		Long:    "Prints every setting that has an effect, as it holds here, with secrets masked.",
		Example: "  flowgate config show settings.yaml --origin\n  flowgate config show --json",
		RunE: func(cmd *cobra.Command, args []string) error {
			loaded, err := g.read(args)
			if err != nil {
				return err
			}
			if g.json {
				return printJSON(cmd.OutOrStdout(), map[string]any{"version": loaded.Version(), "settings": loaded.Tree()})
			}
			return loaded.Show(cmd.OutOrStdout(), origin)
		},
	}
	cmd.Flags().BoolVar(&origin, "origin", false, "say behind each key that is not the default where it comes from")
	return cmd
}
