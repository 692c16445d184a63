package main

import (
	"github.com/spf13/cobra"

	"flowgate/configs"
)

func newUp(g *globals) *cobra.Command {
	var listen, sync string
	var fetch fetchSwitch
	var reset bool
	cmd := &cobra.Command{
		Use: "up", Short: "Run everything in one process: broker, database, three layers, recorder", Args: cobra.NoArgs,
		Long: "Runs the three layers and the recorder until it is interrupted, then drains. Without NATS_URL it starts a broker of\n" +
			"its own that listens on loopback, without DATABASE_URL a private Postgres; both keep their data in the state folder.",
		Example: "  flowgate up\n  flowgate up --state /srv/flowgate --listen 127.0.0.1:4333",
		RunE: func(cmd *cobra.Command, _ []string) error {
			settings, err := g.load()
			if err != nil {
				return err
			}
			if listen != "" {
				settings.Flowgate.Listen = listen
			}
			if sync != "" {
				settings.Flowgate.Sync = configs.Sync(sync)
			}
			if err := settings.Validate(); err != nil {
				return usageError{err}
			}
			dir, err := g.dir(settings)
			if err != nil {
				return environmentError{err}
			}
			if err := fetch.prepare(cmd, settings, dir); err != nil {
				return err
			}
			l := everything(dir, settings, nil)
			l.reset, l.config = reset, g.config
			return serve(cmd, g, l)
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "", "`address` of the broker's listener (default: setting flowgate.listen)")
	cmd.Flags().StringVar(&sync, "sync", "", "always: every accepted message is on disk before it is acknowledged; interval: not")
	cmd.Flags().BoolVar(&reset, "reset", false, "start over: queue and database of the state folder are moved into a folder set-aside-… in it, nothing is deleted")
	fetch.addTo(cmd)
	return cmd
}
