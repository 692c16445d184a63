package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"flowgate/messages"
	"flowgate/pipelines"
	"flowgate/worker/control"
	"flowgate/worker/fleet"
	"flowgate/worker/sessions"
)

func newGateways(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use: "gateways", Short: "Show the three gateways: state, health, statistics, dependencies", Args: cobra.NoArgs,
		Long: "Every process of the deployment is asked what it runs, how its services are, and what it counted. Nothing is stored:\n" +
			"a process that does not answer within half a second is not there.",
		Example: "  flowgate gateways list\n  flowgate gateways show ai_processing\n  flowgate gateways stats --window 5m",
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newGatewaysList(g), newGatewaysShow(g), newGatewaysHealth(g), newGatewaysStats(g), newGatewaysGraph(g))
	return cmd
}

// errNothingRuns is what commands say that need a process to ask.
var errNothingRuns = environmentError{errors.New("no flowgate process answers on this broker; start one with `flowgate up` or `flowgate worker`")}

// assembly is the fleet as it answered, and how the gateways stand.
type assembly struct {
	fleet    fleet.Fleet
	gateways []fleet.Gateway
}

// assembled connects, and asks; some says that nothing can be told where no process answers.
func assembled(ctx context.Context, g *globals, some bool) (assembly, error) {
	c, err := reach(ctx, g, false)
	if err != nil {
		return assembly{}, err
	}
	defer c.close()
	a, err := assemble(ctx, c)
	if err == nil && some && len(a.fleet.Answers) == 0 {
		err = errNothingRuns
	}
	return a, err
}

// assemble asks the fleet and the control bucket.
func assemble(ctx context.Context, c *client) (a assembly, err error) {
	if a.fleet, err = fleet.Ask(ctx, c.conn); err != nil {
		return a, environmentError{err}
	}
	for _, why := range a.fleet.Skipped {
		fmt.Fprintln(os.Stderr, "flowgate: an answer is not believed:", printable(why))
	}
	paused, err := pausedLayers(ctx, c)
	if err != nil {
		return a, environmentError{err}
	}
	a.gateways, err = fleet.Gateways(pipelines.Chain(), a.fleet, paused)
	return a, err
}

// pausedLayers says of layers that are paused why.
func pausedLayers(ctx context.Context, c *client) (map[messages.LayerName]string, error) {
	pauses, err := control.List(ctx, c.js)
	if errors.Is(err, control.ErrNoBucket) { // a broker that no flowgate has ever used
		return nil, nil
	}
	return control.Layers(pauses), err
}

func newGatewaysList(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the gateways and how they stand", Args: cobra.NoArgs,
		Long: "A gateway is running, degraded (a service that it uses is not healthy), paused (by an operator), stopped (no process\n" +
			"runs it), blocked (a gateway that it needs is stopped or unhealthy) or unknown. Exit code 1: one is stopped or blocked.",
		Example: "  flowgate gateways list --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := assembled(cmd.Context(), g, false)
			if err != nil {
				return err
			}
			return showGateways(cmd.OutOrStdout(), g, a)
		},
	}
}

func showGateways(w io.Writer, g *globals, a assembly) error {
	still := false
	rows := make([][]string, len(a.gateways))
	for i, one := range a.gateways {
		still = still || one.State == fleet.StateStopped || one.State == fleet.StateBlocked
		rows[i] = []string{string(one.Name), string(one.State), fmt.Sprint(one.Processes), orDash(listed(one.DependsOn)), orDash(one.Paused), orDash(one.Why)}
	}
	var err error
	if g.json {
		err = printJSON(w, a.gateways)
	} else {
		err = table(w, "GATEWAY STATE PROCESSES DEPENDS_ON PAUSED WHY", rows)
	}
	return verdict(err, !still)
}

func newGatewaysHealth(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "health", Short: "Show the services that each gateway uses, as its processes see them", Args: cobra.NoArgs,
		Long:    "Of several processes the worst is shown. Exit code 1: a gateway does not run, or a service of one is not healthy.",
		Example: "  flowgate gateways health --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := assembled(cmd.Context(), g, true)
			if err != nil {
				return err
			}
			return showGatewayHealth(cmd.OutOrStdout(), g, a.gateways)
		},
	}
}

