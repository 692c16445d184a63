package postgres_test

import (
	"slices"
	"strings"
	"testing"

	"flowgate/worker/postgres"
	"flowgate/worker/workertest"
)

// changer finds what is said of a role.
func (b *bundle) changer(t *testing.T, role string) (postgres.Changer, bool) {
	t.Helper()
	all, err := b.Changers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(all, func(c postgres.Changer) bool { return c.Role == role })
	if at < 0 {
		return postgres.Changer{}, false
	}
	return all[at], true
}

func TestRolesThatMayChangeAuditRowsAreFound(t *testing.T) {
	t.Parallel()
	b := setup(t)
	role, _ := workertest.Role(t, b.url, "changer")
	group, _ := workertest.Role(t, b.url, "group")
	wants := func(what, of, privileges, tables, via string, reaches bool) {
		t.Helper()
		c, found := b.changer(t, of)
		if !found || strings.Join(c.Privileges, " ") != privileges || strings.Join(c.Tables, " ") != tables || strings.Join(c.Via, " ") != via || c.Reaches != reaches || !c.Logins {
			t.Errorf("%s: %+v, %t", what, c, found)
		}
	}
	for what, sql := range map[string]string{
		"one that reads and adds": "GRANT USAGE ON SCHEMA flowgate TO " + role + "; GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA flowgate TO " + role,
		"one that changes others": "GRANT UPDATE, DELETE ON flowgate.scope TO " + role,
	} {
		b.sql(t, sql)
		if c, found := b.changer(t, role); found {
			t.Errorf("%s: %+v", what, c)
		}
	}
	b.sql(t, "GRANT UPDATE, TRUNCATE ON flowgate.intent TO "+role)
	wants("by itself", role, "TRUNCATE UPDATE", "intent", "", true)
	b.sql(t, "REVOKE UPDATE, TRUNCATE ON flowgate.intent FROM "+role+"; GRANT UPDATE (detail) ON flowgate.event TO "+role)
	wants("one column", role, "UPDATE", "event", "", true)
	b.sql(t, "REVOKE UPDATE (detail) ON flowgate.event FROM "+role+"; GRANT DELETE ON flowgate.outcome_default TO "+group+"; ALTER ROLE "+role+" NOINHERIT; GRANT "+group+" TO "+role)
	wants("the group's partition, without the schema", group, "DELETE", "outcome_default", "", false)
	wants("as a member that has to say so", role, "DELETE", "outcome_default", group, false)
	b.sql(t, "REVOKE "+group+" FROM "+role+"; REVOKE DELETE ON flowgate.outcome_default FROM "+group+"; GRANT DELETE ON flowgate.agreement_change TO PUBLIC")
	wants("everybody", "PUBLIC", "DELETE", "agreement_change", "", false)
	if c, found := b.changer(t, role); found {
		t.Errorf("what everybody may is told of each: %+v", c)
	}
}

func TestMembersOfTheOwnerMayChangeEverything(t *testing.T) {
	t.Parallel()
	url := workertest.EmptyDatabase(t)
	as := workertest.OrdinaryRole(t, url)
	if _, _, err := postgres.Migrate(t.Context(), as, postgres.DefaultOptions()); err != nil {
		t.Fatal(err)
	}
	b := &bundle{DB: openURL(t, as), url: as, raw: connect(t, url)}
	member, theirs := workertest.Role(t, url, "member")
	login, err := b.Login(t.Context())
	if err != nil || login.Owner != login.Role || !login.Owns || login.Superuser || !login.Local || login.TLS || !login.Ends.IsZero() || len(login.Superusers) == 0 || login.Bootstrap == "" || login.Roles < 3 {
		t.Errorf("%+v: %v", login, err)
	}
	if c, found := b.changer(t, login.Owner); found {
		t.Errorf("the owner itself: %+v", c)
	}
	b.sql(t, "GRANT "+login.Owner+" TO "+member+"; GRANT USAGE ON SCHEMA flowgate TO "+member+"; ALTER ROLE "+member+" VALID UNTIL '2099-01-01Z'")
	c, found := b.changer(t, member)
	if !found || !slices.Contains(c.Tables, "outcome") || !slices.Equal(c.Via, []string{login.Owner}) || len(c.Privileges) != 3 {
		t.Errorf("%+v, %t", c, found)
	}
	if l, err := openURL(t, theirs).Login(t.Context()); err != nil || l.Role != member || !l.Owns || l.Ends.Year() != 2099 {
		t.Errorf("%+v: %v", l, err)
	}
}

