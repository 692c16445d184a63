package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"flowgate/messages"
	"flowgate/pipelines/corporate"
	"flowgate/pipelines/privacy"
	"flowgate/worker/postgres"
)

// openDirectory opens the database, in which the directory of people is.
func (g *globals) openDirectory(ctx context.Context) (*postgres.DB, error) {
	settings, err := g.load()
	if err != nil {
		return nil, err
	}
	db, err := g.reachDatabase(ctx, settings)
	if err != nil {
		return nil, environmentError{err}
	}
	return db, nil
}

// directing is what a command that changes the directory says of why and by whom.
type directing struct{ reason, by string }

func (d *directing) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&d.reason, "reason", "", "why; it stands in the history of the directory (needed)")
	cmd.Flags().StringVar(&d.by, "by", "", "`name` of who does it (default: the user of this machine)")
}

// editing makes entries out of what the directory has.
type editing func(*corporate.Directory) ([]corporate.Entry, error)

// edit changes the tenant's directory. A fault in what is to be is the caller's.
func (d *directing) edit(cmd *cobra.Command, g *globals, edit editing) ([]corporate.Entry, error) {
	reason, by := strings.TrimSpace(d.reason), strings.TrimSpace(whoever(d.by))
	if reason == "" {
		return nil, usageError{fmt.Errorf("flag --reason is missing: say why; see `%s --help`", cmd.CommandPath())}
	}
	if err := corporate.CheckChange(reason, by); err != nil {
		return nil, usageError{err}
	}
	db, err := g.openDirectory(cmd.Context())
	if err != nil {
		return nil, err
	}
	defer db.Close()
	return db.EditDirectory(cmd.Context(), g.tenant, reason, by, func(there *corporate.Directory) ([]corporate.Entry, error) {
		entries, err := edit(there)
		for _, e := range entries {
			if err == nil {
				if wrong := e.Check(); wrong != nil {
					err = usageError{wrong}
				}
			}
		}
		return entries, err
	})
}

