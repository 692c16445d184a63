package main

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"flowgate/messages"
	"flowgate/pipelines/corporate"
	"flowgate/worker/postgres"
)

func newPeople(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use: "people", Short: "Say who may ask, in which department, at whose cost, and with which roles",
		Long: "The directory of people of a tenant, in Postgres. A person has the name that requests give in user_id, a department, a cost\n" +
			"centre, and roles: producer may ask, operator and admin write FLOW agreements, approver and admin approve and suspend them and\n" +
			"activate policies, approver approves raises of budgets; auditor is kept for the record. Who is suspended is refused within a second, everywhere; what was let through before goes on.\n" +
			"A tenant whose directory has nothing is governed without one.",
		Example: "  flowgate people add anna --department research --reason \"joined in May\"\n" +
			"  flowgate people suspend anna --reason \"ticket 4711\"\n  flowgate people list",
	}
	cmd.AddCommand(
		newPeopleAdd(g), newPeopleSet(g), newPeopleImport(g), newPeopleList(g), newPeopleShow(g),
		newPeopleState(g, "suspend", messages.PersonSuspended), newPeopleState(g, "resume", messages.PersonActive),
		newPeopleRemove(g), newPeopleHistory(g), newPeopleCredential(g),
	)
	return cmd
}

// personFlags are the flags that say what a person is.
type personFlags struct {
	directing

	department, costCentre string
	roles                  []string
}

func (f *personFlags) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.department, "department", "", "`name` of their department; without one they may name any")
	cmd.Flags().StringVar(&f.costCentre, "cost-centre", "", "`name` of who pays")
	cmd.Flags().StringSliceVar(&f.roles, "roles", []string{string(messages.RoleProducer)}, "`roles`: producer, operator, approver, auditor, admin")
	f.directing.flags(cmd)
}

// over is a person with what the given flags say.
func (f *personFlags) over(p messages.Person, given func(string) bool) messages.Person {
	if given("department") {
		p.Department = f.department
	}
	if given("cost-centre") {
		p.CostCentre = f.costCentre
	}
	if given("roles") {
		p.Roles = rolesOf(f.roles)
	}
	return p
}

func newPeopleAdd(g *globals) *cobra.Command {
	var f personFlags
	cmd := &cobra.Command{
		Use: "add NAME", Short: "Add a person", Args: cobra.ExactArgs(1),
		Example: "  flowgate people add anna --department research --cost-centre cc-17 --roles producer,approver --reason \"joined in May\"",
		RunE: func(cmd *cobra.Command, args []string) error {
			name, err := g.nameOf(args[0])
			if err != nil {
				return err
			}
			return f.editOne(cmd, g, corporate.EntryPerson, name, func(e corporate.Entry) (corporate.Entry, error) {
				if e.Person != nil {
					return e, fmt.Errorf("%.60q is in the directory already; change them with `flowgate people set`", name)
				}
				p := f.over(messages.Person{State: messages.PersonActive}, func(string) bool { return true })
				e.Person = &p
				return e, nil
			})
		},
	}
	f.flags(cmd)
	return cmd
}

func newPeopleSet(g *globals) *cobra.Command {
	var f personFlags
	cmd := &cobra.Command{
		Use: "set NAME", Short: "Change what a person is; what is left out stays", Args: cobra.ExactArgs(1),
		Example: "  flowgate people set anna --roles producer,approver --reason \"stands in for maria\"",
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.editOne(cmd, g, corporate.EntryPerson, args[0], func(e corporate.Entry) (corporate.Entry, error) {
				if e.Person == nil {
					return e, notThere(g, args[0])
				}
				p := f.over(*e.Person, cmd.Flags().Changed)
				e.Person = &p
				return e, nil
			})
		},
	}
	f.flags(cmd)
	return cmd
}

func notThere(g *globals, name string) error {
	return fmt.Errorf("%.60q is not in the directory of %s; `flowgate people list` lists it", name, g.tenant)
}

