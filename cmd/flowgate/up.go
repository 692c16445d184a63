package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"flowgate/configs"
)

func newUp(g *globals) *cobra.Command {
	var listen, sync string
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
			began := time.Now()
			dir, err := g.dir(settings)
			if err != nil {
				return environmentError{err}
			}
			n, err := startNode(cmd.Context(), dir, settings, g.logger(), nil)
			if err != nil && cmd.Context().Err() != nil {
				return fmt.Errorf("interrupted while starting, nothing is left running: %w", err)
			}
			if err != nil {
				return err
			}
			if err := n.sayReady(cmd, g, time.Since(began)); err != nil {
				return err
			}
			select {
			case <-cmd.Context().Done():
			case err = <-n.broken:
			}
			if stopped := n.stop(); err == nil {
				err = stopped
			}
			return err
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "", "`address` of the broker's listener (default: setting flowgate.listen)")
	cmd.Flags().StringVar(&sync, "sync", "", "always: every accepted message is on disk before it is acknowledged; interval: not")
	return cmd
}

func (n *node) sayReady(cmd *cobra.Command, g *globals, took time.Duration) error {
	url := n.conn.ConnectedUrlRedacted()
	if n.broker != nil {
		url = n.broker.URL()
	}
	if g.json {
		return printJSON(cmd.OutOrStdout(), map[string]any{
			"ready": true, "nats_url": url, "state": n.folder.Dir(), "worker": n.folder.WorkerID(), "backends": n.serving,
			"start_seconds": took.Seconds(),
		})
	}
	out := cmd.OutOrStdout()
	_, err := fmt.Fprintf(out, "flowgate is up (%.1f s)\n  broker    %s\n  state     %s\n  backends  %v\n", took.Seconds(), url, n.folder.Dir(), n.serving)
	if err == nil && len(n.serving) == 1 && n.serving[0] == "offline" {
		_, err = fmt.Fprintln(out, "  The offline backend is no model: it says so in every answer. Set OPENAI_API_KEY or OPENAI_BASE_URL for a real one.")
	}
	if err == nil {
		_, err = fmt.Fprintln(out, "Ctrl-C drains and stops.")
	}
	return err
}
