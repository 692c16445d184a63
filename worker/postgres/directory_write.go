package postgres

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"flowgate/messages"
	"flowgate/pipelines/corporate"
)

// queue writes an entry as it is from now on, and the change.
func (e *DirectoryEntry) queue(batch *pgx.Batch) error {
	gone := e.Removed()
	switch e.Kind {
	case corporate.EntryPerson:
		p := messages.Person{State: messages.PersonActive}
		if !gone {
			p = *e.Person
		}
		e.put(batch, "person", gone, []string{"state", "department", "cost_centre", "roles"}, p.State, p.Department, p.CostCentre, list(p.Roles))
	case corporate.EntryDepartment:
		var d messages.Department
		if !gone {
			d = *e.Department
		}
		e.putDepartment(batch, gone, d, false)
	case corporate.EntryEveryone:
		var all messages.Everyone
		if !gone {
			all = *e.Everyone
		}
		e.putDepartment(batch, gone, messages.Department{Allowed: all.Allowed}, all.KnownPeople)
	case corporate.EntryCredential:
		var c corporate.Credential
		if !gone {
			c = *e.Credential
		}
		e.put(batch, "credential", gone, []string{"user_name", "department", "purpose", "audit_reason"}, c.User, c.Department, c.Purpose, c.Reason)
	}
	var entry []byte
	if !gone {
		var err error
		if entry, err = json.Marshal(e.Entry); err != nil {
			return fmt.Errorf("encoding an entry of the directory: %w", err)
		}
	}
	batch.Queue(`INSERT INTO directory_change (revision, tenant, kind, name, entry, reason, changed_by, changed_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`, e.Revision, e.Tenant, string(e.Kind), e.Name, entry, e.Reason, e.By, e.At)
	return nil
}

func (e *DirectoryEntry) putDepartment(batch *pgx.Batch, gone bool, d messages.Department, known bool) {
	e.put(batch, "department", gone, []string{"cost_centre", "known_people", "models", "backends", "regions", "purposes", "data"},
		d.CostCentre, known, list(d.Allowed.Models), list(d.Allowed.Backends), list(d.Allowed.Regions), list(d.Allowed.Purposes), list(d.Allowed.Data))
}

// put writes the row of an entry. Names of table and columns are of this file.
func (e *DirectoryEntry) put(batch *pgx.Batch, table string, gone bool, columns []string, values ...any) {
	columns = append(append([]string{"tenant", "name"}, columns...), "removed", "reason", "changed_by", "changed_at", "revision")
	values = append(append([]any{e.Tenant, e.Name}, values...), gone, e.Reason, e.By, e.At, e.Revision)
	places, sets := make([]string, len(columns)), make([]string, len(columns))
	for i, c := range columns {
		places[i], sets[i] = fmt.Sprintf("$%d", i+1), c+" = excluded."+c
	}
	batch.Queue("INSERT INTO "+table+" ("+strings.Join(columns, ", ")+") VALUES ("+strings.Join(places, ", ")+
		") ON CONFLICT (tenant, name) DO UPDATE SET "+strings.Join(sets, ", "), values...)
}

// list is an array that is never null.
func list[T ~string](words []T) []string {
	all := make([]string, len(words))
	for i, w := range words {
		all[i] = string(w)
	}
	return all
}