func newPeopleState(g *globals, verb string, state messages.PersonState) *cobra.Command {
	var d directing
	short := map[string]string{"suspend": "Refuse what a person asks, everywhere within a second", "resume": "Let a suspended person ask again"}[verb]
	cmd := &cobra.Command{
		Use: verb + " NAME", Short: short, Args: cobra.ExactArgs(1),
		Long: short + ". What layer 1 has let through before goes on; `flowgate\n" +
			"cancel --where 'user = NAME' --yes` ends it.",
		Example: "  flowgate people " + verb + " anna --reason \"ticket 4711\"",
		RunE: func(cmd *cobra.Command, args []string) error {
			return d.editOne(cmd, g, corporate.EntryPerson, args[0], func(e corporate.Entry) (corporate.Entry, error) {
				if e.Person == nil {
					return e, notThere(g, args[0])
				}
				p := *e.Person
				p.State = state
				e.Person = &p
				return e, nil
			})
		},
	}
	d.flags(cmd)
	return cmd
}

func newPeopleRemove(g *globals) *cobra.Command {
	var d directing
	cmd := &cobra.Command{
		Use: "remove NAME", Short: "Take a person out of the directory", Args: cobra.ExactArgs(1),
		Long: "Takes a person out of the directory; its history stays. Where the tenant lets anybody ask, who is removed is anybody: suspend\n" +
			"whom you want refused.",
		Example: "  flowgate people remove anna --reason \"left the company\"",
		RunE: func(cmd *cobra.Command, args []string) error {
			return d.editOne(cmd, g, corporate.EntryPerson, args[0], func(e corporate.Entry) (corporate.Entry, error) {
				if e.Person == nil {
					return e, notThere(g, args[0])
				}
				e.Person = nil
				return e, nil
			})
		},
	}
	d.flags(cmd)
	return cmd
}

func newPeopleList(g *globals) *cobra.Command {
	var department, role string
	var suspended bool
	cmd := &cobra.Command{
		Use: "list", Short: "List the people of a tenant", Args: cobra.NoArgs, Example: "  flowgate people list --role approver\n  flowgate people list --suspended --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if role != "" && !slices.Contains(messages.Roles(), messages.Role(role)) {
				return usageError{fmt.Errorf("flag --role: %.40q is no role; use producer, operator, approver, auditor or admin", role)}
			}
			all, err := g.entries(cmd.Context(), corporate.EntryPerson)
			if err != nil {
				return err
			}
			all = slices.DeleteFunc(all, func(e postgres.DirectoryEntry) bool {
				p := e.Person
				return department != "" && p.Department != department || suspended && p.State != messages.PersonSuspended ||
					role != "" && !slices.Contains(p.Roles, messages.Role(role))
			})
			if g.json {
				return printJSON(cmd.OutOrStdout(), all)
			}
			rows := make([][]string, len(all))
			for i := range all {
				p := all[i].Person
				rows[i] = []string{all[i].Name, string(p.State), orDash(p.Department), orDash(p.CostCentre), orDash(roleWords(p.Roles)), clock(all[i].At), all[i].By, all[i].Reason}
			}
			return table(cmd.OutOrStdout(), "NAME STATE DEPARTMENT COST_CENTRE ROLES CHANGED BY REASON", rows)
		},
	}
	cmd.Flags().StringVar(&department, "department", "", "only those of a `department`")
	cmd.Flags().StringVar(&role, "role", "", "only those who have a `role`")
	cmd.Flags().BoolVar(&suspended, "suspended", false, "only those who are suspended")
	return cmd
}

func newPeopleShow(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "show NAME", Short: "Show a person, and how they came to be what they are", Args: cobra.ExactArgs(1), Example: "  flowgate people show anna",
		RunE: func(cmd *cobra.Command, args []string) error { return g.show(cmd, corporate.EntryPerson, args[0]) },
	}
}

func newPeopleHistory(g *globals) *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use: "history [NAME]", Short: "List what was changed in the directory, when, by whom and why", Args: cobra.MaximumNArgs(1),
		Example: "  flowgate people history\n  flowgate people history anna --json",
		RunE: func(cmd *cobra.Command, args []string) error {
			db, err := g.openDirectory(cmd.Context())
			if err != nil {
				return err
			}
			defer db.Close()
			all, err := db.DirectoryHistory(cmd.Context(), g.tenant, slices.Concat(args, []string{""})[0], limit)
			if err != nil {
				return err
			}
			if g.json {
				return printJSON(cmd.OutOrStdout(), all)
			}
			return table(cmd.OutOrStdout(), "TIME KIND NAME WHAT BY REASON", historyRows(all))
		},
	}
	cmd.Flags().IntVar(&limit, "limit", 100, "the most `rows`")
	return cmd
}
