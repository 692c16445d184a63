package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"flowgate/configs"
	"flowgate/messages"
	"flowgate/pipelines/compliance"
	"flowgate/pipelines/flow"
)

// loadControls reads the controls of compliance and demands that the levels exist that settings and agreements name.
func loadControls(s configs.Settings, agreements []flow.Agreement) (*compliance.Book, error) {
	file := s.Flowgate.ControlsFile
	book, err := configs.LoadControls(file)
	if err != nil {
		return nil, err
	}
	levels := strings.Join(slices.Sorted(maps.Keys(book.Document().Levels)), ", ")
	if level := s.Flowgate.ComplianceLevel; !book.Has(level) {
		return nil, &configs.Fault{Key: "flowgate.compliance_level", Text: fmt.Sprintf("%.40q is no level of the controls: must be of %s", level, levels)}
	}
	for _, a := range agreements {
		if a.ComplianceLevel != "" && !book.Has(a.ComplianceLevel) {
			return nil, &configs.Fault{
				File: s.Flowgate.AgreementsFile, Key: a.Trigger + ".compliance_level",
				Text: fmt.Sprintf("%.40q is no level of the controls: must be of %s", a.ComplianceLevel, levels),
			}
		}
	}
	return book, nil
}

func newControls(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use: "controls", Short: "Show and check what compliance demands of requests",
		Long: "Controls say what frameworks of law, or a company, demand of a request, each at a stage of its way: before (nothing is spent yet),\n" +
			"call (a backend is chosen, nothing has been sent), after (nobody has the answer yet), end. A gate that a request fails ends it\n" +
			"with the reason control_failed; advice counts in its score. Every result shows each control's state and evidence. The score is\n" +
			"conformance to these controls and no legal advice. flowgate.controls_file names a file of your own,\n" +
			"flowgate.compliance_level the level that every request has to meet.",
		Example: "  flowgate controls list\n  flowgate controls list --level regulated\n  flowgate controls explain gdpr.purpose\n  flowgate controls check controls.yaml",
	}
	cmd.AddCommand(newControlsList(g), newControlsExplain(g), newControlsFacts(g), newControlsCheck(g))
	return cmd
}

// controlShown is a control with the title of its framework and the levels that have it.
type controlShown struct {
	compliance.Control

	Framework string   `json:"framework"`
	Weight    int      `json:"weight"`
	Levels    []string `json:"levels"`
}

// controlList is what `flowgate controls list` says.
type controlList struct {
	Version  string         `json:"version"`
	Level    string         `json:"level"`
	Controls []controlShown `json:"controls"`
	Note     string         `json:"note"`
}

func shownControls(book *compliance.Book, controls []compliance.Control) []controlShown {
	document := book.Document()
	titles := make(map[string]string, len(document.Sets))
	for _, s := range document.Sets {
		titles[s.ID] = s.Title
	}
	all := make([]controlShown, len(controls))
	for i, c := range controls {
		set, _, _ := strings.Cut(c.ID, ".")
		all[i] = controlShown{Control: c, Framework: titles[set], Weight: c.Severity.Weight(), Levels: []string{}}
		for _, level := range slices.Sorted(maps.Keys(document.Levels)) {
			if slices.Contains(document.Levels[level], set) {
				all[i].Levels = append(all[i].Levels, level)
			}
		}
	}
	return all
}

// configuredControls are those that this deployment's settings name.
func configuredControls(g *globals) (configs.Settings, *compliance.Book, error) {
	settings, err := g.load()
	if err != nil {
		return settings, nil, err
	}
	book, err := configs.LoadControls(settings.Flowgate.ControlsFile)
	if err != nil {
		return settings, nil, usageError{err}
	}
	return settings, book, nil
}

