package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"flowgate/worker/chaos"
	"flowgate/worker/link"
	"flowgate/worker/postgres/private"
)

// drillGround is the deployment of a drill: each process has a supervisor, each worker a network of its own.
type drillGround struct {
	*deployment

	keepers map[string]*keeper
	// lines are the links of a worker to the brokers and to the database, by the worker's name.
	lines map[string]*network
	// routes are the links from one NATS server to another.
	routes map[route]*link.Link

	supervising sync.WaitGroup
	release     context.CancelFunc
}

// route is the way from one NATS server to another.
type route struct{ from, to string }

// network is that of one worker.
type network struct {
	brokers  []*link.Link
	database *link.Link
	natsURL  string
	dbURL    string
}

// startGround starts everything. The caller MUST call stop, also after an error.
func startGround(ctx context.Context, d *deployment) (*drillGround, error) {
	g := &drillGround{deployment: d, keepers: make(map[string]*keeper), lines: make(map[string]*network), routes: make(map[route]*link.Link), release: func() {}}
	d.addresses, d.route = g.lay, g.layRoute
	var layers []string
	for _, w := range chaos.WorkersOf() {
		for range w.N {
			layers = append(layers, w.Layer)
		}
	}
	if err := d.start(ctx, layers...); err != nil {
		return g, err
	}
	g.supervise(ctx)
	return g, nil
}

// stop ends supervisors, processes and links.
func (g *drillGround) stop() error {
	g.release()
	g.supervising.Wait()
	faults := []error{g.deployment.stop()}
	for _, l := range g.lines {
		for _, one := range append(l.brokers, l.database) {
			if one != nil {
				faults = append(faults, one.Close())
			}
		}
	}
	for _, l := range g.routes {
		faults = append(faults, l.Close())
	}
	return errors.Join(faults...)
}

// layRoute lays the link from one server to another.
func (g *drillGround) layRoute(from, to, address string) (string, error) {
	l, err := link.New(link.End{Network: "tcp", Address: "127.0.0.1:0"}, link.End{Network: "tcp", Address: address})
	if err != nil {
		return "", err
	}
	g.routes[route{from, to}] = l
	return l.Address(), nil
}

// isolate sets every route from and to a server.
func (g *drillGround) isolate(broker string, s link.State) {
	for r, l := range g.routes {
		if r.from == broker || r.to == broker {
			l.Set(s)
		}
	}
}

// supervise gives each process its supervisor.
func (g *drillGround) supervise(ctx context.Context) {
	ctx, g.release = context.WithCancel(context.WithoutCancel(ctx))
	add := func(k *keeper) {
		k.log = g.log
		g.keepers[k.name] = k
		g.supervising.Go(func() { k.run(ctx) })
	}
	for _, w := range g.workers {
		add(&keeper{name: w.name, process: w.child, ask: syscall.SIGTERM, start: func(context.Context) (kept, error) {
			if err := g.begin(w, g.exe); err != nil {
				return nil, err
			}
			return w.child, nil
		}})
	}
	for _, b := range g.brokers {
		add(&keeper{name: b.name, process: b.child, ask: syscall.SIGTERM, start: func(context.Context) (kept, error) {
			if err := g.beginBroker(b); err != nil {
				return nil, err
			}
			return b.child, nil
		}})
	}
	add(&keeper{name: chaos.Postgres, process: g.postgres, ask: syscall.SIGINT, start: func(ctx context.Context) (kept, error) {
		if err := g.beginPostgres(ctx); err != nil {
			return nil, err
		}
		return g.postgres, nil
	}})
}

// lay lays a worker's links, once: a process that is started again has those of the one before it.
func (g *drillGround) lay(worker string) (natsURL, dbURL string, err error) {
	l := g.lines[worker]
	if l == nil {
		if l, err = g.newNetwork(worker); err != nil {
			return "", "", err
		}
		g.lines[worker] = l
	}
	return l.natsURL, l.dbURL, nil
}

func (g *drillGround) newNetwork(worker string) (*network, error) {
	l := &network{}
	var urls []string
	for _, b := range g.brokers {
		to := link.End{Network: "tcp", Address: strings.TrimPrefix(b.url, "nats://")}
		one, err := link.New(link.End{Network: "tcp", Address: "127.0.0.1:0"}, to)
		if err != nil {
			return nil, err
		}
		l.brokers = append(l.brokers, one)
		urls = append(urls, "nats://"+one.Address())
	}
	l.natsURL = strings.Join(urls, ",")
	return l, l.layDatabase(filepath.Join(g.dir, "link", worker), g.dbURL)
}

// layDatabase lays a link to Postgres, from a socket in a folder of its own to that of the server.
func (l *network) layDatabase(dir, dbURL string) error {
	address, err := url.Parse(dbURL)
	if err != nil {
		return fmt.Errorf("reading the address of the database: %w", err)
	}
	query := address.Query()
	socket := ".s.PGSQL." + query.Get("port")
	folder := private.SocketDir(dir) // short enough for a socket
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("making the folder of a link: %w", err)
	}
	to := link.End{Network: "unix", Address: filepath.Join(query.Get("host"), socket)}
	if l.database, err = link.New(link.End{Network: "unix", Address: filepath.Join(folder, socket)}, to); err != nil {
		return err
	}
	query.Set("host", folder)
	address.RawQuery = strings.ReplaceAll(query.Encode(), "+", "%20") // libpq takes a plus for a plus
	l.dbURL = address.String()
	return nil
}

// set sets the links of a worker to the brokers, or the one to the database.
func (l *network) set(database bool, s link.State) {
	if database {
		l.database.Set(s)
		return
	}
	for _, one := range l.brokers {
		one.Set(s)
	}
}

// whole waits until every process works again.
func (g *drillGround) whole(ctx context.Context) error {
	for _, k := range g.keepers {
		for {
			process, _ := k.look()
			c, ok := process.(*child)
			if !ok {
				break // a Postgres that was started is ready
			}
			var ready struct{}
			err := c.ready(ctx, &ready)
			if err == nil {
				break
			}
			if !sleep(ctx, 50*time.Millisecond) {
				return err
			}
		}
	}
	return nil
}
