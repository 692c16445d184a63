package workertest

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"flowgate/worker/postgres"
	"flowgate/worker/postgres/private"
)

// startGrace bounds starting the server and migrating the template.
const startGrace = 2 * time.Minute

// server is the Postgres of this test binary, started when first asked for.
var server struct {
	sync.Mutex

	admin    string // URL of a database from which others are created
	template string // name of the migrated database that they are copied from
	stop     func() error
	count    atomic.Int64
}

// Database returns the URL of a fresh, migrated database that is dropped when the test ends. The server is a private,
// non-durable Postgres, started once per test binary, or the one that TEST_DATABASE_URL names (a role that may create
// databases). A package that calls this SHOULD call Main from its TestMain. A missing Postgres fails the test.
func Database(t testing.TB) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startGrace)
	defer cancel()
	admin, template, err := ensureServer(ctx)
	if err != nil {
		t.Fatalf("starting a postgres for tests: %v", err)
	}
	name := fmt.Sprintf("%s_%d", template, server.count.Add(1))
	if err := administer(ctx, admin, fmt.Sprintf("CREATE DATABASE %s TEMPLATE %s", name, template)); err != nil {
		t.Fatalf("creating a database for the test: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), startGrace)
		defer cancel()
		if err := administer(ctx, admin, fmt.Sprintf("DROP DATABASE IF EXISTS %s WITH (FORCE)", name)); err != nil {
			t.Errorf("dropping the database of the test: %v", err)
		}
	})
	return databaseURL(t, admin, name)
}

// EmptyDatabase returns the URL of a database that has nothing of flowgate in it; otherwise it is like Database.
func EmptyDatabase(t testing.TB) string {
	t.Helper()
	migrated := Database(t)
	conn, err := pgx.Connect(t.Context(), migrated)
	if err != nil {
		t.Fatalf("connecting to the database of the test: %v", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	if _, err := conn.Exec(t.Context(), "DROP SCHEMA flowgate CASCADE"); err != nil {
		t.Fatalf("emptying the database of the test: %v", err)
	}
	return migrated
}

// Main runs the tests of a package and stops what Database started; nothing of it runs when Main returns, so that leaks
// can be looked for. Keys of real providers are put aside before. It returns the exit code.
func Main(m *testing.M) int {
	Keyless()
	code := m.Run()
	if err := stopServer(); err != nil {
		fmt.Fprintln(os.Stderr, "stopping the postgres for tests:", err)
		return max(code, 1)
	}
	return code
}

func ensureServer(ctx context.Context) (admin, template string, err error) {
	server.Lock()
	defer server.Unlock()
	if server.stop != nil {
		return server.admin, server.template, nil
	}
	admin, stop := os.Getenv("TEST_DATABASE_URL"), func() error { return nil }
	if admin == "" {
		if admin, stop, err = startServer(ctx); err != nil {
			return "", "", err
		}
	}
	template = fmt.Sprintf("flowgate_test_%d", os.Getpid())
	if err := makeTemplate(ctx, admin, template); err != nil {
		_ = stop() // why the template failed says more
		return "", "", err
	}
	server.admin, server.template, server.stop = admin, template, stop
	return admin, template, nil
}

func startServer(ctx context.Context) (admin string, stop func() error, err error) {
	if os.Getenv("FLOWGATE_FETCH_POSTGRES") == "1" { // as `make test` says
		if _, err := private.Ensure(ctx, private.Fetch{Say: func(s string) { fmt.Fprintln(os.Stderr, s) }}); err != nil {
			return "", nil, err
		}
	}
	dir, err := os.MkdirTemp("", "flowgate-test-*")
	if err != nil {
		return "", nil, fmt.Errorf("making the folder of the server: %w", err)
	}
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // for root, the server may run under another user
		return "", nil, fmt.Errorf("opening the folder of the server: %w", err)
	}
	s, err := private.Start(ctx, private.Options{Dir: dir, Templates: private.TemplateDir(), Settings: map[string]string{"max_connections": "200"}})
	if err != nil {
		_ = os.RemoveAll(dir) // why the start failed says more
		return "", nil, err
	}
	return s.URL("postgres"), func() error {
		if err := s.Stop(); err != nil {
			return err
		}
		return os.RemoveAll(dir)
	}, nil
}

func makeTemplate(ctx context.Context, admin, name string) error {
	if err := administer(ctx, admin, "CREATE DATABASE "+name); err != nil {
		return err
	}
	target, err := withDatabase(admin, name)
	if err != nil {
		return err
	}
	if _, _, err := postgres.Migrate(ctx, target, postgres.DefaultOptions()); err != nil {
		return fmt.Errorf("migrating the template: %w", err)
	}
	return nil
}

func stopServer() error {
	server.Lock()
	defer server.Unlock()
	if server.stop == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), startGrace)
	defer cancel()
	if err := administer(ctx, server.admin, fmt.Sprintf("DROP DATABASE IF EXISTS %s WITH (FORCE)", server.template)); err != nil {
		return err
	}
	err := server.stop()
	server.stop = nil
	return err
}

// administer runs one statement on a connection of its own.
func administer(ctx context.Context, url, sql string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return fmt.Errorf("connecting to the server: %w", err)
	}
	defer func() { _ = conn.Close(ctx) }() // the statement is through
	if _, err := conn.Exec(ctx, sql); err != nil {
		return fmt.Errorf("%s: %w", sql, err)
	}
	return nil
}

func databaseURL(t testing.TB, admin, name string) string {
	t.Helper()
	s, err := withDatabase(admin, name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func withDatabase(admin, name string) (string, error) {
	u, err := url.Parse(admin)
	if err != nil {
		return "", fmt.Errorf("reading the server's url: %w", err)
	}
	u.Path = "/" + name
	return u.String(), nil
}

// OrdinaryRole makes a role that may make schemas in the database of that URL and nothing else, and returns the URL with
// which it connects.
func OrdinaryRole(t testing.TB, database string) string {
	t.Helper()
	role, as := Role(t, database, "ordinary")
	if err := administer(t.Context(), database, fmt.Sprintf("GRANT CREATE ON DATABASE %s TO %s", databaseName(t, database), role)); err != nil {
		t.Fatalf("making an ordinary role: %v", err)
	}
	return as
}

// Role makes a role that may do nothing but connect to the database of that URL, and returns its name and the URL with which
// it connects. Names are apart by word.
func Role(t testing.TB, database, word string) (name, as string) {
	t.Helper()
	name = databaseName(t, database) + "_" + word
	if err := administer(t.Context(), database, fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD 'ordinary'", name)); err != nil {
		t.Fatalf("making a role: %v", err)
	}
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		if err := administer(ctx, database, fmt.Sprintf("DROP OWNED BY %s CASCADE", name)); err != nil {
			t.Errorf("dropping what the role owns: %v", err)
		}
		if err := administer(ctx, database, "DROP ROLE "+name); err != nil {
			t.Errorf("dropping the role: %v", err)
		}
	})
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(name, "ordinary")
	return name, u.String()
}

func databaseName(t testing.TB, database string) string {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(u.Path, "/")
}
