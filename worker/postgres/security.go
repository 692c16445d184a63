package postgres

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// AuditTables are the tables whose rows are only added, by any statement of this build: a trigger of each refuses everything else.
// Partitions of them count as they do.
func AuditTables() []string {
	return []string{"agreement_change", "decision_settings", "directory_change", "event", "intent", "outcome", "recorder_gap"}
}

// mostRoles bounds the roles that an audit tells of.
const mostRoles = 500

// Changer is a role that may change or remove audit rows, or could make itself one that may. Superusers are none: see Login.
type Changer struct {
	// Role is PUBLIC where everybody may.
	Role   string
	Logins bool
	// Privileges are of UPDATE, DELETE and TRUNCATE, Tables those on which it has any of them.
	Privileges, Tables []string
	// Via are roles that it is a member of, by which it may: the owner, say.
	Via []string
	// Reaches: it may use the schema, without which rights on tables are of no use.
	Reaches bool
}

// Login is who is logged in, and who else of the server's superusers may.
type Login struct {
	Role      string
	Superuser bool
	// Owner is the role that has migrated, Owns whether this one is it or a member of it.
	Owner string
	Owns  bool
	// Ends is when this role's password ends; zero: never.
	Ends time.Time
	// TLS is of this very connection; Local: it goes through no network.
	TLS, Local bool
	// Superusers are the superusers that may log in, Bootstrap the one that the server was made with.
	Superusers []string
	Bootstrap  string
	// Roles is how many roles the server has.
	Roles int64
}

const changersSQL = `WITH audited AS (
    SELECT c.oid, c.relname, c.relowner FROM pg_class c
    WHERE c.relnamespace = to_regnamespace($1) AND c.relkind IN ('r', 'p') AND (c.relname = ANY ($2)
        OR EXISTS (SELECT FROM pg_inherits i JOIN pg_class parent ON parent.oid = i.inhparent WHERE i.inhrelid = c.oid AND parent.relname = ANY ($2)))
), owner AS (
    SELECT relowner AS oid FROM pg_class WHERE oid = to_regclass($1 || '.schema_version')
), privilege AS (SELECT unnest(ARRAY['UPDATE', 'DELETE', 'TRUNCATE']) AS name
), public AS (
    SELECT a.relname, p.name FROM audited a CROSS JOIN privilege p
    WHERE has_table_privilege('public', a.oid, p.name) OR p.name = 'UPDATE' AND has_any_column_privilege('public', a.oid, 'UPDATE')
), holder AS (
    SELECT r.oid, r.rolname, a.relname, p.name FROM pg_roles r CROSS JOIN audited a CROSS JOIN privilege p
    WHERE (has_table_privilege(r.oid, a.oid, p.name) OR p.name = 'UPDATE' AND has_any_column_privilege(r.oid, a.oid, 'UPDATE'))
        AND NOT EXISTS (SELECT FROM public u WHERE u.relname = a.relname AND u.name = p.name)
)
SELECT 'PUBLIC', true, array_agg(DISTINCT name), array_agg(DISTINCT relname::text), '{}'::text[], has_schema_privilege('public', $1, 'USAGE')
FROM public HAVING count(*) > 0
UNION ALL
(SELECT s.rolname, s.rolcanlogin, array_agg(DISTINCT h.name), array_agg(DISTINCT h.relname::text),
    coalesce(array_agg(DISTINCT h.rolname::text) FILTER (WHERE h.oid <> s.oid), '{}'),
    bool_or(has_schema_privilege(h.oid, $1, 'USAGE'))
FROM pg_roles s JOIN holder h ON pg_has_role(s.oid, h.oid, 'MEMBER')
WHERE NOT s.rolsuper AND s.rolname !~ '^pg_' AND s.oid <> (SELECT oid FROM owner)
GROUP BY s.oid, s.rolname, s.rolcanlogin ORDER BY s.rolcanlogin DESC, s.rolname LIMIT $3)`

