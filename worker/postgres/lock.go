package postgres

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

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

// lockPoll is how often a lock is tried that somebody else holds. To wait inside one statement would keep a snapshot open
// all the while, and vacuum from its work.
const lockPoll = time.Second

// Lock waits until this process holds the lock of that name, on a connection of its own outside the pool.
func (db *DB) Lock(ctx context.Context, name string) (*Lock, error) {
	conn, err := db.lockConn(ctx)
	if err != nil {
		return nil, fmt.Errorf("taking the lock %s: %w", name, err)
	}
	for {
		held, err := tryLock(ctx, conn, name)
		if err == nil && held {
			return watch(conn), nil
		}
		if err == nil {
			err = pause(ctx, lockPoll/2+rand.N(lockPoll/2)) //nolint:gosec // jitter is no secret
		}
		if err != nil {
			closeConn(conn)
			return nil, fmt.Errorf("taking the lock %s: %w", name, err)
		}
	}
}

// TryLock takes the lock of that name if nobody holds it; held tells whether it did.
func (db *DB) TryLock(ctx context.Context, name string) (lock *Lock, held bool, err error) {
	conn, err := db.lockConn(ctx)
	if err != nil {
		return nil, false, fmt.Errorf("taking the lock %s: %w", name, err)
	}
	if held, err = tryLock(ctx, conn, name); err != nil || !held {
		closeConn(conn)
		if err != nil {
			err = fmt.Errorf("taking the lock %s: %w", name, err)
		}
		return nil, false, err
	}
	return watch(conn), true, nil
}

// lockConn connects; the server looks after the connection too, so that the locks of a machine that vanished are free soon.
func (db *DB) lockConn(ctx context.Context) (*pgx.Conn, error) {
	config := db.pool.config.Copy()
	config.RuntimeParams["tcp_keepalives_idle"] = "5"
	config.RuntimeParams["tcp_keepalives_interval"] = "5"
	config.RuntimeParams["tcp_keepalives_count"] = "3"
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, unreached(err)
	}
	return conn, nil
}

func tryLock(ctx context.Context, conn *pgx.Conn, name string) (held bool, err error) {
	err = conn.QueryRow(ctx, "SELECT pg_try_advisory_lock(hashtextextended(current_schema() || '.lock.' || $1, 0))", name).Scan(&held)
	return held, err
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
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
