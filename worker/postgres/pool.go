package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// maxAge is when a connection is made anew, so that a failover or a new password reaches everyone.
	maxAge = time.Hour
	// closeGrace bounds the farewell to the server.
	closeGrace = 2 * time.Second
)

// pool lends connections. One that was broken, or left inside a transaction, is not lent again; one that lay idle for over
// a second is tried first.
type pool struct {
	config  *pgx.ConnConfig
	options Options
	conns   *pgxpool.Pool
}

// openPool makes a pool; it connects when the first connection is asked for.
func openPool(ctx context.Context, url string, options Options) (*pool, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, unreadable(err)
	}
	set(config.ConnConfig, options)
	config.MaxConns = int32(options.MaxConns) //nolint:gosec // validated
	config.MaxConnLifetime = maxAge
	conns, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("opening postgres: %w", err)
	}
	return &pool{config: config.ConnConfig, options: options, conns: conns}, nil
}

// with lends a connection to use, which MUST work with the context that it is given: it ends when the server has not
// answered for Options.AnswerTimeout.
func (p *pool) with(ctx context.Context, use func(context.Context, *pgx.Conn) error) error {
	return p.within(ctx, p.options.AnswerTimeout, use)
}

// within is with under another limit.
func (p *pool) within(ctx context.Context, limit time.Duration, use func(context.Context, *pgx.Conn) error) error {
	conn, err := p.lend(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err = use(bounded, conn.Conn())
	if err != nil && bounded.Err() != nil && ctx.Err() == nil {
		return fmt.Errorf("postgres has not answered within %s: %w", limit, err)
	}
	return err
}

// lend waits for a free connection, not for ever.
func (p *pool) lend(ctx context.Context) (*pgxpool.Conn, error) {
	waiting, cancel := context.WithTimeout(ctx, p.options.FreeTimeout)
	defer cancel()
	conn, err := p.conns.Acquire(waiting)
	if err == nil || ctx.Err() != nil {
		return conn, err
	}
	if stat := p.conns.Stat(); waiting.Err() != nil && stat.AcquiredConns() >= stat.MaxConns() {
		return nil, fmt.Errorf("all %d connections to postgres have been in use for %s: raise postgres.connection_pool_size", stat.MaxConns(), p.options.FreeTimeout)
	}
	return nil, unreached(err)
}

// close waits for the connections that are lent.
func (p *pool) close() { p.conns.Close() }

// closeConn says goodbye, whatever became of the caller's context.
func closeConn(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), closeGrace)
	defer cancel()
	_ = conn.Close(ctx) // nothing is left to be lost
}