func TestGuardsAreThoseThatTheMigrationsMake(t *testing.T) {
	t.Parallel()
	b := setup(t)
	faults := func() map[string]string {
		t.Helper()
		guards, err := b.Guards(t.Context())
		if err != nil || len(guards) < 2 {
			t.Fatal(guards, err)
		}
		found := map[string]string{}
		for _, g := range guards {
			if g.Fault != "" {
				found[g.Table+"."+g.Name] = g.Fault
			}
		}
		return found
	}
	if f := faults(); len(f) > 0 {
		t.Errorf("as migrated: %v", f)
	}
	const changed = "agreement_change.agreement_change_added"
	for _, c := range []struct{ do, undo, at, says string }{
		{"ALTER TABLE flowgate.agreement_change DISABLE TRIGGER agreement_change_added", "ALTER TABLE flowgate.agreement_change ENABLE ALWAYS TRIGGER agreement_change_added", changed, "is disabled"},
		{"ALTER TABLE flowgate.agreement_change ENABLE REPLICA TRIGGER agreement_change_added", "ALTER TABLE flowgate.agreement_change ENABLE ALWAYS TRIGGER agreement_change_added", changed, "replicas"},
		{"ALTER TABLE flowgate.directory_change DISABLE TRIGGER ALL", "ALTER TABLE flowgate.directory_change ENABLE ALWAYS TRIGGER directory_change_added", "directory_change.directory_change_added", "is disabled"},
		{"CREATE RULE quiet AS ON INSERT TO flowgate.event DO INSTEAD NOTHING", "DROP RULE quiet ON flowgate.event", "event.quiet", "none that a migration made"},
		{"CREATE TRIGGER more BEFORE INSERT ON flowgate.outcome_default FOR EACH ROW EXECUTE FUNCTION flowgate.refuse_change()", "DROP TRIGGER more ON flowgate.outcome_default", "outcome_default.more", "none that a migration made"},
		{
			"CREATE OR REPLACE TRIGGER agreement_change_added BEFORE TRUNCATE ON flowgate.agreement_change FOR EACH STATEMENT EXECUTE FUNCTION flowgate.refuse_change()",
			"CREATE OR REPLACE TRIGGER agreement_change_added BEFORE UPDATE OR DELETE OR TRUNCATE ON flowgate.agreement_change FOR EACH STATEMENT EXECUTE FUNCTION flowgate.refuse_change(); " +
				"ALTER TABLE flowgate.agreement_change ENABLE ALWAYS TRIGGER agreement_change_added",
			changed, "does not fire when it should",
		},
		{"DROP TRIGGER recorder_gap_added ON flowgate.recorder_gap", "CREATE TRIGGER recorder_gap_added BEFORE UPDATE OR DELETE OR TRUNCATE ON flowgate.recorder_gap FOR EACH STATEMENT EXECUTE FUNCTION flowgate.refuse_change(); " +
			"ALTER TABLE flowgate.recorder_gap ENABLE ALWAYS TRIGGER recorder_gap_added", "recorder_gap.recorder_gap_added", "is missing"},
		{"DROP TRIGGER outcome_kept ON flowgate.outcome_default", "CREATE TRIGGER outcome_kept BEFORE TRUNCATE ON flowgate.outcome_default FOR EACH STATEMENT EXECUTE FUNCTION flowgate.refuse_change(); " +
			"ALTER TABLE flowgate.outcome_default ENABLE ALWAYS TRIGGER outcome_kept", "outcome_default.outcome_kept", "is missing"},
		{
			"CREATE TABLE flowgate.outcome_odd PARTITION OF flowgate.outcome FOR VALUES FROM ('1999-01-01Z') TO ('1999-02-01Z')",
			"DROP TABLE flowgate.outcome_odd", "outcome_odd.outcome_kept", "is missing",
		},
		{"CREATE OR REPLACE FUNCTION flowgate.refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'", "", changed, "another thing"},
		{"DROP TRIGGER agreement_change_added ON flowgate.agreement_change", "", changed, "is missing"},
	} {
		b.sql(t, c.do)
		if f := faults(); !strings.Contains(f[c.at], c.says) {
			t.Errorf("%s: %v", c.do, f)
		}
		if c.undo == "" {
			continue
		}
		b.sql(t, c.undo)
		if f := faults(); len(f) > 0 {
			t.Errorf("%s: %v", c.undo, f)
		}
	}
}

