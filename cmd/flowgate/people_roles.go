package main

import (
	"context"
	"fmt"
	"slices"

	"flowgate/messages"
	"flowgate/pipelines/corporate"
	"flowgate/worker/postgres"
)

// mustHave refuses who has not one of the roles in the tenant's directory. Where it has nobody, anybody may. The name is what a flag
// claims: it is as true as whoever holds the operator's credential.
func (g *globals) mustHave(ctx context.Context, flag, name string, roles ...messages.Role) error {
	db, err := g.openDirectory(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	return mustHaveIn(ctx, db, g.tenant, flag, name, roles...)
}

func mustHaveIn(ctx context.Context, db *postgres.DB, tenant, flag, name string, roles ...messages.Role) error {
	entries, err := db.Directory(ctx, tenant)
	if err != nil {
		return err
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
func (g *globals) mustHaveAnywhere(ctx context.Context, flag, name string, roles ...messages.Role) error {
	db, err := g.openDirectory(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	tenants, err := db.PeopleTenants(ctx)
	if err != nil {
		return err
	}
	if len(tenants) > 0 && !slices.Contains(tenants, g.tenant) {
		return usageError{fmt.Errorf("tenant %s has no people, others have: say with --tenant whose person does this", g.tenant)}
	}
	return mustHaveIn(ctx, db, g.tenant, flag, name, roles...)
}
