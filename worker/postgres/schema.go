package postgres

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5"
)

// DefaultSchema is the schema that everything is in where the options name no other.
const DefaultSchema = "flowgate"

// schemaForm is the form of a schema's name: one that needs no quotes. Statements name no schema; each connection's
// search_path does.
var schemaForm = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,62}$`)

func checkSchema(name string) error {
	if !schemaForm.MatchString(name) || strings.HasPrefix(name, "pg_") || name == "public" || name == "information_schema" {
		return fmt.Errorf("schema is %q, must be one of its own: a-z, 0-9 and _, at most 63 of them, no digit first, not public", name)
	}
	return nil
}

// schemaWord is the schema in the files of migrations, where it is written out.
var schemaWord = regexp.MustCompile(`\b` + DefaultSchema + `\b`)

// inSchema moves a migration into another schema.
func inSchema(sql, schema string) string {
	if schema == DefaultSchema {
		return sql
	}
	return schemaWord.ReplaceAllLiteralString(sql, schema)
}

// Grants are the statements that give a role what workers and operators need: reading and writing rows, not the shape of
// tables; rows of AuditTables it may only read and add. The role that migrates runs them, once: they hold for what later migrations make
// too, but for audit tables.
func Grants(schema, role string) []string {
	in, to := pgx.Identifier{schema}.Sanitize(), pgx.Identifier{role}.Sanitize()
	var audited []string
	for _, table := range AuditTables() {
		audited = append(audited, in+"."+table)
	}
	return []string{
		"GRANT USAGE ON SCHEMA " + in + " TO " + to,
		"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA " + in + " TO " + to,
		"GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA " + in + " TO " + to,
		"REVOKE INSERT, UPDATE, DELETE ON " + in + ".schema_version FROM " + to,
		"REVOKE UPDATE, DELETE ON " + strings.Join(audited, ", ") + " FROM " + to,
		"DO $of$ DECLARE one regclass; BEGIN FOR one IN SELECT inhrelid FROM pg_inherits WHERE inhparent = '" + in + ".outcome'::regclass LOOP " +
			"EXECUTE 'REVOKE UPDATE, DELETE ON ' || one || $to$ FROM " + to + "$to$; END LOOP; END $of$",
		"ALTER DEFAULT PRIVILEGES IN SCHEMA " + in + " GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO " + to,
		"ALTER DEFAULT PRIVILEGES IN SCHEMA " + in + " GRANT EXECUTE ON FUNCTIONS TO " + to,
	}
}

// Grant gives a role what Grants say, in one transaction. A role that is not there is an error.
func Grant(ctx context.Context, url string, options Options, role string) error {
	return migrating(ctx, url, options, func(conn *pgx.Conn, schema string) error {
		err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			for _, sql := range Grants(schema, role) {
				if _, err := tx.Exec(ctx, sql); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("granting %s what workers need: %w", role, err)
		}
		return nil
	})
}