func newControlsList(g *globals) *cobra.Command {
	level := ""
	cmd := &cobra.Command{
		Use: "list", Short: "List the controls that a level has", Args: cobra.NoArgs,
		Example: "  flowgate controls list\n  flowgate controls list --level sox --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			settings, book, err := configuredControls(g)
			if err != nil {
				return err
			}
			if level == "" {
				level = settings.Flowgate.ComplianceLevel
			}
			controls, err := book.Controls(level)
			if err != nil {
				known := strings.Join(slices.Sorted(maps.Keys(book.Document().Levels)), ", ")
				return usageError{fmt.Errorf("--level: %w: must be of %s", err, known)}
			}
			list := controlList{book.Version(), level, shownControls(book, controls), messages.ComplianceNote}
			if g.json {
				return printJSON(cmd.OutOrStdout(), list)
			}
			return list.write(cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&level, "level", "", "the level (default: that of the settings)")
	return cmd
}

func (l controlList) write(w io.Writer) error {
	rows := make([][]string, len(l.Controls))
	for i, c := range l.Controls {
		kind := "advice"
		if c.Gate {
			kind = "gate"
		}
		stages := make([]string, len(c.Stages))
		for j, s := range c.Stages {
			stages[j] = string(s)
		}
		rows[i] = []string{c.ID, c.Clause, strings.Join(stages, ","), string(c.Severity), kind, c.Says}
	}
	if err := table(w, "CONTROL CLAUSE STAGE SEVERITY KIND DEMANDS", rows); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\n%d controls of level %s, version %s. %s\n", len(l.Controls), l.Level, l.Version, l.Note)
	return err
}

func newControlsExplain(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "explain CONTROL", Short: "Explain what a control demands, and how it is judged", Args: cobra.ExactArgs(1),
		Example: "  flowgate controls explain gdpr.transfer\n  flowgate controls explain sox.four_eyes --json",
		RunE: func(cmd *cobra.Command, args []string) error {
			_, book, err := configuredControls(g)
			if err != nil {
				return err
			}
			controls, err := book.Controls(slices.Sorted(maps.Keys(book.Document().Levels))...)
			if err != nil {
				return err
			}
			at := slices.IndexFunc(controls, func(c compliance.Control) bool { return c.ID == args[0] })
			if at < 0 {
				return usageError{fmt.Errorf("%.80q is no control of any level: see flowgate controls list --level regulated", args[0])}
			}
			c := shownControls(book, controls[at:at+1])[0]
			if g.json {
				return printJSON(cmd.OutOrStdout(), c)
			}
			return c.write(cmd.OutOrStdout())
		},
	}
}

func (c controlShown) write(w io.Writer) error {
	what := "advice: it counts in the score"
	if c.Gate {
		what = "a gate: a request that fails it ends with control_failed, and its score is at most 0.49"
	}
	applies, missing := "always", "unknown, which counts as not passed"
	if c.Applies != "" {
		applies = "where " + c.Applies
	}
	if c.Missing == compliance.StateFail {
		missing = "fail"
	}
	evidence := "none"
	if len(c.Evidence) > 0 {
		evidence = strings.Join(c.Evidence, ", ")
	}
	stages := make([]string, len(c.Stages))
	for i, s := range c.Stages {
		stages[i] = string(s)
	}
	_, err := fmt.Fprintf(w, "%s  %s\n  framework  %s %s\n  kind       %s\n  weight     %d (%s)\n  stages     %s\n  applies    %s\n  passes     where %s\n  evidence   %s\n  missing    %s\n  levels     %s\n",
		c.ID, c.Says, c.Framework, c.Clause, what, c.Weight, c.Severity, strings.Join(stages, ", "), applies, c.Pass, evidence, missing, strings.Join(c.Levels, ", "))
	return err
}

func newControlsFacts(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "facts", Short: "List what controls may speak of", Args: cobra.NoArgs, Example: "  flowgate controls facts",
		RunE: func(cmd *cobra.Command, _ []string) error { return writeFacts(cmd, g, compliance.FactList()) },
	}
}

func newControlsCheck(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "check FILE", Short: "Check a file of controls", Args: cobra.ExactArgs(1), Example: "  flowgate controls check controls.yaml",
		RunE: func(cmd *cobra.Command, args []string) error {
			book, err := configs.LoadControls(args[0])
			if err != nil {
				return usageError{err}
			}
			d := book.Document()
			checked := struct {
				Version  string   `json:"version"`
				Controls int      `json:"controls"`
				Levels   []string `json:"levels"`
			}{book.Version(), 0, slices.Sorted(maps.Keys(d.Levels))}
			for _, s := range d.Sets {
				checked.Controls += len(s.Controls)
			}
			if g.json {
				return printJSON(cmd.OutOrStdout(), checked)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "good: %d controls, levels %s, version %s\n", checked.Controls, strings.Join(checked.Levels, ", "), checked.Version)
			return err
		},
	}
}
