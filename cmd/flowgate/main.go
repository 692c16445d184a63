// Command flowgate is the governed, durable queue worker for language-model work: `flowgate up` runs everything in one
// process, the other commands submit, ask, inspect and replay.
//
// Read next: node.go (a process's life), roles.go and parts.go (what runs in it), rules.go (settings into layers), and one file per subcommand.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"flowgate/configs"
	"flowgate/messages"
	"flowgate/worker/postgres/private"
	"flowgate/worker/state"
)

// Exit codes.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitEnvironment = 3
)

// usageError is a fault in what the caller gave; environmentError one of the machine.
type (
	usageError       struct{ error }
	environmentError struct{ error }
)

func (e usageError) Unwrap() error       { return e.error }
func (e environmentError) Unwrap() error { return e.error }

// errSaid ends a command with exit code 1 whose output said why.
var errSaid = errors.New("said")

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // the first interrupt drains, the next one ends at once
	root := newRoot()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err != nil && !errors.Is(err, errSaid) {
		fmt.Fprintln(os.Stderr, "flowgate:", err)
	}
	return exitCode(err)
}

func exitCode(err error) int {
	var usage usageError
	var environment environmentError
	var held *state.HeldError
	var field *messages.FieldError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &usage), errors.As(err, &field):
		return exitUsage
	case errors.As(err, &environment), errors.As(err, &held), errors.Is(err, private.ErrNoBinaries), errors.Is(err, syscall.EADDRINUSE):
		return exitEnvironment
	}
	return exitFailed
}

// globals are the flags of every command.
type globals struct {
	config, state, tenant string
	json, verbose         bool
	// warnings is how many the settings have that were loaded last, told whether they were printed.
	warnings int
	told     bool
}

func (g *globals) load() (configs.Settings, error) {
	settings, warnings, err := configs.Load(g.config, os.LookupEnv)
	if err != nil {
		return settings, usageError{err}
	}
	g.warnings = len(warnings)
	if g.verbose && !g.told {
		g.told = true
		for _, w := range warnings {
			fmt.Fprintln(os.Stderr, "flowgate: setting", w)
		}
	}
	return settings, messages.CheckTenant(g.tenant)
}

// dir is the state folder: the flag, else the settings, else the default.
func (g *globals) dir(s configs.Settings) (string, error) {
	switch {
	case g.state != "":
		return g.state, nil
	case s.Flowgate.StateDir != "":
		return s.Flowgate.StateDir, nil
	}
	return state.DefaultDir()
}

func newRoot() *cobra.Command {
	g := &globals{}
	root := &cobra.Command{
		Use:           "flowgate",
		Short:         "A governed, durable queue worker for language-model work",
		Long:          "flowgate takes requests for language models from a queue, passes each through three governed layers\n(corporate governance, AI processing, workflow optimizer) and keeps a record of every decision.",
		Example:       "  flowgate demo\n  flowgate up\n  flowgate submit --reason \"weekly summary for the board\" --wait \"Summarise: …\"",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	flags := root.PersistentFlags()
	flags.Var(&onceValue{&g.config}, "config", "settings `file` (default: built-in settings)")
	flags.StringVar(&g.state, "state", "", "state `folder` (default: $FLOWGATE_STATE, else ~/.local/state/flowgate)")
	flags.StringVar(&g.tenant, "tenant", "default", "tenant to act for")
	flags.BoolVar(&g.json, "json", false, "print JSON")
	flags.BoolVarP(&g.verbose, "verbose", "v", false, "log everything to standard error")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usageError{seeHelp(cmd, err)} })
	root.AddCommand(
		newUp(g), newWorker(g), newDemo(g), newMigrate(g), newSubmit(g), newResult(g), newBatch(g), newDead(g), newReplay(g), newAudit(g),
		newBench(g), newConfig(g), newHealth(g), newVersion(g),
		newGateways(g), newTopology(g),
		newDoctor(g), newTenants(g),
		newCluster(g), newChaos(g), newNATSServer(g), newProbe(g),
		newPause(g), newResume(g), newPauses(g), newCancel(g), newScan(g), newPolicy(g), newControls(g), newBudget(g), newLimit(g), newCache(g), newExplain(g), newBackends(g),
	)
	root.AddCommand(newFlow(g), newCompare(g), newFetchPostgres(g), newPeople(g), newDepartments(g), newFakeProvider(g), newPrices(g), newPipeline(g), newBoard(g))
	usageArgs(root)
	return root
}

func seeHelp(cmd *cobra.Command, err error) error {
	return fmt.Errorf("%w; see `%s --help`", err, cmd.CommandPath())
}

// onceValue is a flag that may be given once: of two settings files none is silently left out.
type onceValue struct{ to *string }

func (v *onceValue) String() string {
	if v.to == nil {
		return ""
	}
	return *v.to
}

func (v *onceValue) Type() string { return "string" }

func (v *onceValue) Set(s string) error {
	if *v.to != "" {
		return fmt.Errorf("is given twice (%s, %s); settings are one file", *v.to, s)
	}
	*v.to = s
	return nil
}

// usageArgs makes faults in arguments, and in flags beside each other, usage errors with the way to help. A command of commands alone takes
// none but theirs.
func usageArgs(c *cobra.Command) {
	if c.HasSubCommands() && !c.Runnable() {
		c.Args, c.RunE = cobra.NoArgs, func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	}
	check := c.Args
	if check == nil {
		check = cobra.ArbitraryArgs
	}
	c.Args = func(cmd *cobra.Command, args []string) error {
		for _, err := range []error{check(cmd, args), cmd.ValidateFlagGroups(), waitFault(cmd)} {
			if err != nil {
				return usageError{seeHelp(cmd, err)}
			}
		}
		return nil
	}
	for _, sub := range c.Commands() {
		usageArgs(sub)
	}
}

// waitFault wants --timeout, where a command has it, to be a time.
func waitFault(cmd *cobra.Command) error {
	if d, err := cmd.Flags().GetDuration("timeout"); err == nil && d <= 0 {
		return fmt.Errorf("flag --timeout is %s, must be above 0", d)
	}
	return nil
}
