package main

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// commandsOf lists a command and all below it.
func commandsOf(c *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{c}
	for _, sub := range c.Commands() {
		all = append(all, commandsOf(sub)...)
	}
	return all
}

// TestEveryGroupRefusesAVerbThatItHasNot with exit code 2, and shows its help where none is named.
func TestEveryGroupRefusesAVerbThatItHasNot(t *testing.T) {
	t.Parallel()
	groups := 0
	for _, c := range commandsOf(newRoot()) {
		if !c.HasSubCommands() || c.Args(c, []string{"bogus"}) == nil { // some take names of their own
			continue
		}
		groups++
		path := strings.Fields(c.CommandPath())[1:]
		for verb, want := range map[string]int{"bogus": exitUsage, "": exitDone} {
			root := newRoot()
			root.SetOut(io.Discard)
			root.SetArgs(append([]string{}, strings.Fields(strings.Join(path, " ")+" "+verb)...))
			if err := root.Execute(); exitCode(err) != want || err != nil && !strings.Contains(err.Error(), "unknown command") {
				t.Errorf("%s %s: %v", c.CommandPath(), verb, err)
			}
		}
	}
	if groups < 15 {
		t.Errorf("%d groups were tried", groups)
	}
}

func TestFaultsOfFlagsAreUsageErrors(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"flow rnu":                        "unknown command",
		"people bogus":                    "unknown command",
		"budget bogus":                    "unknown command",
		"flow run --all --id x":           "[all id]",
		"flow run --all --timeout 0s":     "--timeout is 0s",
		"flow run [A] --timeout -5s":      "--timeout is -5s",
		"result x --timeout 0s":           "--timeout is 0s",
		"pipeline run --timeout 0s x":     "--timeout is 0s",
		"submit --file a --request b":     "[file request]",
		"pipeline show --tenant t a%20b!": "correlation_id",
	} {
		root := newRoot()
		root.SetOut(io.Discard)
		args := strings.Fields(line)
		for i := range args {
			args[i] = strings.ReplaceAll(args[i], "%20", " ")
		}
		root.SetArgs(args)
		err := root.Execute()
		var usage usageError
		if !errors.As(err, &usage) || exitCode(err) != exitUsage || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", line, err)
		}
	}
}
