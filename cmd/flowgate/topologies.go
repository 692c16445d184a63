package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"flowgate/worker/broker"
)

func newTopology(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use: "topology", Short: "Plan, apply and check the streams, buckets and consumers in NATS",
		Long: "What flowgate needs in JetStream, by the settings. An administrator applies it; workers then need no right to make\n" +
			"streams, and refuse to start where a rule of the protocol does not hold. `flowgate up` applies it by itself.",
		Example: "  flowgate topology plan\n  flowgate topology plan --permissions --layer ai\n  flowgate topology apply\n  flowgate topology check --json",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newTopologyPlan(g), newTopologyApply(g), newTopologyCheck(g))
	return cmd
}

func newTopologyPlan(g *globals) *cobra.Command {
	var permissions bool
	var layers []string
	cmd := &cobra.Command{
		Use: "plan", Short: "Print what apply would make and change, or the rights that a worker needs", Args: cobra.NoArgs,
		Long: "Prints each stream, bucket and consumer and what `topology apply` would do with it; nothing is changed. With\n" +
			"--permissions it prints the least rights of the NATS users of workers, as a part of the server's configuration, and\n" +
			"asks no broker: those of each layer alone, or with --layer those of a worker with just these.",
		Example: "  flowgate topology plan\n  flowgate topology plan --permissions --layer corporate,recorder",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if permissions {
				return g.planPermissions(cmd.OutOrStdout(), layers)
			}
			if len(layers) > 0 {
				return usageError{fmt.Errorf("--layer goes with --permissions: the topology is one for all layers")}
			}
			c, t, err := g.topology(cmd.Context())
			if err != nil {
				return err
			}
			defer c.close()
			steps, err := broker.Plan(cmd.Context(), c.js, t)
			if err != nil {
				return environmentError{err}
			}
			return g.showSteps(cmd.OutOrStdout(), steps)
		},
	}
	cmd.Flags().BoolVar(&permissions, "permissions", false, "print the rights of workers' NATS users")
	cmd.Flags().StringSliceVar(&layers, "layer", nil, "`layers` of the worker: "+strings.Join(shortRoles(), ", "))
	return cmd
}

func newTopologyApply(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "apply", Short: "Make what is missing and change what differs", Args: cobra.NoArgs,
		Long: "Makes streams, buckets and consumers and changes what differs from the settings; what was there already stays, with its\n" +
			"messages. It needs the rights of an administrator of the account, and may run again and in several places at once.",
		Example: "  NATS_URL=tls://nats.example.internal:4222 NATS_CREDS=/etc/flowgate/admin.creds flowgate topology apply",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, t, err := g.topology(cmd.Context())
			if err != nil {
				return err
			}
			defer c.close()
			steps, err := broker.Plan(cmd.Context(), c.js, t)
			if err == nil {
				err = broker.Apply(cmd.Context(), c.js, t)
			}
			if err != nil {
				return environmentError{err}
			}
			if err := g.showSteps(cmd.OutOrStdout(), steps); err != nil {
				return err
			}
			left, err := broker.Check(cmd.Context(), c.js, t)
			if err != nil {
				return environmentError{err}
			}
			for _, d := range left {
				fmt.Fprintf(cmd.ErrOrStderr(), "flowgate: %s: %s\n", d, d.Remedy())
			}
			if len(left) > 0 {
				return errSaid
			}
			return nil
		},
	}
}

// drift is a difference as check shows it.
type drift struct {
	broker.Difference

	Breaks bool   `json:"breaks_protocol"`
	Remedy string `json:"remedy"`
}

func newTopologyCheck(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "check", Short: "Tell where NATS is not as the settings say (exit code 1)", Args: cobra.NoArgs,
		Long: "Compares streams, buckets and consumers with the settings, by questions alone. Each difference is printed with what was\n" +
			"found, what is wanted, and the remedy; those that break a rule of the protocol keep workers from starting.",
		Example: "  flowgate topology check\n  flowgate topology check --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, t, err := g.topology(cmd.Context())
			if err != nil {
				return err
			}
			defer c.close()
			found, err := broker.Check(cmd.Context(), c.js, t)
			if err != nil {
				return environmentError{err}
			}
			all := make([]drift, len(found))
			for i, d := range found {
				all[i] = drift{d, d.Breaks(), d.Remedy()}
			}
			return g.showDrift(cmd.OutOrStdout(), all)
		},
	}
}

