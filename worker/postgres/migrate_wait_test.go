package postgres_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"flowgate/worker/postgres"
	"flowgate/worker/workertest"
)

// at is an empty database at an older version of the schema.
func at(t *testing.T, version int) (url string) {
	t.Helper()
	url = workertest.EmptyDatabase(t)
	all, err := postgres.Migrations(postgres.DefaultSchema)
	if err != nil {
		t.Fatal(err)
	}
	statements := []string{"CREATE SCHEMA flowgate", "CREATE TABLE flowgate.schema_version (version int4 NOT NULL)"}
	for _, m := range all[:version] {
		statements = append(statements, m.SQL)
	}
	conn := connect(t, url)
	for _, sql := range append(statements, fmt.Sprintf("INSERT INTO flowgate.schema_version VALUES (%d)", version)) {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	return url
}

// reading is a transaction that has read admission and goes on, as a dump does.
func reading(t *testing.T, url string) pgx.Tx {
	t.Helper()
	tx, err := connect(t, url).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) })
	if _, err := tx.Exec(t.Context(), "SELECT FROM flowgate.admission"); err != nil {
		t.Fatal(err)
	}
	return tx
}

// At 13 the next migration changes admission.
const beforeRates = 13

func TestAMigrationThatWaitsForAReaderLetsAdmissionGoOn(t *testing.T) {
	t.Parallel()
	url := at(t, beforeRates)
	reader := reading(t, url)
	blocked := make(chan error)
	options := postgres.Options{OnBlocked: func(err error) { blocked <- err }}
	type end struct {
		from, to int
		err      error
	}
	ended := make(chan end, 1)
	go func() {
		from, to, err := postgres.Migrate(t.Context(), url, options)
		ended <- end{from, to, err}
	}()
	// The migration stands in the queue, or pauses: whenever it is, what admission does is let through before long.
	writer, worst := connect(t, url), time.Duration(0)
	for rounds := 0; rounds < 2; {
		select {
		case err := <-blocked:
			rounds++
			for _, word := range []string{"014_rates.sql", "others use what it changes", fmt.Sprint(reader.Conn().PgConn().PID())} {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("%q is missing: %v", word, err)
				}
			}
		case e := <-ended:
			t.Fatalf("ended with a reader there: %+v", e)
		default:
			began := time.Now()
			if _, err := writer.Exec(t.Context(), "UPDATE flowgate.admission SET reason = reason WHERE tenant = 'acme' AND id = 'r' AND epoch = 0"); err != nil {
				t.Fatal(err)
			}
			worst = max(worst, time.Since(began))
		}
	}
	t.Logf("the longest wait of a writer was %s", worst)
	if worst > 10*time.Second {
		t.Errorf("a writer waited for %s", worst)
	}
	if err := reader.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	for {
		select {
		case err := <-blocked: // it was in the queue still
			t.Log(err)
		case e := <-ended:
			if status, err := postgres.MigrationStatus(t.Context(), url, options); err != nil || e.err != nil || e.from != beforeRates || e.to != status.Latest || len(status.Pending) > 0 {
				t.Errorf("%+v, %+v, %v", e, status, err)
			}
			useAll(t, openURL(t, url))
			return
		}
	}
}

func TestAMigrationGivesUpOnAReaderThatStays(t *testing.T) {
	t.Parallel()
	url := at(t, beforeRates)
	reading(t, url)
	tries := 1
	options := postgres.Options{LockTimeout: time.Millisecond, OnBlocked: func(error) { tries++ }}
	_, _, err := postgres.Migrate(t.Context(), url, options)
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("tried %d times", tries)) || !strings.Contains(err.Error(), "`flowgate migrate` again") || tries > 100 {
		t.Errorf("after %d tries: %v", tries, err)
	}
	if status, err := postgres.MigrationStatus(t.Context(), url, options); err != nil || status.Version != beforeRates {
		t.Errorf("%+v, %v", status, err)
	}
}
