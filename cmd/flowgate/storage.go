package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"flowgate/configs"
	"flowgate/worker"
	"flowgate/worker/broker"
	"flowgate/worker/postgres"
	"flowgate/worker/postgres/private"
	"flowgate/worker/state"
)

const databaseName = "flowgate"

// openDatabase takes DATABASE_URL, or starts a Postgres of our own in the state folder.
func (n *node) openDatabase(ctx context.Context) error {
	n.dbURL = n.settings.Flowgate.DatabaseURL.Reveal()
	if n.dbURL == "" {
		server, err := private.Start(ctx, private.Options{
			Dir: n.folder.Path("postgres"), Durable: n.durable(), Logger: n.log,
		})
		if err != nil {
			return err
		}
		n.postgresPID = server.PID()
		n.down.push("stopping postgres", n.watchDatabase(server))
		if err := postgres.CreateDatabase(ctx, server.URL("postgres"), databaseName); err != nil {
			return err
		}
		n.dbURL = server.URL(databaseName)
	}
	if _, _, err := postgres.Migrate(ctx, n.dbURL); err != nil {
		return err
	}
	var err error
	if n.db, err = postgres.Open(ctx, n.dbURL, postgres.DefaultOptions()); err != nil {
		return err
	}
	n.down.push("closing the database", func() error { n.db.Close(); return nil })
	return nil
}

// watchDatabase breaks the node when its Postgres ends by itself: nothing works without it, and whoever supervises this
// process starts it anew. It returns what stops the server.
func (n *node) watchDatabase(server *private.Server) (stop func() error) {
	stopping := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		select {
		case <-stopping:
		case <-server.Done():
			n.run("database", environmentError{fmt.Errorf("the private postgres (pid %d) ended by itself, its log is in %s; "+
				"start flowgate again: what was accepted goes on", server.PID(), n.folder.Path("postgres", "log"))})
		}
	})
	return func() error {
		close(stopping)
		watch.Wait()
		return server.Stop()
	}
}

// durable tells whether what was accepted must survive a loss of power.
func (n *node) durable() bool { return n.settings.Flowgate.Sync == configs.SyncAlways }

// openBroker takes NATS_URL, or starts a server of our own in the state folder.
func (n *node) openBroker(ctx context.Context) error {
	s := n.settings
	options := connOptions(n.log)
	if !s.Flowgate.NATSURL.IsSet() {
		n.operator = rand.Text()
		server, err := broker.Start(ctx, broker.Options{
			Dir: n.folder.Dir(), Listen: s.Flowgate.Listen, Sync: n.durable(), Operator: broker.Credentials{Password: n.operator}, Log: n.log,
		})
		if err != nil {
			return err
		}
		n.broker = server
		n.down.push("stopping the broker", func() error { server.Shutdown(); return nil })
		if n.conn, err = server.Connect(options...); err != nil {
			return fmt.Errorf("connecting to the broker: %w", err)
		}
	} else {
		var err error
		if n.conn, err = nats.Connect(s.Flowgate.NATSURL.Reveal(), options...); err != nil {
			return fmt.Errorf("connecting to NATS_URL: %w", err)
		}
	}
	n.down.push("closing the broker's connection", func() error { n.conn.Close(); return nil })
	var err error
	n.js, err = newJetStream(n.conn)
	return err
}

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

// announce tells other commands where this node is.
func (n *node) announce(context.Context) error {
	url := n.settings.Flowgate.NATSURL.Reveal()
	if n.broker != nil {
		url = n.broker.URL()
	}
	err := n.folder.Publish(state.Info{
		PID: os.Getpid(), NATSURL: url, OperatorUser: broker.OperatorUser, OperatorPassword: n.operator, DatabaseURL: n.dbURL, StartedAt: time.Now().UTC(),
	})
	if err != nil {
		return fmt.Errorf("announcing this process: %w", err)
	}
	return nil
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
	natsURL, dbURL := settings.Flowgate.NATSURL.Reveal(), settings.Flowgate.DatabaseURL.Reveal()
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
		if c.db, err = postgres.Open(ctx, dbURL, postgres.DefaultOptions()); err != nil {
			c.close()
			return nil, environmentError{err}
		}
	}
	return c, nil
}
