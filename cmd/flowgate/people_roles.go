package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"flowgate/messages"
	"flowgate/pipelines/corporate"
	"flowgate/pipelines/flow"
	"flowgate/worker/postgres"
)

// roleCheck is whether a command that needs a role looks into the directory of people.
type roleCheck struct{ without bool }

const (
	flagWithoutDirectory = "without-directory"
	// unverified follows the name of who was not looked up.
	unverified = flow.Unverified
)

func (c *roleCheck) flag(cmd *cobra.Command, whose string) {
	cmd.Flags().BoolVar(&c.without, flagWithoutDirectory, false,
		"for when Postgres is away, or is not yours: do not look up the roles of "+whose+" in the directory of people; the record shows the name as unverified")
}

// named is a name as the record shows it.
func (c *roleCheck) named(name string) string {
	if c.without {
		return name + unverified
	}
	return name
}

// unchecked says of a directory that cannot be read how it is done without.
func unchecked(err error) error {
	if _, usage := errors.AsType[usageError](err); usage {
		return err
	}
	return environmentError{fmt.Errorf("looking up roles in the directory of people: %w; where it cannot wait, --%s does it without, on record", err, flagWithoutDirectory)}
}

// mustHave refuses who has not one of the roles in the tenant's directory. Where it has nobody, anybody may; so they may where the
// operator said to do without. The name is what a flag
// claims: it is as true as whoever holds the operator's credential.
func (c *roleCheck) mustHave(ctx context.Context, g *globals, flag, name string, roles ...messages.Role) error {
	if c.without {
		return nil
	}
	db, err := g.openDirectory(ctx)
	if err != nil {
		return unchecked(err)
	}
	defer db.Close()
	return mustHaveIn(ctx, db, g.tenant, flag, name, roles...)
}

func mustHaveIn(ctx context.Context, db *postgres.DB, tenant, flag, name string, roles ...messages.Role) error {
	entries, err := db.Directory(ctx, tenant)
	if err != nil {
		return unchecked(err)
	}
	there := corporate.NewDirectory()
	for i := range entries {
		there.Put(entries[i].Entry)
	}
	if len(there.People) == 0 {
		return nil
	}
	if err := there.Active(name, roles...); err != nil {
		return fmt.Errorf("flag --%s: %w; `flowgate people list --role %s` lists who may", flag, err, roles[0])
	}
	return nil
}

// mustHaveAnywhere is mustHave for what holds for all tenants: a tenant without people is no way around.
func (c *roleCheck) mustHaveAnywhere(ctx context.Context, g *globals, flag, name string, roles ...messages.Role) error {
	if c.without {
		return nil
	}
	db, err := g.openDirectory(ctx)
	if err != nil {
		return unchecked(err)
	}
	defer db.Close()
	tenants, err := db.PeopleTenants(ctx)
	if err != nil {
		return unchecked(err)
	}
	if len(tenants) > 0 && !slices.Contains(tenants, g.tenant) {
		return usageError{fmt.Errorf("tenant %s has no people, others have: say with --tenant whose person does this", g.tenant)}
	}
	return mustHaveIn(ctx, db, g.tenant, flag, name, roles...)
}
