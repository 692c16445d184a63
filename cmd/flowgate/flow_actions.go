package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"flowgate/pipelines/flow"
	"flowgate/pipelines/templates"
	"flowgate/worker/actions"
)

// listedAction is an action with the agreements that use it.
type listedAction struct {
	actions.About

	// Agreements are the triggers of those in force, or of the newest version where none is.
	Agreements []string `json:"agreements"`
}

func newFlowActions(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "actions", Short: "List the actions that agreements may have in this deployment, with their parameters", Args: cobra.NoArgs,
		Long: "Lists the actions that the product has, those of package own in Go, and the templates of flowgate.actions_folder, with the agreements\n" +
			"that use them. It goes by the settings that it is given: workers go by theirs. An agreement whose action is none of these is named at\n" +
			"the end; its requests without a prompt are denied (action_unknown).",
		Example: "  flowgate flow actions\n  flowgate flow actions --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			catalog, err := g.catalog()
			if err != nil {
				return err
			}
			all, err := g.agreements(cmd.Context())
			if err != nil {
				return err
			}
			listed, unknown := usedActions(catalog, flow.Governing(all))
			if g.json {
				return printJSON(cmd.OutOrStdout(), map[string]any{"actions": listed, "unknown": unknown})
			}
			return writeActions(cmd.OutOrStdout(), listed, unknown)
		},
	}
}

// catalog lists the actions that there are by the settings.
func (g *globals) catalog() ([]actions.About, error) {
	settings, err := g.load()
	if err != nil {
		return nil, err
	}
	catalog, _, err := catalogOf(settings)
	if err != nil {
		return nil, usageError{err}
	}
	return catalog, nil
}

// unknownAction is an agreement whose action a deployment does not have.
type unknownAction struct {
	Trigger string `json:"trigger"`
	Action  string `json:"action"`
}

func usedActions(catalog []actions.About, agreements []flow.Entry) (listed []listedAction, unknown []unknownAction) {
	listed, unknown = make([]listedAction, len(catalog)), []unknownAction{}
	for i, a := range catalog {
		listed[i] = listedAction{a, []string{}}
	}
	for _, e := range agreements {
		at := slices.IndexFunc(listed, func(a listedAction) bool { return a.Name == e.Action })
		switch {
		case at >= 0:
			listed[at].Agreements = append(listed[at].Agreements, e.Trigger)
		case e.Action != actions.Ask:
			unknown = append(unknown, unknownAction{e.Trigger, e.Action})
		}
	}
	return listed, unknown
}

func writeActions(w io.Writer, listed []listedAction, unknown []unknownAction) error {
	out := &lines{w: w}
	for i, a := range listed {
		if i > 0 {
			out.print("\n")
		}
		out.print("%s (%s)\n", a.Name, strings.ReplaceAll(string(a.Kind), "_", " "))
		words := []string{}
		if a.Description != "" {
			words = append(words, a.Description)
		}
		for _, p := range a.Parameters {
			words = append(words, "parameter "+parameterText(p))
		}
		used := "no agreement uses it"
		if len(a.Agreements) > 0 {
			used = "used by " + strings.Join(a.Agreements, ", ")
		}
		for _, text := range append(words, used) {
			for j, line := range wrapped([]string{printable(text)}, tableWidth-4) {
				out.print("%s%s\n", strings.Repeat(" ", 2+2*min(j, 1)), line)
			}
		}
	}
	for _, u := range unknown {
		out.print("\n%s\n", unknownActionText(u.Trigger, u.Action))
	}
	return out.err
}

// parameterText says in a line what a parameter is.
func parameterText(p templates.Parameter) string {
	text := p.Name + ", " + string(p.Type)
	if p.Required {
		text += ", required"
	}
	if p.Default != nil {
		text += fmt.Sprintf(", default %v", p.Default)
	}
	if len(p.Allowed) > 0 {
		words := make([]string, len(p.Allowed))
		for i, a := range p.Allowed {
			words[i] = fmt.Sprint(a)
		}
		text += ", one of " + strings.Join(words, ", ")
	}
	return text + prefixed(": ", p.Description)
}

func unknownActionText(trigger, action string) string {
	return fmt.Sprintf("%s: the settings in use here know no action %.80s; give the deployment's with --config.\n  Where its workers know none either, a request for it is denied, and one with a prompt runs under the agreement", printable(trigger), printable(action))
}

// warnActions tells of agreements whose action is unknown by the settings, which may be right elsewhere.
func (g *globals) warnActions(agreements ...flow.Agreement) {
	catalog, err := g.catalog()
	if err != nil {
		fmt.Fprintf(os.Stderr, "flowgate: warning: the actions of agreements are not looked at: %v\n", err)
		return
	}
	for _, a := range agreements {
		if a.Action != actions.Ask && !slices.ContainsFunc(catalog, func(known actions.About) bool { return known.Name == a.Action }) {
			fmt.Fprintf(os.Stderr, "flowgate: warning: %s\n", unknownActionText(a.Trigger, a.Action))
		}
	}
}