// editOne changes one entry and shows what it is from now on.
func (d *directing) editOne(cmd *cobra.Command, g *globals, kind corporate.EntryKind, name string, change func(there corporate.Entry) (corporate.Entry, error)) error {
	var now corporate.Entry
	changed, err := d.edit(cmd, g, func(all *corporate.Directory) ([]corporate.Entry, error) {
		var err error
		now, err = change(all.Entry(kind, name))
		return []corporate.Entry{now}, err
	})
	if err != nil {
		return err
	}
	if g.json {
		return printJSON(cmd.OutOrStdout(), struct {
			Tenant string `json:"tenant"`
			corporate.Entry

			Removed bool `json:"removed"`
			Changed bool `json:"changed"`
		}{g.tenant, now, now.Removed(), len(changed) > 0})
	}
	word := ""
	if len(changed) == 0 {
		word = " (as before)"
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: %s%s\n", printable(now.Name), printable(entryText(now)), word)
	return err
}

// entryText says in a line what an entry is.
func entryText(e corporate.Entry) string {
	switch {
	case e.Person != nil:
		p := e.Person
		return strings.Join([]string{
			string(p.State), "department " + orDash(p.Department), "cost centre " + orDash(p.CostCentre), "roles " + orDash(roleWords(p.Roles)),
		}, ", ")
	case e.Department != nil:
		return "cost centre " + orDash(e.Department.CostCentre) + ", " + allowedText(e.Department.Allowed)
	case e.Everyone != nil && e.Everyone.KnownPeople:
		return "known people alone, " + allowedText(e.Everyone.Allowed)
	case e.Everyone != nil:
		return "anybody, " + allowedText(e.Everyone.Allowed)
	case e.Credential != nil:
		c := e.Credential
		return fmt.Sprintf("user %s, department %s, purpose %s, audit reason %s", orDash(c.User), orDash(c.Department), orDash(c.Purpose), orDash(c.Reason))
	}
	return "removed"
}

func allowedText(a messages.Allowed) string {
	var parts []string
	for _, l := range []struct {
		name  string
		words []string
	}{{"models", a.Models}, {"backends", a.Backends}, {"regions", a.Regions}, {"purposes", a.Purposes}, {"data", a.Data}} {
		if len(l.words) > 0 {
			parts = append(parts, l.name+" "+strings.Join(l.words, " "))
		}
	}
	if len(parts) == 0 {
		return "may use everything"
	}
	return "may use only " + strings.Join(parts, ", ")
}

func roleWords(roles []messages.Role) string {
	words := make([]string, len(roles))
	for i, r := range roles {
		words[i] = string(r)
	}
	return strings.Join(words, " ")
}

// naming checks names of entries: requests must be able to have them, and the record to keep them.
func (g *globals) naming() (func(string) error, error) {
	settings, err := g.load()
	if err != nil {
		return nil, err
	}
	rules := corporate.Policy{Privacy: privacy.NewGuard(settings.PrivacyRules())}
	return func(name string) error {
		if messages.Visible(name) != name {
			return errors.New("a name must have no invisible characters and no spaces around it: nobody could tell it from another one")
		}
		if !corporate.Recorded(name, rules) {
			return errors.New("a name must have no number of a card or person, no secret, and no spaces around it: the record would not keep it as it is")
		}
		return nil
	}, nil
}

// nameOf is the name of an entry as a command's argument gives it.
func (g *globals) nameOf(arg string) (string, error) {
	check, err := g.naming()
	if err != nil {
		return "", err
	}
	if err := check(arg); err != nil {
		return "", usageError{err}
	}
	return arg, nil
}

// rolesOf reads a list of roles: sorted, each once.
func rolesOf(words []string) []messages.Role {
	roles := []messages.Role{}
	for _, w := range words {
		if w = strings.TrimSpace(w); w != "" {
			roles = append(roles, messages.Role(w))
		}
	}
	slices.Sort(roles)
	return slices.Compact(roles)
}

// entries lists the entries of a tenant of some kinds.
func (g *globals) entries(ctx context.Context, kinds ...corporate.EntryKind) ([]postgres.DirectoryEntry, error) {
	db, err := g.openDirectory(ctx)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	all, err := db.Directory(ctx, g.tenant)
	return append([]postgres.DirectoryEntry{}, slices.DeleteFunc(all, func(e postgres.DirectoryEntry) bool { return !slices.Contains(kinds, e.Kind) })...), err
}

// storied is an entry with its history.
type storied struct {
	postgres.DirectoryEntry

	History []postgres.DirectoryEntry `json:"history"`
}

// mostHistory bounds the changes that show lists.
const mostHistory = 20

// show prints an entry and its history. Exit code 1: there is none.
func (g *globals) show(cmd *cobra.Command, kind corporate.EntryKind, name string) error {
	db, err := g.openDirectory(cmd.Context())
	if err != nil {
		return err
	}
	defer db.Close()
	all, err := db.Directory(cmd.Context(), g.tenant)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(e postgres.DirectoryEntry) bool { return e.Kind == kind && e.Name == name })
	if i < 0 {
		return fmt.Errorf("%s %.60q is not in the directory of %s", kind, name, g.tenant)
	}
	s := storied{DirectoryEntry: all[i]}
	history, err := db.DirectoryHistory(cmd.Context(), g.tenant, name, 0)
	if err != nil {
		return err
	}
	s.History = slices.DeleteFunc(history, func(e postgres.DirectoryEntry) bool { return e.Kind != kind })
	s.History = s.History[:min(len(s.History), mostHistory)]
	if g.json {
		return printJSON(cmd.OutOrStdout(), s)
	}
	if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n\n", printable(s.Name), printable(entryText(s.Entry))); err != nil {
		return err
	}
	return table(cmd.OutOrStdout(), "TIME KIND NAME WHAT BY REASON", historyRows(s.History))
}

func historyRows(all []postgres.DirectoryEntry) [][]string {
	rows := make([][]string, len(all))
	for i := range all {
		e := &all[i]
		rows[i] = []string{clock(e.At), string(e.Kind), e.Name, entryText(e.Entry), e.By, e.Reason}
	}
	return rows
}
