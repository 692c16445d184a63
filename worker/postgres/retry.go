package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/jackc/pgx/v5/pgconn"
)

// SQLSTATEs that are told apart.
const (
	stateDeadlock      = "40P01"
	stateSerialization = "40001"
	stateLockTimeout   = "55P03"
	statePosition      = "FG001" // raised by flowgate.record_begin
	stateStarting      = "57P03"
	stateCrowded       = "53300"
	stateNoDatabase    = "3D000"
	stateBadText       = "22P02"
	stateBadJSON       = "22P05"
)

// conflictTries is how often a statement is tried that others stood in the way of.
const conflictTries = 6

// sqlState is the SQLSTATE of an error that the server answered with, else empty.
func sqlState(err error) string {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pg.Code
	}
	return ""
}

// conflict tells whether another transaction stood in the way: trying again can help.
func conflict(err error) bool {
	switch sqlState(err) {
	case stateDeadlock, stateSerialization, stateLockTimeout:
		return true
	}
	return false
}

// blamesInput tells whether the server objects to what it was given (class 22 data, 23 constraints, P0 raised), rather than
// being unwell or not migrated.
func blamesInput(err error) bool {
	state := sqlState(err)
	if len(state) != 5 {
		return false
	}
	switch state[:2] {
	case "22", "23", "P0", "54":
		return true
	}
	return false
}

// withRetries repeats do while it meets conflicts, a few times with full jitter. The last error is returned as it was.
func withRetries(ctx context.Context, do func() error) error {
	policy := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(5*time.Millisecond), backoff.WithMaxInterval(250*time.Millisecond),
		backoff.WithRandomizationFactor(1), backoff.WithMultiplier(3), backoff.WithMaxElapsedTime(0),
	)
	var last error
	err := backoff.Retry(func() error {
		last = do()
		if last != nil && !conflict(last) {
			return backoff.Permanent(last)
		}
		return last
	}, backoff.WithContext(backoff.WithMaxRetries(policy, conflictTries-1), ctx))
	if err != nil && ctx.Err() == nil {
		return last
	}
	return err
}
