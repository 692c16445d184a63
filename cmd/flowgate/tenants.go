package main

import (
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"flowgate/worker/tenants"
)

// anonymousTenant is whose producers need no credential where anonymous connections are kept.
const anonymousTenant = "default"

func newTenants(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use: "tenants", Short: "Say who may connect as a producer of which tenant", Args: cobra.NoArgs,
		Long: "Each tenant has a NATS account of its own: it reaches its own subjects and nobody else's. It logs in with credentials,\n" +
			"which are nkeys: the seed is printed once and belongs to the tenant, only the public half is kept, in tenants.json in the\n" +
			"state folder. A running `flowgate up` follows changes within a second; for servers of yours there is `tenants config`.\n\n" +
			"Without any tenant, everybody who reaches the listener is a producer of every tenant. From the first tenant on,\n" +
			"connections without a credential are refused, unless `tenants anonymous keep` (or add --keep-anonymous) lets them in as\n" +
			"producers of the tenant `" + anonymousTenant + "` alone. Operators' commands on the state folder need no credential.",
		Example: "  flowgate tenants add acme --credential loader --out acme-loader.nk\n" +
			"  NATS_NKEY=acme-loader.nk flowgate submit --tenant acme --reason \"weekly summary for the board\" --wait \"Say OK\"\n" +
			"  flowgate tenants suspend acme --reason \"the contract has ended\"",
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newTenantsAdd(g), newTenantsList(g), newTenantsShow(g), newTenantsRotate(g), newTenantsSuspend(g), newTenantsResume(g),
		newTenantsAnonymous(g), newTenantsConfig(g))
	return cmd
}

// book is the state folder and the tenants in it.
func (g *globals) book() (dir string, b tenants.Book, err error) {
	if dir, err = g.tenantsDir(); err == nil {
		if b, err = tenants.Load(dir); err != nil {
			err = environmentError{err}
		}
	}
	return dir, b, err
}

func (g *globals) tenantsDir() (string, error) {
	settings, err := g.load()
	if err != nil {
		return "", err
	}
	dir, err := g.dir(settings)
	if err != nil {
		return "", environmentError{err}
	}
	return dir, nil
}

func newTenantsList(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List tenants and their credentials", Args: cobra.NoArgs, Example: "  flowgate tenants list\n  flowgate tenants list --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, b, err := g.book()
			if err != nil {
				return err
			}
			if b.Tenants == nil {
				b.Tenants = []tenants.Tenant{}
			}
			if g.json {
				return printJSON(cmd.OutOrStdout(), b)
			}
			return listTenants(cmd.OutOrStdout(), b)
		},
	}
}

func listTenants(w io.Writer, b tenants.Book) error {
	rows := make([][]string, 0, len(b.Tenants))
	for _, t := range b.Tenants {
		active := 0
		for _, c := range t.Credentials {
			if t.Suspended == nil && c.Suspended == nil {
				active++
			}
		}
		rows = append(rows, []string{t.Name, standing(t.Suspended), strconv.Itoa(active) + " of " + strconv.Itoa(len(t.Credentials)), clock(t.CreatedAt)})
	}
	if err := table(w, "tenant state credentials added", rows); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w, anonymity(b))
	return err
}

// anonymity says what becomes of connections without a credential.
func anonymity(b tenants.Book) string {
	switch {
	case len(b.Tenants) == 0:
		return "no tenant has a credential: everybody who reaches the listener is a producer of every tenant"
	case b.Walls().Anonymous == "":
		return "connections without a credential are refused"
	}
	return "connections without a credential are producers of the tenant " + b.Anonymous + " alone"
}

func standing(s *tenants.Suspension) string {
	if s == nil {
		return "active"
	}
	return "suspended"
}

func newTenantsShow(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "show TENANT", Short: "Show one tenant and its credentials", Args: cobra.ExactArgs(1), Example: "  flowgate tenants show acme",
		RunE: func(cmd *cobra.Command, args []string) error {
			_, b, err := g.book()
			if err != nil {
				return err
			}
			t := b.Tenant(args[0])
			if t == nil {
				return fmt.Errorf("tenant %s: %w (`flowgate tenants list` shows them)", printable(args[0]), tenants.ErrUnknown)
			}
			if g.json {
				return printJSON(cmd.OutOrStdout(), t)
			}
			return showTenant(cmd.OutOrStdout(), t)
		},
	}
}

func showTenant(w io.Writer, t *tenants.Tenant) error {
	if _, err := fmt.Fprintf(w, "%s: %s, added %s\n", t.Name, suspension(t.Suspended), clock(t.CreatedAt)); err != nil {
		return err
	}
	rows := make([][]string, 0, len(t.Credentials))
	for _, c := range t.Credentials {
		rows = append(rows, []string{c.Name, suspension(c.Suspended), c.PublicKey, clock(c.CreatedAt), clock(c.RotatedAt)})
	}
	return table(w, "credential state public_key added rotated", rows)
}

func suspension(s *tenants.Suspension) string {
	if s == nil {
		return standing(s)
	}
	return fmt.Sprintf("suspended since %s by %s: %s", s.At.UTC().Format(time.RFC3339), printable(s.By), printable(s.Reason))
}
