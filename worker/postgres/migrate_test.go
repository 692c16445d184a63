package postgres_test

import (
	"errors"
	"sync"
	"testing"

	"flowgate/worker/postgres"
	"flowgate/worker/workertest"
)

func TestMigrateFromNothingConcurrently(t *testing.T) {
	t.Parallel()
	url := workertest.EmptyDatabase(t)
	before, err := postgres.MigrationStatus(t.Context(), url)
	if err != nil || before.Version != 0 || len(before.Pending) != before.Latest || before.Latest == 0 {
		t.Fatalf("status is %+v, %v", before, err)
	}
	const processes = 6
	faults, began := make([]error, processes), make([]int, processes)
	var group sync.WaitGroup
	for i := range processes {
		group.Go(func() {
			from, to, err := postgres.Migrate(t.Context(), url)
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
	after, err := postgres.MigrationStatus(t.Context(), url)
	if err != nil || after.Version != after.Latest || len(after.Pending) != 0 {
		t.Errorf("status is %+v, %v", after, err)
	}
}

func TestMigrateRefusesANewerDatabase(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.sql(t, "UPDATE flowgate.schema_version SET version = 99")
	if _, _, err := postgres.Migrate(t.Context(), b.url); err == nil {
		t.Error("no error")
	}
	if status, err := postgres.MigrationStatus(t.Context(), b.url); err != nil || status.Version != 99 {
		t.Errorf("status is %+v, %v", status, err)
	}
}

// The schema needs no rights beyond making a schema in the database.
func TestMigrateAsAnOrdinaryRole(t *testing.T) {
	t.Parallel()
	url := workertest.EmptyDatabase(t)
	plain := workertest.OrdinaryRole(t, url)
	if _, _, err := postgres.Migrate(t.Context(), plain); err != nil {
		t.Fatal(err)
	}
	db := openURL(t, plain)
	if _, err := db.Admit(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if err := db.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
}
