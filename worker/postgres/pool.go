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
	config *pgx.ConnConfig
	conns  *pgxpool.Pool
}

// openPool makes a pool; it connects when the first connection is asked for.
func openPool(ctx context.Context, url string, options Options) (*pool, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("reading the postgres url: %w", err) // pgx leaves the password out
	}
	set(config.ConnConfig, options)
	config.MaxConns = int32(options.MaxConns) //nolint:gosec // validated
	config.MaxConnLifetime = maxAge
	conns, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("opening postgres: %w", err)
	}
	return &pool{config: config.ConnConfig, conns: conns}, nil
}

// with lends a connection to use.
func (p *pool) with(ctx context.Context, use func(*pgx.Conn) error) error {
	conn, err := p.conns.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("connecting to postgres: %w", err)
	}
	defer conn.Release()
	return use(conn.Conn())
}

// close waits for the connections that are lent.
func (p *pool) close() { p.conns.Close() }

// closeConn says goodbye, whatever became of the caller's context.
func closeConn(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), closeGrace)
	defer cancel()
	_ = conn.Close(ctx) // nothing is left to be lost
}
