package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"flowgate/configs"
	"flowgate/messages"
	"flowgate/pipelines"
	"flowgate/worker/fleet"
)

// gatewayCard is everything about one gateway.
type gatewayCard struct {
	fleet.Gateway

	Does         string               `json:"description"`
	NeededBy     []messages.LayerName `json:"needed_by"`
	Uses         []string             `json:"uses"`
	Capabilities []string             `json:"capabilities"`
	Queues       []string             `json:"queues"`
	// Settings are those of this command that the gateway obeys; SettingsAgree tells whether every process that runs it has
	// the same ones.
	Settings        []configs.Entry `json:"settings"`
	SettingsVersion string          `json:"settings_version"`
	SettingsAgree   bool            `json:"settings_agree"`
}

// settingsOf are the beginnings of the keys that a gateway obeys.
func settingsOf(name messages.LayerName) []string {
	shared := []string{"flowgate.environment", "flowgate.ack_wait", "flowgate.agreements_file", "flowgate.controls_file", "flowgate.compliance_level"}
	own := map[messages.LayerName][]string{
		messages.LayerCorporate: {
			"flowgate.admission", "flowgate.timezone", "flowgate.micro_batch", "flowgate.billable_attempts", "flowgate.prices_file",
			"cost_optimization", "aws.bedrock.default_model", "aws.bedrock.model_mapping", "aws.bedrock.models", "flowgate.backends",
		},
		messages.LayerAI: {
			"flowgate.concurrency", "flowgate.backends", "flowgate.transient_attempts", "flowgate.prices_file", "retry", "cache", "performance",
			"aws.region", "aws.bedrock", "integrations.mlflow", "cost_optimization.strategy",
		},
		messages.LayerOptimizer: {"flowgate.micro_batch", "validation"},
	}
	return append(shared, own[name]...)
}

func newGatewaysShow(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "show NAME", Short: "Show one gateway: what it does, needs and can do, its settings, how it stands", Args: cobra.ExactArgs(1),
		Long: "Settings are those that this command reads (--config and the environment), secrets masked; it says where a process\n" +
			"runs with others. Without a broker the description is printed all the same, and the exit code is 3.",
		Example: "  flowgate gateways show corporate_llm",
		RunE: func(cmd *cobra.Command, args []string) error {
			layer, known := pipelines.Find(messages.LayerName(args[0]))
			if !known {
				return usageError{unknownGateway(args[0])}
			}
			settings, err := g.load()
			if err != nil {
				return err
			}
			card := newCard(layer, settings)
			a, unreachable := assembled(cmd.Context(), g, false)
			if unreachable == nil {
				card.stands(a, settings.Version())
			}
			if err := card.show(cmd.OutOrStdout(), g); err != nil {
				return err
			}
			return unreachable
		},
	}
}

func unknownGateway(name string) error {
	err := fmt.Errorf("there is no gateway %.40q; the gateways are %s", name, listed(messages.Layers()))
	if near := pipelines.Nearest(name); near != "" {
		err = fmt.Errorf("%w (did you mean %s?)", err, near)
	}
	return err
}

func newCard(l pipelines.Layer, s configs.Settings) *gatewayCard {
	card := &gatewayCard{
		Gateway: fleet.Gateway{Name: l.Name, State: fleet.StateUnknown, DependsOn: append([]messages.LayerName{}, l.Needs...), Workers: []string{}},
		Does:    l.Does, NeededBy: []messages.LayerName{}, Uses: l.Uses, Capabilities: l.Capabilities,
		SettingsVersion: s.Version(), SettingsAgree: true, Settings: []configs.Entry{},
	}
	for _, other := range pipelines.Chain() {
		if slices.Contains(other.Needs, l.Name) {
			card.NeededBy = append(card.NeededBy, other.Name)
		}
	}
	for _, q := range l.Queues {
		card.Queues = append(card.Queues, q.Name)
	}
	for _, e := range s.Explain() {
		if slices.ContainsFunc(settingsOf(l.Name), func(key string) bool { return e.Key == key || strings.HasPrefix(e.Key, key+".") }) {
			card.Settings = append(card.Settings, e)
		}
	}
	return card
}

// stands fills in what the fleet says.
func (card *gatewayCard) stands(a assembly, version string) {
	for _, one := range a.gateways {
		if one.Name == card.Name {
			card.Gateway = one
		}
	}
	for _, answer := range a.fleet.Answers {
		if slices.Contains(answer.Layers, card.Name) && answer.SettingsVersion != version {
			card.SettingsAgree = false
		}
	}
}

func (card *gatewayCard) show(w io.Writer, g *globals) error {
	if g.json {
		return printJSON(w, card)
	}
	state := string(card.State)
	if card.Why != "" {
		state += ": " + card.Why
	}
	rows := [][2]string{
		{"does", card.Does},
		{"state", state},
		{"processes", fmt.Sprint(card.Processes, " ", strings.Join(card.Workers, ", "))},
		{"depends on", orDash(listed(card.DependsOn))},
		{"needed by", orDash(listed(card.NeededBy))},
		{"uses", strings.Join(card.Uses, ", ")},
		{"queues", strings.Join(card.Queues, ", ")},
	}
	for _, c := range card.Capabilities {
		rows = append(rows, [2]string{"can", c})
	}
	if !card.SettingsAgree {
		rows = append(rows, [2]string{"settings", "a process runs with others than these"})
	}
	for _, e := range card.Settings {
		rows = append(rows, [2]string{"setting", e.Key + " = " + e.Value})
	}
	if _, err := fmt.Fprintln(w, card.Name); err != nil {
		return err
	}
	for _, row := range rows {
		if _, err := fmt.Fprintf(w, "  %-10s  %s\n", row[0], strings.TrimSpace(printable(row[1]))); err != nil {
			return err
		}
	}
	return nil
}
