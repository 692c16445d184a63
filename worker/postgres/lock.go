package postgres

import (
	"context"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5"
)

// Lock is a held advisory lock of the deployment. It lives as long as its connection.
type Lock struct {
	lost    chan struct{}
	release func()
}

// Lost is closed when the connection was lost, and the lock with it, before Release: whoever holds it MUST stop at once.
func (l *Lock) Lost() <-chan struct{} { return l.lost }

// Release gives the lock back and waits until that is done. It may be called more than once.
func (l *Lock) Release() { l.release() }

// Lock waits until this process holds the lock of that name, on a connection of its own outside the pool.
func (db *DB) Lock(ctx context.Context, name string) (*Lock, error) {
	lock, _, err := db.lock(ctx, name, "SELECT true FROM pg_advisory_lock(hashtextextended('flowgate.lock.' || $1, 0))")
	return lock, err
}

// TryLock takes the lock of that name if nobody holds it; held tells whether it did.
func (db *DB) TryLock(ctx context.Context, name string) (lock *Lock, held bool, err error) {
	return db.lock(ctx, name, "SELECT pg_try_advisory_lock(hashtextextended('flowgate.lock.' || $1, 0))")
}

func (db *DB) lock(ctx context.Context, name, sql string) (lock *Lock, held bool, err error) {
	config := db.pool.config.Copy()
	config.RuntimeParams["lock_timeout"] = "0" // to wait is the point
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, false, fmt.Errorf("taking the lock %s: %w", name, err)
	}
	if err := conn.QueryRow(ctx, sql, name).Scan(&held); err != nil {
		closeConn(conn)
		return nil, false, fmt.Errorf("taking the lock %s: %w", name, err)
	}
	if !held {
		closeConn(conn)
		return nil, false, nil
	}
	return watch(conn), true, nil
}

// watch reads from the connection, on which nothing is expected, so that its end is seen at once; dead peers are found by
// TCP keepalive.
func watch(conn *pgx.Conn) *Lock {
	ctx, cancel := context.WithCancel(context.Background())
	l := &Lock{lost: make(chan struct{})}
	var watcher sync.WaitGroup
	watcher.Go(func() {
		for {
			if _, err := conn.WaitForNotification(ctx); err != nil {
				break
			}
		}
		if ctx.Err() == nil {
			close(l.lost)
		}
		closeConn(conn)
	})
	l.release = func() {
		cancel()
		watcher.Wait()
	}
	return l
}
