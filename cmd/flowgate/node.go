package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"flowgate/configs"
	"flowgate/pipelines/compliance"
	"flowgate/pipelines/flow"
	"flowgate/pipelines/pricing"
	"flowgate/pipelines/templates"
	"flowgate/worker"
	"flowgate/worker/actions"
	"flowgate/worker/breaker"
	"flowgate/worker/broker"
	"flowgate/worker/cache"
	"flowgate/worker/console"
	"flowgate/worker/control"
	"flowgate/worker/directory"
	"flowgate/worker/fleet"
	"flowgate/worker/flights"
	"flowgate/worker/gate"
	"flowgate/worker/metrics"
	"flowgate/worker/pace"
	"flowgate/worker/postgres"
	"flowgate/worker/sessions"
	"flowgate/worker/state"
	"flowgate/worker/statistics"
)

// launch is what a process is started as.
type launch struct {
	settings configs.Settings
	// dir is the state root. A process with servers of its own has it for itself; a worker takes a free folder in it.
	dir   string
	roles roles
	// config is the settings file; empty: there is none.
	config string
	// own lets the process start a broker and a Postgres of its own where settings name none, and make there what is
	// missing. Without it both are an administrator's: what is missing there is told, not made.
	own bool
	// reset sets aside what the servers of its own have kept.
	reset bool
	// log is nil for the one that settings say; verbose makes that log everything.
	log     *zap.Logger
	verbose bool
	probe   worker.Probe
}

// everything is the launch of `flowgate up`: every role, and servers of its own.
func everything(dir string, settings configs.Settings, log *zap.Logger) launch {
	return launch{settings: settings, dir: dir, roles: allRoles(), own: true, log: log}
}

// node is everything that flowgate runs in one process.
type node struct {
	settings  configs.Settings
	root      string // the state root: this process's folder is it, or lies in it
	roles     roles
	config    string // the settings file; empty: there is none
	own       bool
	seeds     []flow.Agreement // those of the settings' file
	catalog   []actions.About  // the actions of agreements that there are
	templates []*templates.Template
	controls  *compliance.Book
	prices    *pricing.Table
	log       *zap.Logger
	probe     worker.Probe
	// observer is told what the layers do; several are joined by worker.Observe before the parts start.
	observer worker.Observer

	// console is the HTTP listener, metrics what it shows; nil where settings want none. pulse knows the loops of the parts.
	console *console.Console
	metrics *metrics.Metrics
	pulse   *worker.Pulse

	folder   *state.Folder
	broker   *broker.Server // nil with an external one
	conn     *nats.Conn
	js       jetstream.JetStream
	db       *postgres.DB // nil where no role needs it
	looks    *postgres.DB // for the directory of people alone; nil where no role needs it
	topology broker.Topology
	claims   *broker.Claims
	control  *control.Watch
	people   *directory.Watch             // nil without layer 1
	waits    func(consumer string) uint64 // how much waits at a consumer, as of a moment ago
	gate     *gate.Gate                   // nil without a database
	leader   *worker.Leader
	hop      *worker.Hop
	monitor  *sessions.Monitor // of the services that this process depends on
	services *services         // the clients of those beside broker and database
	cache    *cache.Cache      // nil without layer 2, or where settings switch it off
	flights  *flights.Flights  // with the cache
	breakers *breaker.Breakers // nil without layer 2
	dbURL    string
	// book counts what the layers do; pulled are the names of the consumers that they read.
	book   *statistics.Book
	pulled []string
	// alerting looks after budgets; nil without the recorder's role.
	alerting *alerting
	// postgresPID is that of a Postgres of our own.
	postgresPID int
	operator    string   // the operator's password on a broker of our own
	tenants     uint64   // the version of the book of tenants by which that broker lets connections in
	found       []found  // every backend, as settings and environment have it
	serving     []string // names of the backends in use
	// standing tells how breaker and pace of a backend in use stand; nil without layer 2.
	standing  func(backend string) fleet.Standing
	pace      *pace.Pace // of the calls of all processes; nil without layer 2
	down      shutdown
	parts     sync.WaitGroup
	stopParts context.CancelFunc
	broken    chan error
	began     time.Time // when it was announced first
	// ready is set when everything is opened, draining when it is about to be closed.
	ready, draining atomic.Bool
}

// startNode starts storage, broker and the parts of the worker that the roles ask for. What was begun is undone when
// something fails.
func startNode(ctx context.Context, l launch) (n *node, err error) {
	n = &node{settings: l.settings, root: l.dir, roles: l.roles, config: l.config, own: l.own, log: l.log, probe: l.probe, pulse: &worker.Pulse{}, broken: make(chan error, 16)}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.down.run())
			n = nil
		}
	}()
	for _, step := range []func(context.Context) error{
		n.loadRules,
		ofMachine(func(context.Context) error { return n.openFolder(l.dir) }),
		ofMachine(func(context.Context) error { return n.openLog(l.verbose) }),
		ofMachine(func(ctx context.Context) error { return n.setAside(ctx, l.reset) }),
		ofMachine(n.openConsole), n.openTraces, n.openStorage, n.watchHealth, n.startParts, n.announce, n.watchTenants,
	} {
		if err = step(ctx); err != nil {
			return n, err
		}
	}
	n.ready.Store(true)
	return n, nil
}

// ofMachine marks the faults of a step as the machine's; an interruption is none.
func ofMachine(step func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		err := step(ctx)
		if err == nil || ctx.Err() != nil {
			return err
		}
		return environmentError{err}
	}
}

// stop drains and closes, in reverse order of opening.
func (n *node) stop() error {
	n.draining.Store(true)
	return n.down.run()
}

// openFolder takes the state folder, or a worker's free folder in it.
func (n *node) openFolder(dir string) (err error) {
	open := state.OpenWorker
	if n.own {
		open = state.Open
	}
	if n.folder, err = open(dir); err != nil {
		return err
	}
	n.down.push("releasing the state folder", n.folder.Close)
	return nil
}

// openLog makes the logger that settings say, unless there is one. Its lines name this process, and tell what becomes of requests.
func (n *node) openLog(verbose bool) error {
	if n.log == nil {
		log, done, err := openLog(n.settings.Logging, n.folder.Dir(), verbose, os.Stderr)
		if err != nil {
			return err
		}
		n.log = log
		n.down.push("closing the log", done)
	}
	n.log = n.log.With(zap.String("worker", n.folder.WorkerID()))
	n.observer = worker.Observe(n.observer, worker.Logging(n.log))
	return nil
}

// run tells the owner of the node that a part ended with an error.
func (n *node) run(part string, err error) {
	if err != nil {
		select {
		case n.broken <- fmt.Errorf("%s: %w", part, err):
		default:
		}
	}
}

// announce tells other commands where this node is. It may be called again.
func (n *node) announce(context.Context) error {
	url := n.settings.Flowgate.NATSURL.Reveal()
	if n.broker != nil {
		url = n.broker.URL()
	}
	if n.began.IsZero() {
		n.began = time.Now().UTC()
	}
	info := state.Info{PID: os.Getpid(), NATSURL: url, DatabaseURL: n.dbURL, StartedAt: n.began}
	if n.operator != "" {
		info.OperatorUser, info.OperatorPassword, info.TenantsVersion = broker.OperatorUser, n.operator, n.tenants
	}
	if n.console != nil {
		info.HTTPURL = n.console.URL()
	}
	if err := n.folder.Publish(info); err != nil {
		return fmt.Errorf("announcing this process: %w", err)
	}
	return nil
}