func showGatewayHealth(w io.Writer, g *globals, gateways []fleet.Gateway) error {
	ill := false
	var rows [][]string
	for _, one := range gateways {
		ill = ill || one.State != fleet.StateRunning || one.Health != sessions.StateHealthy
		if len(one.Services) == 0 {
			rows = append(rows, []string{string(one.Name), string(one.State), "-", "-", "-", "-", orDash(one.Why)})
		}
		for _, s := range one.Services {
			said := s.Error
			if said == "" {
				said = s.Detail
			}
			rows = append(rows, []string{
				string(one.Name), string(one.State), s.Service, string(s.State), fmt.Sprintf("%.1f ms", s.LatencyMS.P95), clock(s.LastCheck), orDash(said),
			})
		}
	}
	var err error
	if g.json {
		err = printJSON(w, map[string]any{"ok": !ill, "gateways": gateways})
	} else {
		err = table(w, "GATEWAY STATE SERVICE HEALTH P95 LAST_CHECK SAYS", rows)
	}
	return verdict(err, !ill)
}

func newGatewaysGraph(g *globals) *cobra.Command {
	var dot bool
	cmd := &cobra.Command{
		Use: "graph", Short: "Show who needs whom, and the order of starting", Args: cobra.NoArgs,
		Long:    "The order follows from what each gateway declares to need. This asks no process.",
		Example: "  flowgate gateways graph\n  flowgate gateways graph --dot | dot -Tsvg > gateways.svg",
		RunE: func(cmd *cobra.Command, _ []string) error {
			ordered, err := pipelines.Order(pipelines.Chain())
			if err != nil {
				return err
			}
			switch w := cmd.OutOrStdout(); {
			case dot:
				_, err = io.WriteString(w, dotOf(ordered))
			case g.json:
				err = printJSON(w, graphOf(ordered))
			default:
				_, err = io.WriteString(w, treeOf(ordered))
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&dot, "dot", false, "print it in the language of graphviz")
	return cmd
}

type graphNode struct {
	Name      messages.LayerName   `json:"name"`
	DependsOn []messages.LayerName `json:"depends_on"`
}

func graphOf(ordered []pipelines.Layer) map[string]any {
	nodes := make([]graphNode, len(ordered))
	order := make([]messages.LayerName, len(ordered))
	for i, l := range ordered {
		nodes[i] = graphNode{l.Name, append([]messages.LayerName{}, l.Needs...)}
		order[i] = l.Name
	}
	return map[string]any{"order": order, "gateways": nodes}
}

func dotOf(ordered []pipelines.Layer) string {
	var b strings.Builder
	b.WriteString("digraph gateways {\n")
	for _, l := range ordered {
		fmt.Fprintf(&b, "  %q;\n", l.Name)
		for _, need := range l.Needs {
			fmt.Fprintf(&b, "  %q -> %q;\n", l.Name, need)
		}
	}
	return b.String() + "}\n"
}

// treeOf draws below each gateway what it needs.
func treeOf(ordered []pipelines.Layer) string {
	var b strings.Builder
	fmt.Fprintf(&b, "order: %s\n", strings.Join(wordsOf(ordered), ", "))
	var draw func(l pipelines.Layer, indent string)
	draw = func(l pipelines.Layer, indent string) {
		for i, need := range l.Needs {
			branch, deeper := "├─ ", "│  "
			if i == len(l.Needs)-1 {
				branch, deeper = "└─ ", "   "
			}
			fmt.Fprintf(&b, "%s%s%s\n", indent, branch, need)
			if below, known := pipelines.Find(need); known {
				draw(below, indent+deeper)
			}
		}
	}
	for _, l := range ordered {
		fmt.Fprintln(&b, l.Name)
		draw(l, "")
	}
	return b.String()
}

func wordsOf(layers []pipelines.Layer) []string {
	words := make([]string, len(layers))
	for i, l := range layers {
		words[i] = string(l.Name)
	}
	return words
}
