package main

import (
	"strings"

	"github.com/spf13/cobra"
)

func newWorker(g *globals) *cobra.Command {
	var layers []string
	cmd := &cobra.Command{
		Use: "worker --layer LAYER,…", Short: "Run chosen layers in one process, against NATS_URL and DATABASE_URL", Args: cobra.NoArgs,
		Long: "Runs the layers that --layer names until it is interrupted, then drains. Broker and database are those of NATS_URL and\n" +
			"DATABASE_URL (or of the settings); ai and optimizer need no database. Nothing is made there: an administrator runs\n" +
			"`flowgate migrate` first. Any number of workers may run, on one machine or many.",
		Example: "  export NATS_URL=tls://nats.example.internal:4222 DATABASE_URL=postgres://worker@db.example.internal/flowgate\n" +
			"  flowgate worker --layer corporate,recorder\n  flowgate worker --layer ai --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			settings, err := g.load()
			if err != nil {
				return err
			}
			chosen, err := parseRoles(layers)
			if err != nil {
				return usageError{err}
			}
			dir, err := g.dir(settings)
			if err != nil {
				return environmentError{err}
			}
			return serve(cmd, g, launch{settings: settings, dir: dir, roles: chosen, config: g.config})
		},
	}
	cmd.Flags().StringSliceVar(&layers, "layer", nil, "`layers` to run: "+strings.Join(shortRoles(), ", ")+" (the layers' full names do too)")
	return cmd
}
