package postgres

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"time"

	"github.com/jackc/pgx/v5"

	"flowgate/messages"
	"flowgate/pipelines/corporate"
)

// DirectoryEntry is an entry of a directory of people, and who made it what it is, when and why.
type DirectoryEntry struct {
	Tenant string `json:"tenant"`
	corporate.Entry

	Reason   string    `json:"reason"`
	By       string    `json:"by"`
	At       time.Time `json:"at"`
	Revision int64     `json:"revision"`
}

// DirectoryRevision is the newest revision of the directories of all tenants together.
func (db *DB) DirectoryRevision(ctx context.Context) (int64, error) {
	rows, err := collect(ctx, db, pgx.RowTo[int64], "SELECT revision FROM directory")
	if err != nil || len(rows) != 1 {
		return 0, fmt.Errorf("reading the directory's revision (%d rows): %w", len(rows), err)
	}
	return rows[0], nil
}

// DirectorySince reads in one snapshot what was changed after a revision, also what was removed; before the first one, with
// since below 0, everything that is there.
func (db *DB) DirectorySince(ctx context.Context, since int64) (revision int64, entries []DirectoryEntry, err error) {
	err = db.snapshot(ctx, func(tx pgx.Tx) (err error) {
		if err := tx.QueryRow(ctx, "SELECT revision FROM directory").Scan(&revision); err != nil {
			return err
		}
		entries, err = directoryRows(ctx, tx, "revision > $1 AND ($1 >= 0 OR NOT removed)", since)
		return err
	})
	if err != nil {
		return 0, nil, fmt.Errorf("reading the directory of people: %w", err)
	}
	return revision, entries, nil
}

// Directory lists the entries of a tenant, by kind and name.
func (db *DB) Directory(ctx context.Context, tenant string) (entries []DirectoryEntry, err error) {
	err = db.snapshot(ctx, func(tx pgx.Tx) (err error) {
		entries, err = directoryRows(ctx, tx, "tenant = $1 AND NOT removed", tenant)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the directory of people: %w", err)
	}
	return entries, nil
}

// PeopleTenants names the tenants that have people.
func (db *DB) PeopleTenants(ctx context.Context) ([]string, error) {
	tenants, err := collect(ctx, db, pgx.RowTo[string], "SELECT DISTINCT tenant FROM person WHERE NOT removed ORDER BY tenant")
	if err != nil {
		return nil, fmt.Errorf("reading the directory of people: %w", err)
	}
	return tenants, nil
}

// DirectoryHistory lists changes of a tenant's directory, the newest first, of one name where it is not empty; limit 0 is 100.
func (db *DB) DirectoryHistory(ctx context.Context, tenant, name string, limit int) ([]DirectoryEntry, error) {
	if limit <= 0 {
		limit = defaultLimit
	}
	all, err := collect(ctx, db, func(row pgx.CollectableRow) (e DirectoryEntry, err error) {
		var stored []byte
		if err = row.Scan(&e.Tenant, &e.Kind, &e.Name, &stored, &e.Reason, &e.By, &e.At, &e.Revision); err == nil && stored != nil {
			err = json.Unmarshal(stored, &e.Entry)
		}
		return e, err
	}, `SELECT tenant, kind, name, entry, reason, changed_by, changed_at, revision FROM directory_change
WHERE tenant = $1 AND ($2 = '' OR name = $2) ORDER BY revision DESC, kind, name LIMIT $3`, tenant, name, limit)
	if err != nil {
		return nil, fmt.Errorf("reading the history of the directory: %w", err)
	}
	return append([]DirectoryEntry{}, all...), nil
}

const (
	wordColumns     = ", removed, reason, changed_by, changed_at, revision FROM "
	personSQL       = "SELECT tenant, name, state, department, cost_centre, roles" + wordColumns + "person WHERE "
	departmentSQL   = "SELECT tenant, name, cost_centre, known_people, models, backends, regions, purposes, data" + wordColumns + "department WHERE "
	credentialSQL   = "SELECT tenant, name, user_name, department, purpose, audit_reason" + wordColumns + "credential WHERE "
	byTenantAndName = " ORDER BY tenant, name"
)

// directoryRows reads the entries that fit, kind by kind.
func directoryRows(ctx context.Context, tx pgx.Tx, where string, arg any) ([]DirectoryEntry, error) {
	var all []DirectoryEntry
	for _, q := range []struct {
		sql  string
		scan func(pgx.CollectableRow) (DirectoryEntry, error)
	}{{personSQL, scanPerson}, {departmentSQL, scanDepartment}, {credentialSQL, scanCredential}} {
		rows, err := tx.Query(ctx, q.sql+where+byTenantAndName, arg)
		if err != nil {
			return nil, err
		}
		entries, err := pgx.CollectRows(rows, q.scan)
		if err != nil {
			return nil, err
		}
		all = append(all, entries...)
	}
	return all, nil
}

// scanned scans a row whose last columns are those of every table.
func (e *DirectoryEntry) scanned(row pgx.CollectableRow, columns ...any) (removed bool, err error) {
	columns = append(append([]any{&e.Tenant, &e.Name}, columns...), &removed, &e.Reason, &e.By, &e.At, &e.Revision)
	return removed, row.Scan(columns...)
}

func scanPerson(row pgx.CollectableRow) (e DirectoryEntry, err error) {
	var p messages.Person
	e.Kind = corporate.EntryPerson
	removed, err := e.scanned(row, &p.State, &p.Department, &p.CostCentre, &p.Roles)
	if !removed {
		e.Person = &p
	}
	return e, err
}

func scanDepartment(row pgx.CollectableRow) (e DirectoryEntry, err error) {
	var d messages.Department
	var known bool
	e.Kind = corporate.EntryDepartment
	a := &d.Allowed
	removed, err := e.scanned(row, &d.CostCentre, &known, &a.Models, &a.Backends, &a.Regions, &a.Purposes, &a.Data)
	for _, l := range []*[]string{&a.Models, &a.Backends, &a.Regions, &a.Purposes, &a.Data} {
		if len(*l) == 0 {
			*l = nil
		}
	}
	switch {
	case e.Name == corporate.EveryoneName:
		e.Kind = corporate.EntryEveryone
		if !removed {
			e.Everyone = &messages.Everyone{KnownPeople: known, Allowed: d.Allowed}
		}
	case !removed:
		e.Department = &d
	}
	return e, err
}

func scanCredential(row pgx.CollectableRow) (e DirectoryEntry, err error) {
	var c corporate.Credential
	e.Kind = corporate.EntryCredential
	removed, err := e.scanned(row, &c.User, &c.Department, &c.Purpose, &c.Reason)
	if !removed {
		e.Credential = &c
	}
	return e, err
}

// EditDirectory changes a tenant's directory in one transaction, one edit after the other: edit is given what is there, and says
// what is to be from now on. It returns what was changed, which is nothing where all of it was so before. Every entry is checked.
func (db *DB) EditDirectory(
	ctx context.Context, tenant, reason, by string, edit func(*corporate.Directory) ([]corporate.Entry, error),
) (changed []corporate.Entry, err error) {
	if err := cmp.Or(messages.CheckTenant(tenant), corporate.CheckChange(reason, by)); err != nil {
		return nil, err
	}
	err = withRetries(ctx, func() error {
		return db.pool.with(ctx, func(ctx context.Context, conn *pgx.Conn) error {
			return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) (err error) {
				changed, err = editDirectory(ctx, tx, DirectoryEntry{Tenant: tenant, Reason: reason, By: by}, edit)
				return err
			})
		})
	})
	return changed, err
}

