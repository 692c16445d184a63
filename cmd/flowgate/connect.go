package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"flowgate/configs"
	"flowgate/worker"
	"flowgate/worker/postgres"
	"flowgate/worker/state"
)

// connOptions are those of every connection: it never gives up, and tells when it is away.
func connOptions(log *zap.Logger) []nats.Option {
	return []nats.Option{
		nats.Name("flowgate"), nats.MaxReconnects(-1), nats.ReconnectWait(250 * time.Millisecond), nats.ReconnectJitter(100*time.Millisecond, time.Second),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				log.Warn("the broker is away", zap.Error(err))
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) { log.Info("the broker is back") }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { log.Warn("broker", zap.Error(err)) }),
	}
}

func newJetStream(conn *nats.Conn) (jetstream.JetStream, error) {
	js, err := jetstream.New(conn,
		jetstream.WithPublishAsyncMaxPending(4096), jetstream.WithPublishAsyncTimeout(5*time.Second))
	if err != nil {
		return nil, fmt.Errorf("opening JetStream: %w", err)
	}
	return js, nil
}

// client is how a command reaches a running flowgate.
type client struct {
	conn *nats.Conn
	js   jetstream.JetStream
	db   *postgres.DB
}

func (c *client) close() {
	if c.conn != nil {
		c.conn.Close()
	}
	if c.db != nil {
		c.db.Close()
	}
}

// startPatience is how long a command waits for a process that is starting.
const startPatience = 15 * time.Second

// running is how the process of the state folder is reached. One that is starting is waited for.
func (g *globals) running(ctx context.Context, s configs.Settings) (dir string, info state.Info, err error) {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	if dir, err = g.dir(s); err != nil {
		return dir, info, err
	}
	for delays, round := worker.DefaultDelays(), 1; ; round++ {
		if info, err = state.Read(dir); !errors.Is(err, state.ErrNotReady) || !delays.Pause(ctx, round) {
			return dir, info, err
		}
	}
}

// reach finds the broker (and the database, where it is needed) by NATS_URL and DATABASE_URL, else by the state folder of
// a running `flowgate up`.
func reach(ctx context.Context, g *globals, needDB bool) (*client, error) {
	settings, err := g.load()
	if err != nil {
		return nil, err
	}
	c := &client{}
	options := connOptions(zap.NewNop())
	natsURL, dbURL := settings.Flowgate.NATSURL.Reveal(), settings.DatabaseURL().Reveal()
	dir, running, err := g.running(ctx, settings)
	if err == nil && natsURL == running.NATSURL {
		natsURL = "" // NATS_URL is set for other clients of this very broker: an operator needs its credentials
	}
	if natsURL == "" || needDB && dbURL == "" {
		if errors.Is(err, state.ErrNotRunning) {
			err = fmt.Errorf("%w; start it with `flowgate up`, or name NATS_URL and DATABASE_URL", err)
		}
		if err != nil {
			return nil, environmentError{err}
		}
		if natsURL == "" {
			if natsURL = running.NATSURL; natsURL == "" {
				return nil, environmentError{fmt.Errorf("process %d in %s has no listener for NATS clients: see the setting flowgate.listen", running.PID, dir)}
			}
			options = append(options, (&lead{dir: dir, info: running}).options()...)
		}
		if dbURL == "" {
			dbURL = running.DatabaseURL
		}
	}
	if c.conn, err = nats.Connect(natsURL, options...); err != nil {
		return nil, environmentError{fmt.Errorf("connecting to the broker: %w", err)}
	}
	if c.js, err = newJetStream(c.conn); err != nil {
		c.close()
		return nil, err
	}
	if needDB {
		if c.db, err = postgres.Open(ctx, dbURL, databaseOptions(settings)); err != nil {
			c.close()
			return nil, environmentError{err}
		}
	}
	return c, nil
}
