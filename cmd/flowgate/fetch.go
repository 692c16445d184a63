package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"

	"flowgate/configs"
	"flowgate/worker/postgres/private"
)

// fetchVariable sets --fetch-postgres where the flag is not given.
const fetchVariable = "FLOWGATE_FETCH_POSTGRES"

// fetchSwitch says whether the distribution's Postgres may be fetched where no binaries are found.
type fetchSwitch struct{ on bool }

// addTo gives a command the flag. The variable's value is looked at when the command runs.
func (f *fetchSwitch) addTo(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.on, "fetch-postgres", false,
		"where no Postgres programs are found, unpack the distribution's packages into the cache, without root (env "+fetchVariable+")")
}

// allowed tells what the flag says, else the variable.
func (f *fetchSwitch) allowed(cmd *cobra.Command) (bool, error) {
	value := os.Getenv(fetchVariable)
	if cmd.Flags().Changed("fetch-postgres") || value == "" {
		return f.on, nil
	}
	on, err := strconv.ParseBool(value)
	if err != nil {
		return false, usageError{fmt.Errorf("the variable %s must be 1 or 0", fetchVariable)}
	}
	return on, nil
}

// prepare fetches a Postgres when the node that is about to start in dir needs one of its own, the machine has none, and
// fetching is allowed. Otherwise it does nothing: what is missing shows when the node starts. An empty dir is a new folder.
func (f *fetchSwitch) prepare(cmd *cobra.Command, settings configs.Settings, dir string) error {
	on, err := f.allowed(cmd)
	if err != nil || !on || settings.DatabaseURL().IsSet() {
		return err
	}
	if dir != "" {
		dir = filepath.Join(dir, "postgres")
	}
	_, err = fetchPostgres(cmd.Context(), cmd.ErrOrStderr(), dir)
	return err
}

func fetchPostgres(ctx context.Context, out io.Writer, dir string) (string, error) {
	bin, err := private.Ensure(ctx, private.Fetch{Dir: dir, Say: func(s string) { fmt.Fprintln(out, "flowgate:", s) }})
	if err != nil && ctx.Err() == nil {
		return "", environmentError{err}
	}
	return bin, err
}

func newFetchPostgres(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "fetch-postgres", Short: "Find the programs of a Postgres server, or fetch them", Args: cobra.NoArgs,
		Long: "Prints the folder of the Postgres programs that `flowgate up` would start. Where none are found it unpacks the packages of\n" +
			"this machine's distribution (Debian, Ubuntu) into the cache: FLOWGATE_CACHE, else flowgate in XDG_CACHE_HOME, else\n" +
			"~/.cache/flowgate, for root /var/cache/flowgate. apt verifies them; nothing is installed and no root is needed.\n" +
			fetchVariable + "=0 looks only.",
		Example: "  flowgate fetch-postgres\n  flowgate fetch-postgres --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			on, err := (&fetchSwitch{on: true}).allowed(cmd)
			if err != nil {
				return err
			}
			find := func() (string, error) { return private.FindBinaries(cmd.Context(), "") }
			if on {
				find = func() (string, error) { return fetchPostgres(cmd.Context(), cmd.ErrOrStderr(), "") }
			}
			bin, err := find()
			if err != nil {
				return err
			}
			if g.json {
				return printJSON(cmd.OutOrStdout(), map[string]any{"bin_dir": bin})
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), "Postgres programs are in", bin)
			return err
		},
	}
}
