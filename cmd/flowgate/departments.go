package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"flowgate/messages"
	"flowgate/pipelines/corporate"
)

func newDepartments(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use: "departments", Short: "Say what departments, and everyone of a tenant, may use",
		Long: "Departments of a tenant's directory, with the models, backends, regions, purposes and classes of data that they may use. What\n" +
			"everyone may use holds beside what the department may: a request must be on both lists. An empty list allows everything.",
		Example: "  flowgate departments set research --models claude-3-haiku --regions eu-central-1 --reason \"plan of 2026\"\n" +
			"  flowgate departments everyone --people known --data contact --reason \"plan of 2026\"\n  flowgate departments list",
	}
	cmd.AddCommand(newDepartmentsSet(g), newDepartmentsEveryone(g), newDepartmentsList(g), newDepartmentsShow(g), newDepartmentsRemove(g))
	return cmd
}

// allowFlags are the flags of allow-lists.
type allowFlags struct {
	directing

	allowed messages.Allowed
}

func (f *allowFlags) flags(cmd *cobra.Command) {
	a := &f.allowed
	cmd.Flags().StringSliceVar(&a.Models, "models", nil, "the only `models`, by exact id or alias; '' allows all")
	cmd.Flags().StringSliceVar(&a.Backends, "backends", nil, "the only `backends`; '' allows all")
	cmd.Flags().StringSliceVar(&a.Regions, "regions", nil, "the only `regions` of backends; '' allows all")
	cmd.Flags().StringSliceVar(&a.Purposes, "purposes", nil, "the only `purposes` that requests may state; '' allows all, and none")
	cmd.Flags().StringSliceVar(&a.Data, "data", nil, "the only `classes` of data that texts may have: payment, identity, contact, network, secret, or none; '' allows all")
	f.directing.flags(cmd)
}

// over are lists with what the given flags say: sorted, each word once.
func (f *allowFlags) over(a messages.Allowed, given func(string) bool) messages.Allowed {
	for _, l := range []struct {
		flag string
		from []string
		into *[]string
	}{
		{"models", f.allowed.Models, &a.Models},
		{"backends", f.allowed.Backends, &a.Backends},
		{"regions", f.allowed.Regions, &a.Regions},
		{"purposes", f.allowed.Purposes, &a.Purposes},
		{"data", f.allowed.Data, &a.Data},
	} {
		if !given(l.flag) {
			continue
		}
		var words []string
		for _, w := range l.from {
			if w = strings.TrimSpace(w); w != "" {
				words = append(words, w)
			}
		}
		slices.Sort(words)
		*l.into = slices.Compact(words)
	}
	return a
}

func newDepartmentsSet(g *globals) *cobra.Command {
	var f allowFlags
	var costCentre string
	cmd := &cobra.Command{
		Use: "set NAME", Short: "Add a department, or change it; what is left out stays", Args: cobra.ExactArgs(1),
		Example: "  flowgate departments set research --cost-centre cc-17 --models claude-3-haiku,claude-3-sonnet --purposes research --reason \"plan of 2026\"",
		RunE: func(cmd *cobra.Command, args []string) error {
			name, err := g.nameOf(args[0])
			if err != nil {
				return err
			}
			return f.editOne(cmd, g, corporate.EntryDepartment, name, func(e corporate.Entry) (corporate.Entry, error) {
				var d messages.Department
				if e.Department != nil {
					d = *e.Department
				}
				if cmd.Flags().Changed("cost-centre") {
					d.CostCentre = costCentre
				}
				d.Allowed = f.over(d.Allowed, cmd.Flags().Changed)
				e.Department = &d
				return e, nil
			})
		},
	}
	cmd.Flags().StringVar(&costCentre, "cost-centre", "", "`name` of who pays")
	f.flags(cmd)
	return cmd
}

func newDepartmentsEveryone(g *globals) *cobra.Command {
	var f allowFlags
	var people string
	cmd := &cobra.Command{
		Use: "everyone", Short: "Say what everyone of the tenant may use, and whether strangers may ask", Args: cobra.NoArgs,
		Long: "Sets what everyone of the tenant may use, beside what their department may; what is left out stays. --people known refuses who\n" +
			"is not in the directory, and departments that are not; --people any, as at first, lets them ask.",
		Example: "  flowgate departments everyone --people known --backends openai --regions eu-central-1 --reason \"plan of 2026\"",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if people != "" && people != "known" && people != "any" {
				return usageError{errors.New("flag --people must be known or any")}
			}
			return f.editOne(cmd, g, corporate.EntryEveryone, corporate.EveryoneName, func(e corporate.Entry) (corporate.Entry, error) {
				var all messages.Everyone
				if e.Everyone != nil {
					all = *e.Everyone
				}
				if people != "" {
					all.KnownPeople = people == "known"
				}
				all.Allowed = f.over(all.Allowed, cmd.Flags().Changed)
				if e.Everyone = &all; !all.KnownPeople && allowedText(all.Allowed) == allowedText(messages.Allowed{}) {
					e.Everyone = nil // it says nothing any more
				}
				return e, nil
			})
		},
	}
	cmd.Flags().StringVar(&people, "people", "", "`who` may ask: known people alone, or any")
	f.flags(cmd)
	return cmd
}

func newDepartmentsList(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List departments, and what everyone may use (*)", Args: cobra.NoArgs, Example: "  flowgate departments list",
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := g.entries(cmd.Context(), corporate.EntryEveryone, corporate.EntryDepartment)
			if err != nil {
				return err
			}
			if g.json {
				return printJSON(cmd.OutOrStdout(), all)
			}
			rows := make([][]string, len(all))
			for i := range all {
				rows[i] = []string{all[i].Name, entryText(all[i].Entry), clock(all[i].At), all[i].By, all[i].Reason}
			}
			return table(cmd.OutOrStdout(), "DEPARTMENT WHAT CHANGED BY REASON", rows)
		},
	}
}

func newDepartmentsShow(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "show NAME", Short: "Show a department, or everyone ('*'), and how it came to be what it is", Args: cobra.ExactArgs(1),
		Example: "  flowgate departments show research\n  flowgate departments show '*'",
		RunE: func(cmd *cobra.Command, args []string) error {
			if args[0] == corporate.EveryoneName {
				return g.show(cmd, corporate.EntryEveryone, args[0])
			}
			return g.show(cmd, corporate.EntryDepartment, args[0])
		},
	}
}

func newDepartmentsRemove(g *globals) *cobra.Command {
	var d directing
	cmd := &cobra.Command{
		Use: "remove NAME", Short: "Take a department out of the directory, with its lists", Args: cobra.ExactArgs(1),
		Long:    "Takes a department out of the directory. Its people stay in it, and its lists bind them no more.",
		Example: "  flowgate departments remove research --reason \"merged with development\"",
		RunE: func(cmd *cobra.Command, args []string) error {
			return d.editOne(cmd, g, corporate.EntryDepartment, args[0], func(e corporate.Entry) (corporate.Entry, error) {
				if e.Department == nil {
					return e, fmt.Errorf("department %.60q is not in the directory of %s; `flowgate departments list` lists it", args[0], g.tenant)
				}
				e.Department = nil
				return e, nil
			})
		},
	}
	d.flags(cmd)
	return cmd
}
