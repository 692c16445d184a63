package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"flowgate/worker/postgres"
)

func newMigrate(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "migrate", Short: "Bring the database's schema up to this version", Args: cobra.NoArgs,
		Long:    "Applies the migrations that the database lacks, forward only, in the schema flowgate. `flowgate up` does it by itself.",
		Example: "  DATABASE_URL=postgres://flowgate@db.example.internal/flowgate flowgate migrate",
		RunE: func(cmd *cobra.Command, _ []string) error {
			settings, err := g.load()
			if err != nil {
				return err
			}
			url, err := g.databaseURL(cmd.Context(), settings)
			if err != nil {
				return environmentError{err}
			}
			from, to, err := postgres.Migrate(cmd.Context(), url, databaseOptions(settings))
			if err != nil {
				return environmentError{err}
			}
			if g.json {
				return printJSON(cmd.OutOrStdout(), map[string]int{"from": from, "to": to})
			}
			if from == to {
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "schema is at version %d, nothing to do\n", to)
			} else {
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "schema moved from version %d to %d\n", from, to)
			}
			return err
		},
	}
}
