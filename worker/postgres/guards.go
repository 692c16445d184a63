package postgres

import (
	"regexp"
	"slices"
	"strings"
)

// trigger is one as it is in the database, or as a migration makes it.
type trigger struct {
	Table string
	// Parent is the table that this is a partition of, else the table.
	Parent, Name string
	// Enabled is pg_trigger.tgenabled: O and A fire, D does not, R on replicas alone. A rule has the same letters.
	Enabled string
	// When says when it fires: BEFORE or AFTER, STATEMENT or ROW, and the kinds of statements, sorted.
	When     []string
	Function string
	// Body is what the function does.
	Body string
}

// mostTriggers bounds the triggers that are read.
const mostTriggers = 500

// triggersSQL has the triggers and the rules of the schema's tables. Before Postgres 15, what a partition has of its parent is internal.
const triggersSQL = `WITH named AS (
    SELECT c.oid, c.relname::text AS name, coalesce(parent.relname, c.relname)::text AS parent
    FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid LEFT JOIN pg_class parent ON parent.oid = i.inhparent
    WHERE c.relnamespace = to_regnamespace($1) AND c.relkind IN ('r', 'p')
)
SELECT n.name, n.parent, t.tgname::text, t.tgenabled::text, array_remove(ARRAY[
    CASE WHEN t.tgtype & 2 > 0 THEN 'BEFORE' ELSE 'AFTER' END, CASE WHEN t.tgtype & 1 > 0 THEN 'ROW' ELSE 'STATEMENT' END,
    CASE WHEN t.tgtype & 4 > 0 THEN 'INSERT' END, CASE WHEN t.tgtype & 8 > 0 THEN 'DELETE' END,
    CASE WHEN t.tgtype & 16 > 0 THEN 'UPDATE' END, CASE WHEN t.tgtype & 32 > 0 THEN 'TRUNCATE' END,
    CASE WHEN t.tgqual IS NOT NULL THEN 'WHEN' END], NULL),
    s.nspname || '.' || p.proname, p.prosrc
FROM pg_trigger t JOIN named n ON n.oid = t.tgrelid JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_namespace s ON s.oid = p.pronamespace
WHERE NOT t.tgisinternal OR t.tgparentid <> 0 AND t.tgconstraint = 0
UNION ALL
SELECT n.name, n.parent, w.rulename::text, w.ev_enabled::text, '{RULE}', '', ''
FROM pg_rewrite w JOIN named n ON n.oid = w.ev_class
ORDER BY 1, 3 LIMIT $2`

// partition is one of a table.
type partition struct{ Table, Parent string }

const partitionsSQL = `SELECT c.relname::text, parent.relname::text
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_class parent ON parent.oid = i.inhparent
WHERE c.relnamespace = to_regnamespace($1) AND c.relkind IN ('r', 'p') AND parent.relname = ANY ($2)
ORDER BY 1 LIMIT $3`

// withPartitions adds what partitions must have: each trigger of their table, under its name.
func withPartitions(wanted []trigger, partitions []partition) []trigger {
	all := slices.Clone(wanted)
	for _, p := range partitions {
		for _, w := range wanted {
			if w.Table == p.Parent {
				w.Table = p.Table
				all = append(all, w)
			}
		}
	}
	return all
}

// guardsOf are the triggers that migrations make, in their order, as the last of them leaves each.
func guardsOf(migrations []Migration, schema string) []trigger {
	in := regexp.QuoteMeta(schema)
	made := regexp.MustCompile(`(?is)CREATE (?:OR REPLACE )?TRIGGER (\w+)\s+(BEFORE|AFTER)\s+([\w\s]+?)\s+ON\s+` + in + `\.(\w+)\s+FOR EACH (STATEMENT|ROW)\s+EXECUTE (?:FUNCTION|PROCEDURE)\s+(` + in + `\.\w+)\(\)`)
	body := regexp.MustCompile(`(?is)CREATE (?:OR REPLACE )?FUNCTION (` + in + `\.\w+)\(\)\s+RETURNS trigger\s.*?AS \$\$(.*?)\$\$`)
	var all []trigger
	bodies := map[string]string{}
	for _, m := range migrations {
		for _, b := range body.FindAllStringSubmatch(m.SQL, -1) {
			bodies[b[1]] = b[2]
		}
		for _, t := range made.FindAllStringSubmatch(m.SQL, -1) {
			when := append([]string{strings.ToUpper(t[2]), strings.ToUpper(t[5])}, strings.Split(strings.Join(strings.Fields(strings.ToUpper(t[3])), " "), " OR ")...)
			now := trigger{Table: t[4], Parent: t[4], Name: t[1], When: when, Function: t[6]}
			all = append(slices.DeleteFunc(all, func(old trigger) bool { return old.Table == now.Table && old.Name == now.Name }), now)
		}
	}
	for i := range all {
		all[i].Body = bodies[all[i].Function]
	}
	return all
}

// compare says what is wrong with a trigger among those of the database, and whether enabling it mends that; empty: nothing. The worst is
// said first.
func (t trigger) compare(found []trigger) (fault string, off bool) {
	at := slices.IndexFunc(found, func(f trigger) bool { return f.Table == t.Table && f.Name == t.Name })
	if at < 0 {
		return "is missing", false
	}
	f := found[at]
	slices.Sort(f.When)
	switch {
	case !slices.Equal(slices.Sorted(slices.Values(t.When)), f.When):
		return "does not fire when it should: it is " + strings.ToLower(strings.Join(f.When, " ")), false
	case f.Function != t.Function || f.Body != t.Body:
		return "does another thing than the migrations make it do", false
	case f.Enabled == "D":
		return "is disabled", true
	case f.Enabled == "R":
		return "fires on replicas alone", true
	case f.Enabled != "A":
		return "is not ENABLE ALWAYS: whoever sets session_replication_role to replica passes it by", true
	}
	return "", false
}
