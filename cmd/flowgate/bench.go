package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"flowgate/configs"
	"flowgate/worker/bench"
)

func newBench(g *globals) *cobra.Command {
	options := bench.DefaultOptions()
	sync := string(configs.SyncInterval)
	var fetch fetchSwitch
	cmd := &cobra.Command{
		Use: "bench", Short: "Measure the governed chain beside the bare one", Args: cobra.NoArgs,
		Long: "Starts everything in a fresh folder and measures the governed chain (limits on, record committed, offline backend at 0 ms)\n" +
			"beside the bare one: the same server, streams, law and micro-batches, with no decoding and no database. With --sync always\n" +
			"also what it costs to flush before each acknowledgement, where the flushes go, and what publishing together gains.",
		Example: "  flowgate bench\n  flowgate bench --json --rounds 3 --round-time 5s\n  flowgate bench --sync always",
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if min(options.Rounds, options.UnloadedRequests, options.Outstanding) < 1 || min(options.RoundTime, options.WarmUp) <= 0 {
				return usageError{errors.New("counts and lengths of a bench must be above 0")}
			}
			if s := configs.Sync(sync); s != configs.SyncAlways && s != configs.SyncInterval {
				return usageError{fmt.Errorf("flag --sync must be %s or %s", configs.SyncAlways, configs.SyncInterval)}
			}
			settings := benchSettings(configs.Sync(sync))
			if err := fetch.prepare(cmd, settings, ""); err != nil {
				return err
			}
			dir, err := os.MkdirTemp("", "flowgate-bench-")
			if err != nil {
				return environmentError{err}
			}
			defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
			if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // Postgres runs under another user; what is secret lies deeper
				return environmentError{err}
			}
			n, err := startNode(cmd.Context(), everything(dir, settings, g.logger()))
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, n.stop()) }()
			options.Sync = sync
			report, err := n.bench(cmd, g, options)
			if err != nil {
				return err
			}
			if g.json {
				return printJSON(cmd.OutOrStdout(), report)
			}
			return report.Print(cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.IntVar(&options.Rounds, "rounds", options.Rounds, "rounds of each chain")
	f.DurationVar(&options.RoundTime, "round-time", options.RoundTime, "length of a round")
	f.DurationVar(&options.WarmUp, "warm-up", options.WarmUp, "length of the round that does not count")
	f.IntVar(&options.UnloadedRequests, "unloaded", options.UnloadedRequests, "requests sent one at a time")
	f.IntVar(&options.Outstanding, "outstanding", options.Outstanding, "requests under way at once")
	f.StringVar(&sync, "sync", sync, "always: every message is on disk before it is acknowledged; interval: not")
	fetch.addTo(cmd)
	return cmd
}

// benchSettings have limits on that no bench reaches.
func benchSettings(sync configs.Sync) configs.Settings {
	const enough = 100_000_000 * 1_000_000
	s := configs.Default()
	s.Flowgate.Sync = sync
	s.Flowgate.Listen, s.Flowgate.HTTP = "", ""
	s.Flowgate.Hold = time.Minute
	s.Flowgate.Backends.Allowed = []string{"offline"}
	s.CostOptimization.Limits.DailyLimit, s.CostOptimization.Limits.MonthlyLimit = enough, enough
	return s
}

// bench measures this node, over a connection of its own.
func (n *node) bench(cmd *cobra.Command, g *globals, options bench.Options) (bench.Report, error) {
	conn, err := n.broker.Connect(connOptions(n.log)...)
	if err != nil {
		return bench.Report{}, err
	}
	defer conn.Close()
	js, err := newJetStream(conn)
	if err != nil {
		return bench.Report{}, err
	}
	options.Conn, options.JS, options.Topology = conn, js, n.topology
	options.MicroBatch, options.Concurrency = n.settings.Flowgate.MicroBatch, n.settings.Flowgate.Concurrency.AI
	options.PostgresPID, options.Group = n.postgresPID, n.hop.Group
	options.Committed = func(ctx context.Context) (uint64, error) { return n.db.CountOutcomes(ctx, options.Tenant) }
	if !g.json {
		options.Progress = func(what string) { fmt.Fprintln(cmd.ErrOrStderr(), what) }
	}
	return bench.Run(cmd.Context(), options)
}