func TestEveryTableOfTheRecordIsGuardedAlways(t *testing.T) {
	t.Parallel()
	b := setup(t)
	guards, err := b.Guards(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range append(postgres.AuditTables(), "outcome_default") {
		if !slices.ContainsFunc(guards, func(g postgres.Guard) bool { return g.Table == table }) {
			t.Errorf("%s has no guard", table)
		}
	}
	is := func(g postgres.Guard) postgres.Guard {
		t.Helper()
		now, err := b.Guards(t.Context())
		at := slices.IndexFunc(now, func(n postgres.Guard) bool { return n.Table == g.Table && n.Name == g.Name })
		if err != nil || at < 0 {
			t.Fatal(g, now, err)
		}
		return now[at]
	}
	for _, g := range guards {
		for _, c := range []struct{ do, says string }{{"DISABLE", "is disabled"}, {"ENABLE", "not ENABLE ALWAYS"}, {"ENABLE ALWAYS", ""}} {
			b.sql(t, "ALTER TABLE flowgate."+g.Table+" "+c.do+" TRIGGER "+g.Name)
			if now := is(g); !strings.Contains(now.Fault, c.says) || (now.Fault != "") != (c.says != "") || now.Off != (c.says != "") {
				t.Errorf("%s: %+v", c.do, now)
			}
		}
	}
}

func TestRowsOfTheRecordAreOnlyAdded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.end(t, "r", 11, 5)
	// One row in a partition that was there before the triggers, one in a later one.
	b.sql(t, "SELECT flowgate.ensure_partitions('2098-01-15')")
	for _, when := range []string{"2001-01-01Z", "2098-01-20Z"} {
		b.sql(t, "INSERT INTO flowgate.outcome SELECT (jsonb_populate_record(o, jsonb_build_object('stored_at', $1::text))).* FROM (SELECT o FROM flowgate.outcome o LIMIT 1) one", when)
	}
	rows := count[int](t, b, "SELECT count(*) FROM flowgate.outcome")
	for _, role := range []string{"origin", "replica"} {
		b.sql(t, "SET session_replication_role = "+role)
		for _, table := range append(postgres.AuditTables(), "outcome_default", "outcome_209801") {
			column := count[string](t, b, "SELECT attname::text FROM pg_attribute WHERE attrelid = $1::regclass AND attnum = 1", "flowgate."+table)
			for _, sql := range []string{
				"UPDATE flowgate." + table + " SET " + column + " = " + column, "DELETE FROM flowgate." + table,
				"TRUNCATE flowgate." + table, "TRUNCATE flowgate." + table + " CASCADE",
			} {
				if _, err := b.raw.Exec(t.Context(), sql); err == nil || !strings.Contains(err.Error(), "are only added") {
					t.Errorf("%s as %s: %v", sql, role, err)
				}
			}
		}
	}
	if n := count[int](t, b, "SELECT count(*) FROM flowgate.outcome"); n != rows || n < 3 {
		t.Errorf("%d rows are left of %d", n, rows)
	}
}

func TestGuardsInAnotherSchema(t *testing.T) {
	t.Parallel()
	options := postgres.DefaultOptions()
	options.Schema = "elsewhere"
	url := workertest.EmptyDatabase(t)
	if _, _, err := postgres.Migrate(t.Context(), url, options); err != nil {
		t.Fatal(err)
	}
	db, err := postgres.Open(t.Context(), url, options)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	guards, err := db.Guards(t.Context())
	if err != nil || len(guards) < 2 {
		t.Fatal(guards, err)
	}
	for _, g := range guards {
		if g.Fault != "" {
			t.Errorf("%+v", g)
		}
	}
	if all, err := db.Changers(t.Context()); err != nil || slices.ContainsFunc(all, func(c postgres.Changer) bool { return c.Role == "PUBLIC" }) {
		t.Errorf("%+v: %v", all, err)
	}
	if l, err := db.Login(t.Context()); err != nil || l.Owner == "" {
		t.Errorf("%+v: %v", l, err)
	}
}
