package postgres_test

import (
	"context"
	"testing"

	"flowgate/worker/postgres"
)

func TestLockIsHeldByOne(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first, err := b.Lock(t.Context(), "janitor")
	if err != nil {
		t.Fatal(err)
	}
	if _, held, err := b.TryLock(t.Context(), "janitor"); err != nil || held {
		t.Errorf("held twice: %t, %v", held, err)
	}
	other, held, err := b.TryLock(t.Context(), "another")
	if err != nil || !held {
		t.Fatalf("another lock: %t, %v", held, err)
	}
	defer other.Release()
	second := make(chan *postgres.Lock)
	go func() {
		lock, err := b.Lock(t.Context(), "janitor")
		if err != nil {
			t.Error(err)
		}
		second <- lock
	}()
	first.Release()
	first.Release()
	lock := <-second
	select {
	case <-first.Lost():
		t.Error("a released lock calls itself lost")
	default:
	}
	lock.Release()
}

func TestLockTellsWhenItIsLost(t *testing.T) {
	t.Parallel()
	b := setup(t)
	lock, err := b.Lock(t.Context(), "recorder")
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Release()
	b.sql(t, "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted AND pid <> pg_backend_pid()"+
		" AND database = (SELECT oid FROM pg_database WHERE datname = current_database())")
	<-lock.Lost()
	again, held, err := b.TryLock(t.Context(), "recorder")
	if err != nil || !held {
		t.Fatalf("the lock of a lost connection is not free: %t, %v", held, err)
	}
	again.Release()
}

func TestLockStopsWaitingWithItsContext(t *testing.T) {
	t.Parallel()
	b := setup(t)
	lock, err := b.Lock(t.Context(), "one")
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Release()
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error)
	go func() {
		_, err := b.Lock(ctx, "one")
		failed <- err
	}()
	cancel()
	if <-failed == nil {
		t.Error("no error")
	}
}
