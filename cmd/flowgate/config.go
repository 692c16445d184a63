package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"flowgate/configs"
)

func newConfig(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use: "config", Short: "Check, explain, show and compare settings", Args: cobra.NoArgs,
		Long: "Settings come from the environment, else from the settings file (its environments.<name> first), else from the defaults.\n" +
			"Secrets are never shown.",
		Example: "  flowgate config check settings.yaml\n  flowgate config explain retry --config settings.yaml",
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newConfigCheck(g), newConfigExplain(g), newConfigShow(g), newConfigDiff(g))
	return cmd
}

// settingsFile is the file that a command is about: its argument, else --config.
func (g *globals) settingsFile(args []string) (string, error) {
	if len(args) == 0 {
		return g.config, nil
	}
	if g.config != "" && g.config != args[0] {
		return "", usageError{fmt.Errorf("two settings files are named, %s and %s; leave one out", g.config, args[0])}
	}
	return args[0], nil
}

// read reads the settings with the story of each.
func (g *globals) read(args []string) (configs.Loaded, error) {
	path, err := g.settingsFile(args)
	if err != nil {
		return configs.Loaded{}, err
	}
	loaded, err := configs.Read(path, os.LookupEnv)
	if err != nil {
		return loaded, usageError{err}
	}
	return loaded, nil
}

func newConfigCheck(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "check [FILE]", Short: "List every fault and every warning of a settings file", Args: cobra.MaximumNArgs(1),
		Long: "Reads the settings as `flowgate up` would, with the variables of this environment and the files of agreements and prices that\n" +
			"they name, and lists what is wrong and what has no effect. Exit code 0: they can be used; 2: they cannot.",
		Example: "  flowgate config check settings.yaml\n  FLOWGATE_ENVIRONMENT=production flowgate config check settings.yaml --json",
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := g.settingsFile(args)
			if err != nil {
				return err
			}
			r := checkSettings(path)
			if err := r.print(cmd.OutOrStdout(), g.json); err != nil {
				return err
			}
			if !r.OK {
				return usageError{errSaid}
			}
			return nil
		},
	}
}

// configReport is what config check says.
type configReport struct {
	File        string            `json:"file"`
	OK          bool              `json:"ok"`
	Environment string            `json:"environment,omitempty"`
	Version     string            `json:"version,omitempty"`
	Faults      []*configs.Fault  `json:"faults"`
	Warnings    []configs.Warning `json:"warnings"`
}

func checkSettings(path string) configReport {
	r := configReport{File: path, Faults: []*configs.Fault{}, Warnings: []configs.Warning{}}
	loaded, err := configs.Read(path, os.LookupEnv)
	if err == nil {
		r.Environment, r.Version = loaded.Flowgate.Environment, loaded.Version()
		r.Warnings = append(r.Warnings, loaded.Warnings...)
		agreed, agreements := configs.LoadAgreements(loaded.Flowgate.AgreementsFile)
		_, prices := configs.LoadPrices(loaded.Flowgate.PricesFile)
		_, controls := loadControls(loaded.Settings, agreed)
		_, _, catalog := catalogOf(loaded.Settings)
		err = errors.Join(agreements, prices, controls, catalog)
		if table, wrong := configs.PricesOf(loaded.Settings); wrong == nil {
			if warning := warnDefault(loaded.Settings, os.LookupEnv, table); warning != "" {
				r.Warnings = append(r.Warnings, configs.Warning{Key: defaultModelKey, Text: "in this environment " + warning})
			}
		}
	}
	r.Faults = append(r.Faults, faultsIn(err)...)
	r.OK = len(r.Faults) == 0
	return r
}

// faultsIn takes joined errors apart.
func faultsIn(err error) []*configs.Fault {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []*configs.Fault
		for _, one := range joined.Unwrap() {
			all = append(all, faultsIn(one)...)
		}
		return all
	}
	if fault, ok := errors.AsType[*configs.Fault](err); ok {
		return []*configs.Fault{fault}
	}
	return []*configs.Fault{{Text: err.Error()}}
}

func (r configReport) print(w io.Writer, asJSON bool) error {
	if asJSON {
		return printJSON(w, r)
	}
	out := &lines{w: w}
	for _, f := range r.Faults {
		out.print("error    %s\n", printable(f.Error()))
	}
	for _, warning := range r.Warnings {
		out.print("warning  %s\n", printable(warning.String()))
	}
	name := r.File
	if name == "" {
		name = "the built-in settings"
	}
	if !r.OK {
		out.print("%s: %d error(s), %d warning(s)\n", name, len(r.Faults), len(r.Warnings))
	} else {
		out.print("%s: good for the environment %s, %d warning(s), version %s\n", name, r.Environment, len(r.Warnings), r.Version)
	}
	return out.err
}

// lines prints until the first error, which stays.
type lines struct {
	w   io.Writer
	err error
}

func (l *lines) print(format string, args ...any) {
	if l.err == nil {
		_, l.err = fmt.Fprintf(l.w, format, args...)
	}
}