// Changers lists the roles beside the owner that may change or remove audit rows, those first that may log in.
func (db *DB) Changers(ctx context.Context) ([]Changer, error) {
	all, err := collect(ctx, db, func(row pgx.CollectableRow) (c Changer, err error) {
		err = row.Scan(&c.Role, &c.Logins, &c.Privileges, &c.Tables, &c.Via, &c.Reaches)
		return c, err
	}, changersSQL, db.pool.options.Schema, AuditTables(), mostRoles)
	if err != nil {
		return nil, fmt.Errorf("reading the rights of roles: %w", err)
	}
	return all, nil
}

const loginSQL = `SELECT r.rolname, r.rolsuper, o.rolname, pg_has_role(r.oid, o.oid, 'MEMBER'),
    CASE WHEN isfinite(r.rolvaliduntil) THEN r.rolvaliduntil END,
    coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false), inet_server_addr() IS NULL,
    coalesce((SELECT array_agg(rolname::text ORDER BY rolname) FROM (SELECT rolname FROM pg_roles WHERE rolsuper AND rolcanlogin ORDER BY rolname LIMIT $2) s), '{}'),
    (SELECT rolname FROM pg_roles WHERE oid = 10), (SELECT count(*) FROM pg_roles WHERE rolname !~ '^pg_')
FROM pg_roles r, pg_class c JOIN pg_roles o ON o.oid = c.relowner
WHERE r.rolname = current_user AND c.oid = to_regclass($1 || '.schema_version')`

// Login tells who is logged in here, and how.
func (db *DB) Login(ctx context.Context) (Login, error) {
	all, err := collect(ctx, db, func(row pgx.CollectableRow) (l Login, err error) {
		var ends *time.Time
		err = row.Scan(&l.Role, &l.Superuser, &l.Owner, &l.Owns, &ends, &l.TLS, &l.Local, &l.Superusers, &l.Bootstrap, &l.Roles)
		l.Ends = value(ends)
		return l, err
	}, loginSQL, db.pool.options.Schema, mostRoles)
	if err == nil && len(all) != 1 {
		err = fmt.Errorf("%d rows answer", len(all))
	}
	if err != nil {
		return Login{}, fmt.Errorf("asking who is logged in: %w", err)
	}
	return all[0], nil
}

// Guard is a trigger that keeps rows from being changed.
type Guard struct {
	Table, Name string
	// Fault is what is wrong with it; empty: it is as the migrations make it.
	Fault string
	// Off: it would do what it should, but does not fire always; enabling it mends that.
	Off bool
}

// Guards compares the triggers that the migrations make with those of the database, on partitions too, and lists what else could change
// what is stored into audit tables.
func (db *DB) Guards(ctx context.Context) ([]Guard, error) {
	all, err := Migrations(db.pool.options.Schema)
	if err != nil {
		return nil, err
	}
	partitions, err := collect(ctx, db, pgx.RowToStructByPos[partition], partitionsSQL, db.pool.options.Schema, AuditTables(), mostTriggers)
	if err != nil {
		return nil, fmt.Errorf("reading the partitions: %w", err)
	}
	wanted := withPartitions(guardsOf(all, db.pool.options.Schema), partitions)
	found, err := collect(ctx, db, pgx.RowToStructByPos[trigger], triggersSQL, db.pool.options.Schema, mostTriggers)
	if err != nil {
		return nil, fmt.Errorf("reading the triggers: %w", err)
	}
	guards := make([]Guard, 0, len(wanted))
	for _, w := range wanted {
		fault, off := w.compare(found)
		guards = append(guards, Guard{Table: w.Table, Name: w.Name, Fault: fault, Off: off})
	}
	for _, f := range found {
		known := slices.ContainsFunc(wanted, func(w trigger) bool { return w.Table == f.Table && w.Name == f.Name })
		if !known && slices.Contains(AuditTables(), f.Parent) {
			guards = append(guards, Guard{Table: f.Table, Name: f.Name, Fault: "is none that a migration made, and may change what is stored"})
		}
	}
	return guards, nil
}
