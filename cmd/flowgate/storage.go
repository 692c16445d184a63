package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"

	"go.uber.org/zap"

	"flowgate/configs"
	"flowgate/messages"
	"flowgate/worker/broker"
	"flowgate/worker/postgres"
	"flowgate/worker/postgres/private"
	"flowgate/worker/tenants"
)

const databaseName = "flowgate"

// openStorage opens database and broker side by side: in a new folder both write for a second. The first fault ends both.
func (n *node) openStorage(ctx context.Context) error {
	ctx, fail := context.WithCancelCause(ctx)
	n.down.push("opening storage", func() error { fail(nil); return nil })
	var database sync.WaitGroup
	database.Go(func() {
		if err := ofMachine(n.openDatabase)(ctx); err != nil {
			fail(err)
		}
	})
	err := ofMachine(n.openBroker)(ctx)
	if err == nil {
		err = n.openTopology(ctx)
	}
	if err != nil {
		fail(err)
	}
	database.Wait()
	return context.Cause(ctx)
}

// openDatabase takes the database that settings name, or starts a Postgres of our own in the state folder.
func (n *node) openDatabase(ctx context.Context) error {
	if !n.roles.database() {
		return nil
	}
	n.dbURL = n.settings.DatabaseURL().Reveal()
	if n.dbURL == "" {
		if err := n.startDatabase(ctx); err != nil {
			return err
		}
	}
	options := databaseOptions(n.settings)
	options.OnWait = func(err error) {
		n.log.Warn("the database cannot be reached", zap.Error(err), zap.Duration("again_in", options.RetryDelay))
	}
	options.OnBlocked = func(err error) {
		n.log.Warn("the database's schema cannot be changed yet, trying again", zap.Error(err))
	}
	if err := n.openSchema(ctx, options); err != nil {
		return err
	}
	var err error
	if n.db, err = postgres.Open(ctx, n.dbURL, options); err != nil {
		return err
	}
	n.down.push("closing the database", func() error { n.db.Close(); return nil })
	if !n.roles.layer(messages.LayerCorporate) {
		return nil
	}
	// Looks at the directory of people wait for nobody else's work: late ones are worth nothing.
	options.MaxConns = 1
	if n.looks, err = postgres.Open(ctx, n.dbURL, options); err != nil {
		return err
	}
	n.down.push("closing the directory's connection", func() error { n.looks.Close(); return nil })
	return nil
}

// startDatabase starts a private Postgres and makes the database in it.
func (n *node) startDatabase(ctx context.Context) error {
	if !n.own {
		return fmt.Errorf("no database: name it in DATABASE_URL, the layers %s need it", strings.Join(n.roles.strings(), ", "))
	}
	server, err := private.Start(ctx, private.Options{
		Dir: n.folder.Path("postgres"), Database: databaseName, Durable: n.durable(), Templates: private.TemplateDir(), Logger: n.log,
	})
	if err != nil {
		return err
	}
	n.postgresPID = server.PID()
	n.down.push("stopping postgres", n.watchDatabase(server))
	n.dbURL = server.URL(databaseName)
	return nil
}

// openSchema brings the schema up to this build where this process may, else it wants it there. A schema that is newer is
// none of its business: migrations only add.
func (n *node) openSchema(ctx context.Context, options postgres.Options) error {
	if n.own {
		_, _, err := postgres.Migrate(ctx, n.dbURL, options)
		return err
	}
	status, err := postgres.MigrationStatus(ctx, n.dbURL, options)
	if err == nil && len(status.Pending) > 0 {
		err = fmt.Errorf("the database has schema version %d, this build needs %d: run `flowgate migrate`", status.Version, status.Latest)
	}
	return err
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
	var err error
	options := connOptions(n.log)
	switch {
	case n.settings.Flowgate.NATSURL.IsSet():
		a, err := access(n.settings, true)
		if err != nil {
			return err
		}
		if n.conn, err = broker.Connect(ctx, a, options...); err != nil {
			return err
		}
	case !n.own:
		return errors.New("no broker: name it in NATS_URL")
	default:
		if err := n.startBroker(ctx); err != nil {
			return err
		}
		if n.conn, err = n.broker.Connect(options...); err != nil {
			return fmt.Errorf("connecting to the broker: %w", err)
		}
	}
	n.down.push("closing the broker's connection", func() error { n.conn.Close(); return nil })
	n.js, err = newJetStream(n.conn)
	return err
}

// startBroker starts a server of our own.
func (n *node) startBroker(ctx context.Context) error {
	book, err := tenants.Load(n.folder.Dir())
	if err != nil {
		return err
	}
	n.operator, n.tenants = rand.Text(), book.Version
	server, err := broker.Start(ctx, broker.Options{
		Dir: n.folder.Dir(), Listen: n.settings.Flowgate.Listen, Sync: n.durable(),
		Operator: broker.Credentials{Password: n.operator}, Walls: book.Walls(), Log: n.log,
	})
	if err != nil {
		return err
	}
	n.broker = server
	n.down.push("stopping the broker", n.watchBroker(server))
	return nil
}

// watchBroker breaks the node when its broker cannot work any more: only a start anew helps then. It returns what stops it.
func (n *node) watchBroker(server *broker.Server) (stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	var watch sync.WaitGroup
	watch.Go(func() {
		if err := server.Watch(ctx); err != nil {
			n.run("broker", environmentError{fmt.Errorf("%w; mend that (is the disk of %s full?), then start flowgate again: what was accepted goes on",
				err, n.folder.Dir())})
		}
	})
	return func() error {
		cancel()
		watch.Wait()
		server.Shutdown()
		return nil
	}
}
