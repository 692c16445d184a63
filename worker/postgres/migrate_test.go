package postgres_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"flowgate/messages"
	"flowgate/worker"
	"flowgate/worker/postgres"
	"flowgate/worker/workertest"
)

func TestMigrateFromNothingConcurrently(t *testing.T) {
	t.Parallel()
	url := workertest.EmptyDatabase(t)
	before, err := postgres.MigrationStatus(t.Context(), url, postgres.DefaultOptions())
	if err != nil || before.Version != 0 || len(before.Pending) != before.Latest || before.Latest == 0 {
		t.Fatalf("status is %+v, %v", before, err)
	}
	const processes = 6
	faults, began := make([]error, processes), make([]int, processes)
	var group sync.WaitGroup
	for i := range processes {
		group.Go(func() {
			from, to, err := postgres.Migrate(t.Context(), url, postgres.DefaultOptions())
			if err == nil && to != before.Latest {
				err = errors.New("it did not reach the latest version")
			}
			began[i], faults[i] = from, err
		})
	}
	group.Wait()
	if err := errors.Join(faults...); err != nil {
		t.Fatal(err)
	}
	fresh := 0
	for _, from := range began {
		if from == 0 {
			fresh++
		}
	}
	if fresh != 1 {
		t.Errorf("%d processes migrated, want 1", fresh)
	}
	after, err := postgres.MigrationStatus(t.Context(), url, postgres.DefaultOptions())
	if err != nil || after.Version != after.Latest || len(after.Pending) != 0 {
		t.Errorf("status is %+v, %v", after, err)
	}
}

func TestMigrateLeavesANewerDatabaseAlone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.sql(t, "UPDATE flowgate.schema_version SET version = 99")
	if from, to, err := postgres.Migrate(t.Context(), b.url, postgres.DefaultOptions()); err != nil || from != 99 || to != 99 {
		t.Errorf("from %d to %d, %v", from, to, err)
	}
	status, err := postgres.MigrationStatus(t.Context(), b.url, postgres.DefaultOptions())
	if err != nil || status.Version != 99 || status.Latest >= 99 || len(status.Pending) != 0 {
		t.Errorf("status is %+v, %v", status, err)
	}
}

// The schema needs no rights beyond making a schema in the database.
func TestMigrateAsAnOrdinaryRole(t *testing.T) {
	t.Parallel()
	url := workertest.EmptyDatabase(t)
	plain := workertest.OrdinaryRole(t, url)
	if _, _, err := postgres.Migrate(t.Context(), plain, postgres.DefaultOptions()); err != nil {
		t.Fatal(err)
	}
	useAll(t, openURL(t, plain))
}

// useAll does what workers do: it admits, records, asks, locks and maintains.
func useAll(t *testing.T, db *postgres.DB) {
	t.Helper()
	b := &bundle{DB: db, position: worker.Position{Stream: "FLOWGATE_WORK_0"}}
	b.admit(t, member("one", 1, 1000, scope("day", 1_000_000)))
	b.end(t, "one", 2, 77, "day")
	if _, err := db.Result(t.Context(), messages.Key{Tenant: "acme", ID: "one"}); err != nil {
		t.Error(err)
	}
	if _, _, err := db.RegisterBatch(t.Context(), postgres.Batch{Tenant: "acme", Name: "b", Digest: "d", Total: 1}, false); err != nil {
		t.Error(err)
	}
	if findings, err := db.Check(t.Context()); err != nil || slices.ContainsFunc(findings, func(f postgres.Finding) bool { return !f.OK }) {
		t.Errorf("%+v, %v", findings, err)
	}
	lock, err := db.Lock(t.Context(), "chore")
	if err != nil {
		t.Fatal(err)
	}
	lock.Release()
	if err := db.Maintain(t.Context()); err != nil {
		t.Error(err)
	}
	// Two days later partitions are dropped and made.
	if err := db.DropEndedAt(t.Context(), time.Now().Add(48*time.Hour)); err != nil {
		t.Error(err)
	}
	if err := db.EnsurePartitions(t.Context()); err != nil {
		t.Error(err)
	}
	if over, err := db.SpentOver(t.Context(), "ay", 77, 1); err != nil || len(over) != 1 || over[0].Settled != 77 {
		t.Errorf("%+v, %v", over, err)
	}
	if status, err := db.Status(t.Context()); err != nil || len(status.Pending) != 0 || status.Version != status.Latest {
		t.Errorf("%+v, %v", status, err)
	}
}

