package sessions

import (
	"context"
	"errors"
	"fmt"
)

// Database is what the check of Postgres needs.
type Database interface {
	// Server asks the server for its version and the name of the database.
	Server(ctx context.Context) (version, database string, err error)
	// Connections counts the pool's connections that are lent, and how many there may be.
	Connections() (lent, most int)
}

// PostgresProbe asks the database through the pool that everyone uses: where that is exhausted, nobody is served.
type PostgresProbe struct {
	DB Database
	// Source says where the address comes from.
	Source string
}

// Name makes it a Probe.
func (p PostgresProbe) Name() string { return "postgres" }

// Check makes it a Probe.
func (p PostgresProbe) Check(ctx context.Context) (Finding, error) {
	f := Finding{Source: p.Source}
	version, database, err := p.DB.Server(ctx)
	lent, most := p.DB.Connections()
	if errors.Is(err, context.DeadlineExceeded) && lent >= most {
		return f, fmt.Errorf("all %d connections of the pool are in use: %w", most, err)
	}
	if err != nil {
		return f, err
	}
	f.Detail = fmt.Sprintf("PostgreSQL %s, database %s, %d of %d connections in use", version, database, lent, most)
	return f, nil
}
