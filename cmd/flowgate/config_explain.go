package main

import (
	"strings"

	"github.com/spf13/cobra"

	"flowgate/configs"
)

func newConfigExplain(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "explain [KEY]", Short: "Tell what a setting is, what it does and where it comes from", Args: cobra.MaximumNArgs(1),
		Long: "Tells the value of a key (secrets masked), which source won (default, file and line, environments, variable, secret file),\n" +
			"whether it has an effect, and what it does. A section lists its keys; no key lists all.",
		Example: "  flowgate config explain flowgate.ack_wait\n  flowgate config explain cache --config settings.yaml\n" +
			"  flowgate config explain environments.production.logging --config settings.yaml --json",
		RunE: func(cmd *cobra.Command, args []string) error {
			loaded, err := g.read(nil)
			if err != nil {
				return err
			}
			entries := loaded.Entries()
			if len(args) > 0 {
				if entries, err = loaded.Find(strings.TrimSuffix(args[0], ".")); err != nil {
					return usageError{err}
				}
			}
			switch {
			case g.json:
				return printJSON(cmd.OutOrStdout(), entries)
			case len(args) == 1 && len(entries) == 1:
				return explainOne(cmd, entries[0])
			}
			return explainMany(cmd, entries)
		},
	}
}

func explainOne(cmd *cobra.Command, e configs.Entry) error {
	out := &lines{w: cmd.OutOrStdout()}
	out.print("%s\n  value   %s\n  from    %s\n", printable(e.Key), shown(e), printable(e.Origin.String()))
	if len(e.Variables) > 0 {
		out.print("  over it %s\n", strings.Join(e.Variables, ", "))
	}
	out.print("  effect  %s\n  about   %s\n", effect(e.Fate), e.About)
	return out.err
}

func explainMany(cmd *cobra.Command, entries []configs.Entry) error {
	rows := make([][]string, len(entries))
	for i, e := range entries {
		rows[i] = []string{e.Key, shown(e), effect(e.Fate), e.Origin.String(), e.About}
	}
	return table(cmd.OutOrStdout(), "KEY VALUE EFFECT FROM ABOUT", rows)
}

func shown(e configs.Entry) string {
	if e.Value == "" {
		return "-"
	}
	return printable(e.Value)
}

func effect(f configs.Fate) string {
	switch f {
	case configs.Later:
		return "none yet"
	case configs.Void:
		return "no meaning here"
	case configs.Used:
	}
	return "used"
}