// topology connects, and makes sure that the number of partitions is that of the deployment.
func (g *globals) topology(ctx context.Context) (*client, broker.Topology, error) {
	settings, err := g.load()
	if err != nil {
		return nil, broker.Topology{}, err
	}
	t, err := topologyOf(settings)
	if err != nil {
		return nil, t, usageError{err}
	}
	c, err := reach(ctx, g, false)
	if err != nil {
		return nil, t, err
	}
	if err := samePartitions(ctx, c.js, 1); err != nil {
		c.close()
		return nil, t, environmentError{err}
	}
	return c, t, nil
}

func (g *globals) showSteps(w io.Writer, steps []broker.Step) error {
	if g.json {
		return printJSON(w, map[string]any{"steps": steps})
	}
	rows := make([][]string, 0, len(steps))
	for _, s := range steps {
		name := s.Name
		if s.Stream != "" {
			name += " of " + s.Stream
		}
		replicas, detail := "-", strings.Join(s.Subjects, " ")
		if s.Replicas > 0 {
			replicas = strconv.Itoa(s.Replicas)
		}
		if s.Action == broker.ActionChange {
			var changes []string
			for _, d := range s.Differences {
				changes = append(changes, fmt.Sprintf("%s: %s -> %s", d.Field, d.Have, d.Want))
			}
			detail = strings.Join(changes, "; ")
		}
		rows = append(rows, []string{string(s.Action), s.Kind, name, replicas, clipped(detail)})
	}
	return table(w, "ACTION KIND NAME REPLICAS SUBJECTS_OR_CHANGES", rows)
}

// widest bounds the last column of a table; JSON has all of it.
const widest = 100

func clipped(s string) string {
	if len(s) <= widest {
		return s
	}
	return s[:widest] + "…"
}

func (g *globals) showDrift(w io.Writer, all []drift) error {
	var err error
	switch {
	case g.json:
		err = printJSON(w, map[string]any{"ok": len(all) == 0, "differences": all})
	case len(all) == 0:
		_, err = fmt.Fprintln(w, "streams, buckets and consumers are as the settings say")
	default:
		rows := make([][]string, len(all))
		for i, d := range all {
			breaks := "no"
			if d.Breaks {
				breaks = "yes"
			}
			field := d.Field
			if d.Missing() {
				field = "(missing)"
			}
			rows[i] = []string{d.Thing, field, d.Have, d.Want, breaks, d.Remedy}
		}
		err = table(w, "THING FIELD FOUND WANTED BREAKS_PROTOCOL REMEDY", rows)
	}
	return verdict(err, len(all) == 0)
}

func (g *globals) planPermissions(w io.Writer, layers []string) error {
	settings, err := g.load()
	if err != nil {
		return err
	}
	t, err := topologyOf(settings)
	if err != nil {
		return usageError{err}
	}
	sets := make([]roles, 0, len(allRoles()))
	if len(layers) > 0 {
		chosen, err := parseRoles(layers)
		if err != nil {
			return usageError{err}
		}
		sets = append(sets, chosen)
	} else {
		for _, r := range allRoles() {
			alone, err := parseRoles([]string{string(r)})
			if err != nil {
				return err
			}
			sets = append(sets, alone)
		}
	}
	byName := make(map[string]broker.Permissions, len(sets))
	for _, set := range sets {
		name, p := strings.Join(set.strings(), ","), t.Permissions(set.duty())
		byName[name] = p
		if g.json {
			continue
		}
		if _, err := fmt.Fprintf(w, "# a worker with %s\n%s", name, p.Config()); err != nil {
			return err
		}
	}
	if g.json {
		return printJSON(w, byName)
	}
	return nil
}
