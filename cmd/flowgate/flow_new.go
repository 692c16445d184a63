package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"flowgate/configs"
	"flowgate/pipelines/flow"
)

func newFlowNew(g *globals) *cobra.Command {
	file := ""
	cmd := &cobra.Command{
		Use: "new TRIGGER", Short: "Write a file for an agreement that is to be, with every field and words about it", Args: cobra.ExactArgs(1),
		Long: "Writes a file with every field of an agreement, what is optional behind a #. It is named after the trigger where --file names none;\n" +
			"one that is there is not written over. Nothing else is changed: `flowgate flow import` makes a version of the file.",
		Example: "  flowgate flow new \"[Board Summary]\"\n  flowgate flow new \"[Board Summary]\" --file agreements/summary.yaml",
		RunE: func(cmd *cobra.Command, args []string) error {
			data, err := configs.ScaffoldAgreement(args[0])
			if err != nil {
				return err
			}
			if _, err := flow.NewBook([]flow.Agreement{{Trigger: args[0], FlowEncoding: "@a#b!c@d", Action: "ask"}}); err != nil {
				return usageError{err}
			}
			if file == "" {
				file = fileOf(args[0])
			}
			if err := writeScaffold(file, data); err != nil {
				return err
			}
			if g.json {
				return printJSON(cmd.OutOrStdout(), map[string]string{"trigger": args[0], "file": file})
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "written to %s\nFill it in, then: flowgate flow import %s --submit --reason \"…\"\n", file, file)
			return err
		},
	}
	cmd.Flags().StringVar(&file, "file", "", "the `file` (default: one of the trigger's name in this folder)")
	return cmd
}

// fileOf names a file after a trigger.
func fileOf(trigger string) string {
	words := strings.FieldsFunc(strings.ToLower(trigger), func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') })
	name := strings.Join(words, "-")
	if name = strings.TrimRight(name[:min(len(name), 80)], "-"); name == "" {
		name = "agreement"
	}
	return name + ".yaml"
}

// writeScaffold writes a file that is not there.
func writeScaffold(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644) //nolint:gosec // the caller's own file, for others to read
	switch {
	case errors.Is(err, fs.ErrExist):
		return fmt.Errorf("%s is there already: it is not written over; name another one with --file", path)
	case err != nil:
		return usageError{err}
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}
