package postgres_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"flowgate/worker/postgres"
	"flowgate/worker/workertest"
)

func TestPoolOutlivesItsConnections(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if err := b.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.sql(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
	// The first use may meet the dead connection; it is not lent again.
	_ = b.Ping(t.Context())
	if err := b.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestPoolIsBounded(t *testing.T) {
	t.Parallel()
	url := workertest.Database(t)
	db, err := postgres.Open(t.Context(), url, postgres.Options{MaxConns: 2})
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	faults := make([]error, 20)
	for i := range faults {
		group.Go(func() { _, faults[i] = db.Position(t.Context(), "s") })
	}
	group.Wait()
	if err := errors.Join(faults...); err != nil {
		t.Error(err)
	}
	db.Close()
	db.Close()
	if err := db.Ping(t.Context()); err == nil {
		t.Error("a closed database answers")
	}
}

func TestOpenReportsEveryFault(t *testing.T) {
	t.Parallel()
	_, err := postgres.Open(t.Context(), "", postgres.Options{MaxConns: -1, LockTimeout: -time.Second, ConnectTimeout: time.Nanosecond})
	if err == nil {
		t.Fatal("no error")
	}
	var joined interface{ Unwrap() []error }
	if !errors.As(err, &joined) || len(joined.Unwrap()) != 3 {
		t.Errorf("error is %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := postgres.Open(ctx, workertest.Database(t), postgres.Options{}); err == nil {
		t.Error("no error for an ended context")
	}
}
