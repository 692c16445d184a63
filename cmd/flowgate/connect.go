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
	"flowgate/worker/broker"
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

// running is how the process of the state folder is reached, or workers in it. One that is starting is waited for.
func (g *globals) running(ctx context.Context, s configs.Settings) (dir string, info state.Info, err error) {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	if dir, err = g.dir(s); err != nil {
		return dir, info, err
	}
	for delays, round := worker.DefaultDelays(), 1; ; round++ {
		if info, err = state.Read(dir); !errors.Is(err, state.ErrNotReady) || !delays.Pause(ctx, round) {
			break
		}
	}
	if errors.Is(err, state.ErrNotRunning) && !errors.Is(err, state.ErrNotReady) {
		if workers, wrong := state.ReadWorkers(dir); wrong == nil {
			return dir, workers, nil
		}
	}
	return dir, info, err
}

// reach finds the broker (and the database, where it is needed) by settings (NATS_URL and DATABASE_URL), else by the state
// folder of a running `flowgate up`, else by those of running workers.
func reach(ctx context.Context, g *globals, needDB bool) (*client, error) {
	settings, err := g.load()
	if err != nil {
		return nil, err
	}
	c := &client{}
	if c.conn, err = g.reachBroker(ctx, settings); err != nil {
		return nil, environmentError{err}
	}
	if c.js, err = newJetStream(c.conn); err != nil {
		c.close()
		return nil, err
	}
	if needDB {
		if c.db, err = g.reachDatabase(ctx, settings); err != nil {
			c.close()
			return nil, environmentError{err}
		}
	}
	return c, nil
}

func (g *globals) reachBroker(ctx context.Context, s configs.Settings) (*nats.Conn, error) {
	options := connOptions(zap.NewNop())
	dir, running, err := g.running(ctx, s)
	named := s.Flowgate.NATS.User != "" || s.Flowgate.NATS.CredentialsFile != "" || s.Flowgate.NATS.NKeyFile != ""
	own := err == nil && running.OperatorPassword != "" && !named // who names a login is not the operator
	switch url := s.Flowgate.NATSURL.Reveal(); {
	case own && url == running.NATSURL, own && url == "":
		// NATS_URL may be set for other clients of this very broker: an operator needs its credentials
		if running.NATSURL == "" {
			return nil, fmt.Errorf("process %d in %s has no listener for NATS clients: see the setting flowgate.listen", running.PID, dir)
		}
		conn, err := nats.Connect(running.NATSURL, append(options, (&lead{dir: dir, info: running}).options()...)...)
		if err != nil {
			return nil, fmt.Errorf("connecting to the broker: %w", err)
		}
		return conn, nil
	case url == "" && err != nil:
		return nil, startFirst(err)
	case url == "":
		s.Flowgate.NATSURL = configs.NewSecret(running.NATSURL)
	}
	a, err := access(s, false)
	if err != nil {
		return nil, err
	}
	a.GiveUp = named
	return broker.Connect(ctx, a, options...)
}

func (g *globals) reachDatabase(ctx context.Context, s configs.Settings) (*postgres.DB, error) {
	url, err := g.databaseURL(ctx, s)
	if err != nil {
		return nil, err
	}
	options := databaseOptions(s)
	options.Retries = 0                      // whoever waits for a command wants to know
	options.AnswerTimeout = 10 * time.Minute // questions over everything take their time
	return postgres.Open(ctx, url, options)
}

// databaseURL is that of settings, else of what is running.
func (g *globals) databaseURL(ctx context.Context, s configs.Settings) (string, error) {
	if url := s.DatabaseURL(); url.IsSet() {
		return url.Reveal(), nil
	}
	_, running, err := g.running(ctx, s)
	if err != nil {
		return "", startFirst(err)
	}
	if running.DatabaseURL == "" {
		return "", fmt.Errorf("process %d works without a database: name it in DATABASE_URL", running.PID)
	}
	return running.DatabaseURL, nil
}

// startFirst says what to do where nothing is running.
func startFirst(err error) error {
	if errors.Is(err, state.ErrNotRunning) {
		return fmt.Errorf("%w; start it with `flowgate up`, or name NATS_URL and DATABASE_URL", err)
	}
	return err
}
