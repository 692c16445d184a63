package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"flowgate/worker/broker"
)

// formTime bounds the wait for the servers of a cluster to find one another.
const formTime = time.Minute

// newNATSServer is one server of the clusters that `flowgate cluster` makes.
func newNATSServer(g *globals) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "nats-server --file FILE", Short: "Run one NATS server from a configuration file", Args: cobra.NoArgs, Hidden: true,
		Long: "Runs the NATS server that is built in, from a configuration file of nats-server, until it is interrupted. It says that\n" +
			"it is ready when the cluster of its routes has formed. It is for drills; a deployment runs nats-server itself.",
		Example: "  flowgate nats-server --file nats-1.conf --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			member, err := broker.StartMember(file, g.logger())
			if err != nil {
				return environmentError{err}
			}
			defer member.Shutdown()
			ctx, cancel := context.WithTimeout(cmd.Context(), formTime)
			defer cancel()
			if err := member.Ready(ctx); err != nil {
				if cmd.Context().Err() != nil {
					return nil
				}
				return environmentError{err}
			}
			if g.json {
				err = printJSON(cmd.OutOrStdout(), map[string]any{"ready": true, "nats_url": member.URL()})
			} else {
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "the NATS server is up at %s\n", member.URL())
			}
			if err == nil {
				<-cmd.Context().Done()
			}
			return err
		},
	}
	cmd.Flags().StringVar(&file, "file", "", "configuration `file` of nats-server")
	_ = cmd.MarkFlagRequired("file") // it exists: two lines above
	return cmd
}
