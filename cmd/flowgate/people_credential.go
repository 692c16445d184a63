package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"flowgate/pipelines/corporate"
)

func newPeopleCredential(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use: "credential", Short: "Say what is taken where a request leaves out user, department, purpose or reason",
		Long: "What a request leaves out is taken from the credential that published it, and the record says so. The broker proves the tenant of a\n" +
			"request, not yet which of the tenant's credentials sent it: the name is therefore '*', for each of them.",
		Example: "  flowgate people credential set '*' --purpose reporting --audit-reason \"nightly reports for the board\" --reason \"plan of 2026\"",
	}
	cmd.AddCommand(newCredentialSet(g), newCredentialList(g), newCredentialRemove(g))
	return cmd
}

func newCredentialSet(g *globals) *cobra.Command {
	var d directing
	var c corporate.Credential
	cmd := &cobra.Command{
		Use: "set NAME", Short: "Set the defaults of a credential; what is left out stays", Args: cobra.ExactArgs(1),
		Example: "  flowgate people credential set '*' --user reports --purpose reporting --audit-reason \"nightly reports for the board\" --reason \"plan of 2026\"",
		RunE: func(cmd *cobra.Command, args []string) error {
			if args[0] != corporate.EveryoneName {
				return usageError{errors.New("the broker does not tell which of a tenant's credentials sent a request: set '*', for each of them")}
			}
			return d.editOne(cmd, g, corporate.EntryCredential, args[0], func(e corporate.Entry) (corporate.Entry, error) {
				var now corporate.Credential
				if e.Credential != nil {
					now = *e.Credential
				}
				for _, f := range []struct {
					flag string
					from string
					into *string
				}{{"user", c.User, &now.User}, {"department", c.Department, &now.Department}, {"purpose", c.Purpose, &now.Purpose}, {"audit-reason", c.Reason, &now.Reason}} {
					if cmd.Flags().Changed(f.flag) {
						*f.into = f.from
					}
				}
				if now == (corporate.Credential{}) {
					return e, usageError{fmt.Errorf("say what is taken: --user, --department, --purpose or --audit-reason; see `%s --help`", cmd.CommandPath())}
				}
				e.Credential = &now
				return e, nil
			})
		},
	}
	cmd.Flags().StringVar(&c.User, "user", "", "`name` of the user")
	cmd.Flags().StringVar(&c.Department, "department", "", "`name` of the department, where the user has none of their own")
	cmd.Flags().StringVar(&c.Purpose, "purpose", "", "what answers are for, in a `word`")
	cmd.Flags().StringVar(&c.Reason, "audit-reason", "", "`why` the model is asked")
	d.flags(cmd)
	return cmd
}

func newCredentialList(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List credentials and their defaults", Args: cobra.NoArgs, Example: "  flowgate people credential list",
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := g.entries(cmd.Context(), corporate.EntryCredential)
			if err != nil {
				return err
			}
			if g.json {
				return printJSON(cmd.OutOrStdout(), all)
			}
			rows := make([][]string, len(all))
			for i := range all {
				c := all[i].Credential
				rows[i] = []string{all[i].Name, orDash(c.User), orDash(c.Department), orDash(c.Purpose), orDash(c.Reason)}
			}
			return table(cmd.OutOrStdout(), "CREDENTIAL USER DEPARTMENT PURPOSE AUDIT_REASON", rows)
		},
	}
}

func newCredentialRemove(g *globals) *cobra.Command {
	var d directing
	cmd := &cobra.Command{
		Use: "remove NAME", Short: "Remove the defaults of a credential", Args: cobra.ExactArgs(1),
		Example: "  flowgate people credential remove '*' --reason \"reports are gone\"",
		RunE: func(cmd *cobra.Command, args []string) error {
			return d.editOne(cmd, g, corporate.EntryCredential, args[0], func(e corporate.Entry) (corporate.Entry, error) {
				if e.Credential == nil {
					return e, fmt.Errorf("%.60q has no defaults; `flowgate people credential list` lists them", args[0])
				}
				e.Credential = nil
				return e, nil
			})
		},
	}
	d.flags(cmd)
	return cmd
}
