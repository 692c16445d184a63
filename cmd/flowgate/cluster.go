package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
)

// clusterTime bounds a whole run.
const clusterTime = 10 * time.Minute

func newCluster(g *globals) *cobra.Command {
	r := rehearsal{servers: 3}
	var keep bool
	cmd := &cobra.Command{
		Use: "cluster", Short: "Rehearse a deployment of many processes on this machine, and replace workers under load", Args: cobra.NoArgs,
		Long: "Runs the layout of docker-compose.yml as processes of this machine: a NATS cluster of three servers, three copies of every\n" +
			"stream, a Postgres, two workers a layer and one recorder. It sends a file as a batch, stops and starts a worker of each\n" +
			"kind while the batch runs, waits for every line, and checks that each succeeded once and that record, money and queue\n" +
			"agree. The offline backend answers: it is no model. Everything is ended afterwards, also when it is interrupted.",
		Example: "  flowgate cluster\n  flowgate cluster --lines 30 --json\n  flowgate cluster --state /tmp/rehearsal --keep",
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), clusterTime)
			defer cancel()
			if r.lines < 0 || r.lasts <= 0 {
				return usageError{errors.New("--lines must not be negative and --lasts must be a time such as 5s")}
			}
			dir, remove, err := freshFolder(g, keep)
			if err != nil {
				return err
			}
			exe, err := os.Executable()
			if err != nil {
				return environmentError{errors.Join(fmt.Errorf("finding this program: %w", err), remove())}
			}
			r.cmd, r.g, r.exe, r.dir = cmd, g, exe, dir
			return errors.Join(r.run(ctx), remove())
		},
	}
	cmd.Flags().StringVar(&r.file, "file", "", "`file` of requests to send (default: the sample that the demo sends)")
	cmd.Flags().IntVar(&r.lines, "lines", 0, "send the first `n` lines only; 0 is all")
	cmd.Flags().DurationVar(&r.lasts, "lasts", 8*time.Second, "how long the batch lasts at least")
	cmd.Flags().BoolVar(&keep, "keep", false, "keep the folder")
	return cmd
}
