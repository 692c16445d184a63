package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"github.com/spf13/cobra"

	"flowgate/configs"
	"flowgate/worker/chaos"
)

func newChaos(g *globals) *cobra.Command {
	options := chaos.Options{Requests: 500, Faults: 10, Cluster: 1}
	var keep, plan bool
	var lasts time.Duration
	var fetch fetchSwitch
	cmd := &cobra.Command{
		Use: "chaos", Short: "Kill, freeze, cut off and restart everything under load, and count what was lost or done twice", Args: cobra.NoArgs,
		Long: "Runs workers, NATS servers and a Postgres as processes of their own on this machine, sends a mix of requests to a provider\n" +
			"of its own that counts calls, and meanwhile does to them what the seed's schedule says: kill -9, freezes that outlast the\n" +
			"acknowledgement wait, restarts, networks cut and slowed, a full stream. Then it compares what was sent, what was answered,\n" +
			"what the provider was asked and what the record says. It exits with 1 unless every number that must be zero is; then it\n" +
			"prints the timeline of one bad request and the command that does the same again. No model is asked.",
		Example: "  flowgate chaos\n  flowgate chaos --seed 42 --requests 3000 --faults 40 --json\n  flowgate chaos --seed 42 --plan --json\n" +
			"  flowgate chaos --cluster 3 --requests 1000 --faults 20",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.Flags().Changed("seed") {
				options.Seed = uint64(rand.Uint32()) //nolint:gosec // a seed is no secret; a short one is typed more easily
			}
			p, err := chaos.New(options)
			if err != nil {
				return usageError{err}
			}
			if lasts <= 0 {
				return usageError{errors.New("--timeout must be a time such as 30m")}
			}
			if plan {
				return showPlan(cmd.OutOrStdout(), g, p)
			}
			if err := fetch.prepare(cmd, configs.Default(), g.state); err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), lasts)
			defer cancel()
			dir, remove, err := freshFolder(g, keep)
			if err != nil {
				return err
			}
			exe, err := os.Executable()
			if err != nil {
				return environmentError{errors.Join(fmt.Errorf("finding this program: %w", err), remove())}
			}
			d := &drillRun{cmd: cmd, g: g, exe: exe, dir: dir, plan: p}
			return errors.Join(d.run(ctx), remove())
		},
	}
	f := cmd.Flags()
	f.Uint64Var(&options.Seed, "seed", 0, "seed of schedule and mix (default: any)")
	f.IntVar(&options.Requests, "requests", options.Requests, "requests to send")
	f.IntVar(&options.Faults, "faults", options.Faults, "faults to make")
	f.IntVar(&options.Cluster, "cluster", options.Cluster, "NATS servers: 1 or 3")
	f.BoolVar(&plan, "plan", false, "print schedule and mix, and do nothing")
	f.BoolVar(&keep, "keep", false, "keep the folder")
	f.DurationVar(&lasts, "timeout", time.Hour, "longest run")
	fetch.addTo(cmd)
	return cmd
}
