package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

func newTenantsConfig(g *globals) *cobra.Command {
	var users, format string
	cmd := &cobra.Command{
		Use: "config", Short: "Print the accounts of tenants as configuration of a NATS server of yours", Args: cobra.NoArgs,
		Long: "Prints the block `accounts` of nats-server's configuration: flowgate's account FLOWGATE with what it exports, and an account\n" +
			"for each tenant with what it imports and its public keys; no secret is in it. Flowgate's own users (an administrator, and\n" +
			"workers with the rights of `topology plan --permissions`) are yours: write `users: [ … ]` into a file, and name it with\n" +
			"--users, by its path beside the configuration. After every change of tenants print it anew and let every server read it\n" +
			"twice (`nats-server --signal reload`): connections that it does not let in any more are cut the first time, and the\n" +
			"imports of a new account work from the second time on (nats-server 2.15).",
		Example: "  flowgate tenants config --users flowgate-users.conf > /etc/nats/tenants.conf",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if format != "conf" {
				return usageError{fmt.Errorf("--format must be conf, not %q", printable(format))}
			}
			if users == "" || strings.ContainsAny(users, "\"'\n\r") {
				return usageError{errors.New("flag --users must name the file of flowgate's own users, without quotation marks")}
			}
			_, b, err := g.book()
			if err != nil {
				return err
			}
			if len(b.Tenants) == 0 {
				return errors.New("no tenant was added: see `flowgate tenants add --help`")
			}
			text := fmt.Sprintf("# tenants at version %d, written by `flowgate tenants config`\n%s", b.Version, b.Walls().Config("include '"+users+"'"))
			if g.json {
				return printJSON(cmd.OutOrStdout(), map[string]any{"version": b.Version, "format": format, "config": text})
			}
			_, err = fmt.Fprint(cmd.OutOrStdout(), text)
			return err
		},
	}
	cmd.Flags().StringVar(&users, "users", "flowgate-users.conf", "`file` of flowgate's own users, which the configuration includes")
	cmd.Flags().StringVar(&format, "format", "conf", "`form` of the configuration: conf")
	return cmd
}
