package workertest

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Snapshot copies the database of that URL as it is now and returns what puts the copy in its place: what was committed
// meanwhile is lost, as with a replica that lagged behind. Whoever is connected is cut off, and may connect again afterwards;
// both take moments. restore may be called once.
func Snapshot(t testing.TB, database string) (restore func()) {
	t.Helper()
	name := databaseName(t, database)
	admin, err := withDatabase(database, "postgres")
	if err != nil {
		t.Fatal(err)
	}
	spare, lost := name+"_copy", name+"_lost"
	alone := func(statements ...string) {
		t.Helper()
		if err := whileAlone(t.Context(), admin, name, statements); err != nil {
			t.Fatalf("copying the database of the test: %v", err)
		}
	}
	t.Cleanup(func() {
		for _, left := range []string{spare, lost} {
			if err := administer(context.WithoutCancel(t.Context()), admin, fmt.Sprintf("DROP DATABASE IF EXISTS %s WITH (FORCE)", left)); err != nil {
				t.Errorf("dropping a copy of the database: %v", err)
			}
		}
	})
	alone(fmt.Sprintf("CREATE DATABASE %s TEMPLATE %s", spare, name))
	return func() {
		t.Helper()
		alone(fmt.Sprintf("ALTER DATABASE %s RENAME TO %s", name, lost), fmt.Sprintf("ALTER DATABASE %s RENAME TO %s", spare, name))
	}
}

// whileAlone runs statements while nobody is connected to a database.
func whileAlone(ctx context.Context, admin, name string, statements []string) error {
	conn, err := pgx.Connect(ctx, admin)
	if err != nil {
		return fmt.Errorf("connecting to the server: %w", err)
	}
	defer func() { _ = conn.Close(ctx) }() // the statements are through
	all := append([]string{
		fmt.Sprintf("ALTER DATABASE %s ALLOW_CONNECTIONS false", name),
		fmt.Sprintf("SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE datname = '%s'", name),
	}, statements...)
	for _, sql := range append(all, fmt.Sprintf("ALTER DATABASE %s ALLOW_CONNECTIONS true", name)) {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("%s: %w", strings.SplitN(sql, "(", 2)[0], err)
		}
	}
	return nil
}
