package postgres_test

import (
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"

	"flowgate/messages"
	"flowgate/pipelines/corporate"
)

func person(name string, state messages.PersonState, roles ...messages.Role) corporate.Entry {
	return corporate.Entry{Kind: corporate.EntryPerson, Name: name, Person: &messages.Person{State: state, Department: "hr", CostCentre: "c1", Roles: roles}}
}

// edit changes the directory of acme and fails the test on any error.
func (b *bundle) edit(t *testing.T, entries ...corporate.Entry) []corporate.Entry {
	t.Helper()
	changed, err := b.EditDirectory(t.Context(), "acme", "a test", "ops", func(*corporate.Directory) ([]corporate.Entry, error) { return entries, nil })
	if err != nil {
		t.Fatal(err)
	}
	return changed
}

func TestDirectoryKeepsWhatItIsGiven(t *testing.T) {
	t.Parallel()
	b := setup(t)
	entries := []corporate.Entry{
		person("anna", messages.PersonActive, messages.RoleApprover, messages.RoleProducer), person("ben", messages.PersonSuspended, messages.RoleAdmin),
		{Kind: corporate.EntryDepartment, Name: "hr", Department: &messages.Department{CostCentre: "c9", Allowed: messages.Allowed{
			Models: []string{"m"}, Backends: []string{"b"}, Regions: []string{"r"}, Purposes: []string{"p", "q"}, Data: []string{"contact"},
		}}},
		{Kind: corporate.EntryEveryone, Name: "*", Everyone: &messages.Everyone{KnownPeople: true, Allowed: messages.Allowed{Data: []string{"none"}}}},
		{Kind: corporate.EntryCredential, Name: "nightly", Credential: &corporate.Credential{User: "anna", Department: "hr", Purpose: "p", Reason: "nightly reports"}},
	}
	if changed := b.edit(t, entries...); !reflect.DeepEqual(changed, entries) {
		t.Errorf("changed %+v", changed)
	}
	revision, rows, err := b.DirectorySince(t.Context(), -1)
	if err != nil || revision != 1 || len(rows) != len(entries) {
		t.Fatalf("%d, %+v, %v", revision, rows, err)
	}
	got := corporate.NewDirectory()
	for _, r := range rows {
		if r.Tenant != "acme" || r.Reason != "a test" || r.By != "ops" || r.At.IsZero() || r.Revision != 1 {
			t.Errorf("row %+v", r)
		}
		got.Put(r.Entry)
	}
	for _, e := range entries {
		if back := got.Entry(e.Kind, e.Name); !reflect.DeepEqual(back, e) {
			t.Errorf("got %+v\nwant %+v", back, e)
		}
	}
	if changed := b.edit(t, entries...); changed != nil {
		t.Errorf("said again it changes %+v", changed)
	}
	b.edit(t, person("anna", messages.PersonSuspended, messages.RoleProducer), corporate.Entry{Kind: corporate.EntryPerson, Name: "ben"})
	revision, rows, err = b.DirectorySince(t.Context(), 1)
	if err != nil || revision != 2 || len(rows) != 2 || rows[0].Person.State != messages.PersonSuspended || !rows[1].Removed() || rows[1].Name != "ben" {
		t.Errorf("%d, %+v, %v", revision, rows, err)
	}
	if _, rows, err = b.DirectorySince(t.Context(), -1); err != nil || len(rows) != 4 {
		t.Errorf("in whole it has %+v, %v", rows, err)
	}
	history, err := b.DirectoryHistory(t.Context(), "acme", "anna", 0)
	if err != nil || len(history) != 2 || history[0].Person.State != messages.PersonSuspended || history[1].Person.State != messages.PersonActive {
		t.Errorf("history %+v, %v", history, err)
	}
	if tenants, err := b.PeopleTenants(t.Context()); err != nil || !reflect.DeepEqual(tenants, []string{"acme"}) {
		t.Errorf("tenants %v, %v", tenants, err)
	}
}

func TestDirectoryRefusesWhatIsBadAndChangesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	long := strings.Repeat("x", 257)
	for name, e := range map[string]corporate.Entry{
		"no name": person("", "active"), "spaces": person(" anna", "active"), "two lines": person("an\nna", "active"), "nobody": person("unknown", "active"),
		"everybody": person("*", "active"), "long": person(long, "active"), "no state": person("anna", ""), "another role": person("anna", "active", "king"),
		"an empty word":     {Kind: corporate.EntryDepartment, Name: "hr", Department: &messages.Department{Allowed: messages.Allowed{Models: []string{""}}}},
		"another class":     {Kind: corporate.EntryDepartment, Name: "hr", Department: &messages.Department{Allowed: messages.Allowed{Data: []string{"cards"}}}},
		"none beside one":   {Kind: corporate.EntryEveryone, Name: "*", Everyone: &messages.Everyone{Allowed: messages.Allowed{Data: []string{"none", "contact"}}}},
		"too many words":    {Kind: corporate.EntryEveryone, Name: "*", Everyone: &messages.Everyone{Allowed: messages.Allowed{Models: strings.Fields(strings.Repeat("m ", 65))}}},
		"a reason of lines": {Kind: corporate.EntryCredential, Name: "c", Credential: &corporate.Credential{Reason: "a\nb"}},
	} {
		_, err := b.EditDirectory(t.Context(), "acme", "a test", "ops", func(*corporate.Directory) ([]corporate.Entry, error) {
			return []corporate.Entry{person("good", "active"), e}, nil
		})
		if err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	if revision, rows, err := b.DirectorySince(t.Context(), -1); err != nil || revision != 0 || rows != nil {
		t.Errorf("%d, %+v, %v", revision, rows, err)
	}
}

func TestHistoryOfTheDirectoryIsOnlyAddedTo(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.edit(t, person("anna", messages.PersonActive))
	for _, sql := range []string{"UPDATE flowgate.directory_change SET reason = 'x'", "DELETE FROM flowgate.directory_change", "TRUNCATE flowgate.directory_change"} {
		if _, err := b.raw.Exec(t.Context(), sql); err == nil {
			t.Errorf("%s is done", sql)
		}
	}
}

// TestEditsAtOnceAreOneAfterTheOther: each sees what the one before left, and readers see revisions in the order of commits.
func TestEditsAtOnceAreOneAfterTheOther(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const editors = 8
	var all sync.WaitGroup
	for i := range editors {
		all.Go(func() {
			_, err := b.EditDirectory(t.Context(), "acme", "a test", "ops", func(d *corporate.Directory) ([]corporate.Entry, error) {
				e := person("counted", messages.PersonActive)
				e.Person.CostCentre = fmt.Sprint(len(d.People["counted"].CostCentre) + 1)
				if p, has := d.People["counted"]; has {
					e.Person.CostCentre = p.CostCentre + "x"
				}
				return []corporate.Entry{e, person(fmt.Sprint("p", i), messages.PersonActive)}, nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	revision, rows, err := b.DirectorySince(t.Context(), -1)
	if err != nil || revision != editors || len(rows) != editors+1 || len(rows[0].Person.CostCentre) != editors {
		t.Errorf("%d, %+v, %v", revision, rows, err)
	}
}