// Whoever migrates owns the tables; workers have rows alone.
func TestAWorkersRoleHasRowsAlone(t *testing.T) {
	t.Parallel()
	url := workertest.EmptyDatabase(t)
	owner := connect(t, workertest.OrdinaryRole(t, url))
	name, as := workertest.Role(t, url, "worker")
	if _, _, err := postgres.Migrate(t.Context(), owner.Config().ConnString(), postgres.DefaultOptions()); err != nil {
		t.Fatal(err)
	}
	if _, err := postgres.MigrationStatus(t.Context(), as, postgres.DefaultOptions()); err == nil || !strings.Contains(err.Error(), "permission denied") {
		t.Errorf("before the grants: %v", err)
	}
	for range 2 { // again changes nothing
		if err := postgres.Grant(t.Context(), owner.Config().ConnString(), postgres.DefaultOptions(), name); err != nil {
			t.Fatal(err)
		}
	}
	if err := postgres.Grant(t.Context(), owner.Config().ConnString(), postgres.DefaultOptions(), "nobody"); err == nil || !strings.Contains(err.Error(), `"nobody" does not exist`) {
		t.Error(err)
	}
	db := openURL(t, as)
	useAll(t, db)
	hand := connect(t, as)
	if _, err := hand.Exec(t.Context(), "SELECT flowgate.ensure_partitions('2098-01-15')"); err != nil { // of a month after the grants
		t.Error(err)
	}
	if all, err := db.Changers(t.Context()); err != nil || slices.ContainsFunc(all, func(c postgres.Changer) bool { return c.Role == name }) {
		t.Errorf("%+v: %v", all, err)
	}
	for _, sql := range []string{
		"CREATE TABLE flowgate.mine (x int)",
		"DROP TABLE flowgate.outcome_default",
		"ALTER TABLE flowgate.outcome ADD COLUMN mine int",
		"TRUNCATE flowgate.event",
		"DELETE FROM flowgate.event",
		"UPDATE flowgate.outcome SET cost_microusd = 0",
		"DELETE FROM flowgate.outcome_default",
		"UPDATE flowgate.outcome_209801 SET cost_microusd = 0",
		"UPDATE flowgate.schema_version SET version = 0",
		"SELECT flowgate.drop_pending('outcome_default')",
		"SELECT flowgate.drop_pending('admission_pending_default')",
		"SELECT flowgate.ensure_partition('outcome', '209901', '2099-01-01', '2099-02-01')",
	} {
		if _, err := hand.Exec(t.Context(), sql); err == nil || strings.Contains(err.Error(), "are only added") { // its rights end before a trigger says so
			t.Errorf("the worker's role may %s: %v", sql, err)
		}
	}
	// What later migrations make is granted already.
	for _, sql := range []string{"CREATE TABLE flowgate.later (x int)", "INSERT INTO flowgate.later VALUES (1)"} {
		if _, err := owner.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := hand.Exec(t.Context(), "DELETE FROM flowgate.later"); err != nil {
		t.Error(err)
	}
	stranger, theirs := workertest.Role(t, url, "stranger")
	if _, err := connect(t, theirs).Exec(t.Context(), "SELECT flowgate.ensure_partitions(now())"); err == nil {
		t.Errorf("%s may make partitions", stranger)
	}
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}

func TestTwoSchemasOfOneDatabase(t *testing.T) {
	t.Parallel()
	url := workertest.EmptyDatabase(t)
	options := postgres.Options{Schema: "gate_2"}
	if _, to, err := postgres.Migrate(t.Context(), url, options); err != nil || to == 0 {
		t.Fatal(to, err)
	}
	db, err := postgres.Open(t.Context(), url, options)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	useAll(t, db)
	raw := connect(t, url)
	var left int
	if err := raw.QueryRow(t.Context(), `SELECT count(*) FROM pg_proc WHERE prosrc ~ '\mflowgate\M' OR array_to_string(proconfig, ' ') ~ '\mflowgate\M'`).Scan(&left); err != nil || left != 0 {
		t.Errorf("%d functions speak of the schema flowgate: %v", left, err)
	}
	if s, err := postgres.MigrationStatus(t.Context(), url, postgres.DefaultOptions()); err != nil || s.Version != 0 {
		t.Errorf("the other schema is %+v, %v", s, err)
	}
	if _, _, err := postgres.Migrate(t.Context(), url, postgres.DefaultOptions()); err != nil {
		t.Fatal(err)
	}
	other := openURL(t, url)
	if n, err := other.CountOutcomes(t.Context(), "acme"); err != nil || n != 0 {
		t.Errorf("%d outcomes, %v", n, err)
	}
	lock, err := db.Lock(t.Context(), "recorder")
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Release()
	theirs, held, err := other.TryLock(t.Context(), "recorder")
	if err != nil || !held {
		t.Fatalf("schemas share locks: %v", err)
	}
	theirs.Release()
	for _, bad := range []string{"public", "pg_mine", "a-b", "1", "A", "x.y", strings.Repeat("x", 64), `x"; DROP`} {
		if _, _, err := postgres.Migrate(t.Context(), url, postgres.Options{Schema: bad}); err == nil || !strings.Contains(err.Error(), "schema") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

// The search_path says which schema is meant; a statement that names one works in that one alone.
func TestStatementsNameNoSchema(t *testing.T) {
	t.Parallel()
	objects := map[string]bool{}
	all, err := postgres.Migrations(postgres.DefaultSchema)
	if err != nil {
		t.Fatal(err)
	}
	made := regexp.MustCompile(`CREATE (?:OR REPLACE )?(?:TABLE|VIEW|FUNCTION) flowgate\.(\w+)`)
	for _, m := range all {
		for _, found := range made.FindAllStringSubmatch(m.SQL, -1) {
			objects[found[1]] = true
		}
	}
	if len(objects) < 20 {
		t.Fatalf("only %d tables and functions found", len(objects))
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile(`flowgate\.(\w+)`)
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for n, line := range strings.Split(string(data), "\n") {
			if strings.HasSuffix(file, "_test.go") || strings.HasPrefix(strings.TrimSpace(line), "//") || strings.Contains(line, "// raised by") {
				continue
			}
			for _, found := range named.FindAllStringSubmatch(line, -1) {
				if objects[found[1]] {
					t.Errorf("%s:%d names the schema: write %s", file, n+1, found[1])
				}
			}
		}
	}
}
