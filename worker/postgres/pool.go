package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// pingAfter is how long a connection may lie idle before it is tried first.
	pingAfter = time.Second
	// maxAge is when a connection is made anew, so that a failover or a new password reaches everyone.
	maxAge = time.Hour
	// closeGrace bounds the farewell to the server.
	closeGrace = 2 * time.Second
)

var errPoolClosed = errors.New("the database is closed")

// pool lends connections, at most as many as slots has places; the one used last is lent first.
type pool struct {
	config *pgx.ConnConfig
	slots  chan struct{}

	mu     sync.Mutex
	idle   []*lent
	closed bool
}

type lent struct {
	conn *pgx.Conn
	made time.Time
	used time.Time
}

func newPool(config *pgx.ConnConfig, most int) *pool {
	return &pool{config: config, slots: make(chan struct{}, most)}
}

// with lends a connection to use. A connection that was broken, or left inside a transaction, is not lent again.
func (p *pool) with(ctx context.Context, use func(*pgx.Conn) error) error {
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("waiting for a connection: %w", context.Cause(ctx))
	}
	defer func() { <-p.slots }()
	l, err := p.take(ctx)
	if err != nil {
		return err
	}
	defer p.giveBack(l)
	return use(l.conn)
}

func (p *pool) take(ctx context.Context) (*lent, error) {
	for {
		l, err := p.pop()
		if err != nil {
			return nil, err
		}
		if l == nil {
			return p.connect(ctx)
		}
		if time.Since(l.used) < pingAfter || l.conn.Ping(ctx) == nil {
			return l, nil
		}
		closeConn(l.conn)
	}
}

func (p *pool) pop() (*lent, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, errPoolClosed
	}
	if len(p.idle) == 0 {
		return nil, nil //nolint:nilnil // none idle is no error: the caller connects
	}
	l := p.idle[len(p.idle)-1]
	p.idle = p.idle[:len(p.idle)-1]
	return l, nil
}

func (p *pool) connect(ctx context.Context) (*lent, error) {
	conn, err := pgx.ConnectConfig(ctx, p.config.Copy())
	if err != nil {
		return nil, fmt.Errorf("connecting to postgres: %w", err)
	}
	return &lent{conn: conn, made: time.Now()}, nil
}

func (p *pool) giveBack(l *lent) {
	l.used = time.Now()
	whole := !l.conn.IsClosed() && l.conn.PgConn().TxStatus() == 'I' && l.used.Sub(l.made) < maxAge
	p.mu.Lock()
	keep := whole && !p.closed
	if keep {
		p.idle = append(p.idle, l)
	}
	p.mu.Unlock()
	if !keep {
		closeConn(l.conn)
	}
}

// close waits for the connections that are lent.
func (p *pool) close() {
	p.mu.Lock()
	already := p.closed
	p.closed = true
	idle := p.idle
	p.idle = nil
	p.mu.Unlock()
	for _, l := range idle {
		closeConn(l.conn)
	}
	if already {
		return
	}
	for range cap(p.slots) {
		p.slots <- struct{}{}
	}
	for range cap(p.slots) {
		<-p.slots
	}
}

// closeConn says goodbye, whatever became of the caller's context.
func closeConn(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), closeGrace)
	defer cancel()
	_ = conn.Close(ctx) // nothing is left to be lost
}
