package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"flowgate/worker/postgres"
)

// migration is what the flags of migrate say.
type migration struct {
	plan, sql bool
	grants    string
}

func newMigrate(g *globals) *cobra.Command {
	var m migration
	cmd := &cobra.Command{
		Use: "migrate", Short: "Bring the database's schema up to this version", Args: cobra.NoArgs,
		Long: "Applies the migrations that the database lacks, forward only, in a schema of its own (flowgate.database_schema). The role\n" +
			"needs CREATE on the database and nothing else; several may run at once. A database that a newer build has migrated stays\n" +
			"as it is, since migrations only add. `flowgate up` migrates by itself, workers do not. Work goes on meanwhile: where a\n" +
			"transaction of others, such as a dump, holds a table, a migration gives way after 2 s and comes back, for some five minutes.\n" +
			"--plan changes nothing. --grants gives another role what workers need: rows, not the shape of tables.",
		Example: "  flowgate migrate --plan --sql\n" +
			"  DATABASE_URL=postgres://owner@db.example.internal/flowgate flowgate migrate --grants flowgate_worker",
		RunE: func(cmd *cobra.Command, _ []string) error {
			settings, err := g.load()
			if err != nil {
				return err
			}
			url, err := g.databaseURL(cmd.Context(), settings)
			if err != nil {
				return environmentError{err}
			}
			if m.plan {
				return m.show(cmd.Context(), cmd.OutOrStdout(), g, url, databaseOptions(settings))
			}
			options := databaseOptions(settings)
			options.OnBlocked = func(err error) { fmt.Fprintf(cmd.ErrOrStderr(), "waiting: %s\n", err) }
			return m.run(cmd.Context(), cmd.OutOrStdout(), g, url, options)
		},
	}
	cmd.Flags().BoolVar(&m.plan, "plan", false, "print what would be done, and do nothing")
	cmd.Flags().BoolVar(&m.sql, "sql", false, "with --plan: print the statements")
	cmd.Flags().StringVar(&m.grants, "grants", "", "grant `ROLE` what workers need")
	return cmd
}

func (m migration) run(ctx context.Context, w io.Writer, g *globals, url string, options postgres.Options) error {
	from, to, err := postgres.Migrate(ctx, url, options)
	if err == nil && m.grants != "" {
		err = postgres.Grant(ctx, url, options, m.grants)
	}
	if err != nil {
		return environmentError{err}
	}
	all, err := postgres.Migrations(options.Schema)
	if err != nil {
		return err
	}
	if g.json {
		return printJSON(w, map[string]any{"from": from, "to": to, "latest": len(all), "newer": to > len(all)})
	}
	switch {
	case to > len(all):
		_, err = fmt.Fprintf(w, "schema is at version %d, of a newer build than this one, which knows %d: nothing to do\n", to, len(all))
	case from == to:
		_, err = fmt.Fprintf(w, "schema is at version %d, nothing to do\n", to)
	default:
		_, err = fmt.Fprintf(w, "schema moved from version %d to %d\n", from, to)
	}
	if err == nil && m.grants != "" {
		_, err = fmt.Fprintf(w, "role %s may work in it\n", m.grants)
	}
	return err
}

// show prints what run would do.
func (m migration) show(ctx context.Context, w io.Writer, g *globals, url string, options postgres.Options) error {
	status, err := postgres.MigrationStatus(ctx, url, options)
	if err != nil {
		return environmentError{err}
	}
	all, err := postgres.Migrations(options.Schema)
	if err != nil {
		return err
	}
	pending, grants := all[min(status.Version, len(all)):], []string{}
	if m.grants != "" {
		grants = postgres.Grants(options.Schema, m.grants)
	}
	if g.json {
		return printJSON(w, map[string]any{
			"schema": options.Schema, "version": status.Version, "latest": status.Latest, "pending": pending, "grants": grants,
		})
	}
	newer := ""
	if status.Version > status.Latest {
		newer = " (of a newer build)"
	}
	if _, err := fmt.Fprintf(w, "-- schema %s is at version %d%s, this build knows %d: %d migrations to run\n",
		options.Schema, status.Version, newer, status.Latest, len(pending)); err != nil {
		return err
	}
	for _, one := range pending {
		if _, err := fmt.Fprintf(w, "-- %s\n", one.Name); err != nil {
			return err
		}
		if m.sql {
			if _, err := fmt.Fprintln(w, one.SQL); err != nil {
				return err
			}
		}
	}
	for _, statement := range grants {
		if _, err := fmt.Fprintln(w, statement+";"); err != nil {
			return err
		}
	}
	return nil
}