func editDirectory(ctx context.Context, tx pgx.Tx, words DirectoryEntry, edit func(*corporate.Directory) ([]corporate.Entry, error)) ([]corporate.Entry, error) {
	if err := tx.QueryRow(ctx, "SELECT revision + 1, clock_timestamp() FROM directory FOR UPDATE").Scan(&words.Revision, &words.At); err != nil {
		return nil, fmt.Errorf("locking the directory of people: %w", err)
	}
	rows, err := directoryRows(ctx, tx, "tenant = $1 AND NOT removed", words.Tenant)
	if err != nil {
		return nil, fmt.Errorf("reading the directory of people: %w", err)
	}
	there := corporate.NewDirectory()
	for i := range rows {
		there.Put(rows[i].Entry)
	}
	wanted, err := edit(there)
	if err != nil {
		return nil, err
	}
	type key struct {
		kind corporate.EntryKind
		name string
	}
	var changed []corporate.Entry
	seen := make(map[key]bool, len(wanted))
	batch := &pgx.Batch{}
	for _, e := range wanted {
		if err := e.Check(); err != nil {
			return nil, err
		}
		if seen[key{e.Kind, e.Name}] {
			return nil, fmt.Errorf("%s %.60q is changed twice at once", e.Kind, e.Name)
		}
		seen[key{e.Kind, e.Name}] = true
		if reflect.DeepEqual(there.Entry(e.Kind, e.Name), e) {
			continue
		}
		there.Put(e)
		changed = append(changed, e)
		words.Entry = e
		if err := words.queue(batch); err != nil {
			return nil, err
		}
	}
	if len(changed) == 0 {
		return nil, nil
	}
	if err := there.Room(); err != nil {
		return nil, err
	}
	batch.Queue("UPDATE directory SET revision = $1", words.Revision)
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return nil, fmt.Errorf("changing the directory of people: %w", err)
	}
	return changed, nil
}
