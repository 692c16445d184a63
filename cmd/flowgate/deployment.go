package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"

	"flowgate/worker/link"
	"flowgate/worker/postgres"
	"flowgate/worker/postgres/private"
)

// deployment is the layout of docker-compose.yml as processes of this machine: servers of a NATS cluster, a Postgres, and
// workers, each a process of its own.
type deployment struct {
	// exe is the program that every process runs, unless it is replaced by another.
	exe string
	// dir is a fresh folder of its own.
	dir string
	// servers is how many NATS servers there are, 1 or 3; every stream has as many copies.
	servers int
	// settings are further lines of the settings file.
	settings string
	log      *zap.Logger

	// addresses, where it is not nil, says how a worker reaches broker and database, by its name; else it goes straight there.
	addresses func(worker string) (natsURL, dbURL string, err error)

	// route, where it is not nil, says how one NATS server reaches another; else it goes straight there.
	route func(from, to, address string) (string, error)

	natsURL, dbURL string
	brokers        []*brokerProcess
	postgres       *private.Server
	workers        []*member
	down           shutdown
}

// member is a worker process of the deployment; who replaces it has its name.
type member struct {
	*child

	layer, name string
}

// brokerProcess is one NATS server of the deployment; who replaces it has its name and its files.
type brokerProcess struct {
	*child

	name, url, file string
}

// Bounds of waiting for the processes of a deployment.
const (
	startGrace = 5 * time.Minute // a busy machine takes its time
	drainGrace = 30 * time.Second
)

// start starts everything: database, brokers, schema, topology, workers. The caller MUST call stop, also after an error.
func (d *deployment) start(ctx context.Context, layers ...string) error {
	ctx, cancel := context.WithTimeout(ctx, startGrace)
	defer cancel()
	if err := d.startPostgres(ctx); err != nil {
		return err
	}
	if err := d.startBrokers(ctx); err != nil {
		return err
	}
	if err := d.writeSettings(); err != nil {
		return err
	}
	for _, step := range [][]string{{"migrate"}, {"topology", "apply"}} {
		if err := d.run(ctx, step...); err != nil {
			return err
		}
	}
	for i, layer := range layers {
		w := &member{layer: layer, name: numbered(layer, layers[:i])}
		if err := d.begin(w, d.exe); err != nil {
			return err
		}
		d.workers = append(d.workers, w)
	}
	for _, w := range d.workers {
		if err := w.up(ctx); err != nil {
			return err
		}
	}
	return nil
}

// numbered is a layer's name with the number that it has among its like: ai-2.
func numbered(layer string, before []string) string {
	n := 1
	for _, b := range before {
		if b == layer {
			n++
		}
	}
	return fmt.Sprintf("%s-%d", layer, n)
}

// stop ends what start started, workers first.
func (d *deployment) stop() error {
	var faults []error
	ended := make(chan error)
	for _, w := range d.workers { // all at once
		go func() { ended <- w.stop(drainGrace) }()
	}
	for range d.workers {
		faults = append(faults, <-ended)
	}
	d.workers = nil
	return errors.Join(append(faults, d.down.run())...)
}

func (d *deployment) startPostgres(ctx context.Context) error {
	if err := d.beginPostgres(ctx); err != nil {
		return environmentError{err}
	}
	d.down.push("stopping postgres", func() error { return d.postgres.Stop() })
	d.dbURL = d.postgres.URL(databaseName)
	return nil
}

// beginPostgres starts the database, also after the one before was killed.
func (d *deployment) beginPostgres(ctx context.Context) (err error) {
	server, err := private.Start(ctx, private.Options{
		Dir: filepath.Join(d.dir, "postgres"), Database: databaseName, Durable: true, Templates: private.TemplateDir(), Logger: d.log,
	})
	if err == nil {
		d.postgres = server
	}
	return err
}

// startBrokers starts the NATS servers and waits until they have found one another.
func (d *deployment) startBrokers(ctx context.Context) error {
	ports, err := link.FreePorts(2 * d.servers)
	if err != nil {
		return environmentError{err}
	}
	var urls []string
	for i := range d.servers {
		urls = append(urls, fmt.Sprintf("nats://127.0.0.1:%d", ports[i]))
	}
	d.natsURL = strings.Join(urls, ",")
	for i := range d.servers {
		b := &brokerProcess{name: brokerName(i), url: urls[i]}
		routes, err := d.routesOf(i, ports[d.servers:])
		if err != nil {
			return environmentError{err}
		}
		b.file = filepath.Join(d.dir, b.name+".conf")
		text := brokerConfig(b.name, filepath.Join(d.dir, b.name), ports[i], ports[d.servers+i], routes, d.route != nil)
		if err := os.WriteFile(b.file, []byte(text), 0o600); err != nil {
			return environmentError{err}
		}
		if err := d.beginBroker(b); err != nil {
			return environmentError{err}
		}
		d.down.push("stopping "+b.name, func() error { return b.stop(drainGrace) })
		d.brokers = append(d.brokers, b)
	}
	for _, broker := range d.brokers {
		var ready struct{}
		if err := broker.ready(ctx, &ready); err != nil {
			return environmentError{err}
		}
	}
	return nil
}

func brokerName(i int) string { return fmt.Sprintf("nats-%d", i+1) }

// routesOf are the addresses at which the i-th server reaches all of them, itself included.
func (d *deployment) routesOf(i int, ports []int) ([]string, error) {
	routes := make([]string, len(ports))
	for j, port := range ports {
		address := fmt.Sprintf("127.0.0.1:%d", port)
		if d.route != nil && i != j {
			var err error
			if address, err = d.route(brokerName(i), brokerName(j), address); err != nil {
				return nil, err
			}
		}
		routes[j] = "nats://" + address
	}
	return routes, nil
}

// beginBroker starts a NATS server and does not wait for it.
func (d *deployment) beginBroker(b *brokerProcess) error {
	c, err := startChild(b.name, d.exe, d.environ(), "nats-server", "--json", "--file", b.file)
	if err == nil {
		b.child = c
	}
	return err
}

// nowhere is an address at which nobody listens: servers that tell it to each other keep to the routes of their files.
const nowhere = "127.0.0.1:1"

// brokerConfig is the configuration of one NATS server; strict keeps it to its routes.
func brokerConfig(name, store string, port, routePort int, routes []string, strict bool) string {
	text := fmt.Sprintf("server_name: %s\nlisten: \"127.0.0.1:%d\"\njetstream { store_dir: %q }\n", name, port, store)
	if len(routes) > 1 {
		text += fmt.Sprintf("cluster { name: flowgate, no_advertise: true, listen: \"127.0.0.1:%d\", routes: [%s]", routePort, strings.Join(routes, ", "))
		if strict {
			text += fmt.Sprintf(", advertise: %q", nowhere)
		}
		text += " }\n"
	}
	return text
}

// settingsFile is that of every process.
func (d *deployment) settingsFile() string { return filepath.Join(d.dir, "settings.yaml") }

func (d *deployment) writeSettings() error {
	text := fmt.Sprintf("flowgate:\n  replicas: %d\n%s", d.servers, d.settings)
	if err := os.WriteFile(d.settingsFile(), []byte(text), 0o600); err != nil {
		return environmentError{err}
	}
	return nil
}

// environ is this process's environment with the addresses of the deployment's servers, and without what steers flowgate
// otherwise.
func (d *deployment) environ() []string { return d.environOf(d.natsURL, d.dbURL) }

func (d *deployment) environOf(natsURL, dbURL string) []string {
	var kept []string
	for _, entry := range os.Environ() {
		steers := false
		for _, prefix := range []string{"FLOWGATE_", "NATS_", "DATABASE_URL", "OPENAI_"} {
			steers = steers || strings.HasPrefix(entry, prefix)
		}
		if !steers {
			kept = append(kept, entry)
		}
	}
	return append(kept, "NATS_URL="+natsURL, "DATABASE_URL="+dbURL)
}

// args are those of every command but the brokers'.
func (d *deployment) args(more ...string) []string {
	return append([]string{"--config", d.settingsFile(), "--state", filepath.Join(d.dir, "state")}, more...)
}

// run runs a command of the deployment to its end.
func (d *deployment) run(ctx context.Context, args ...string) error {
	c, err := startChild("flowgate "+strings.Join(args, " "), d.exe, d.environ(), d.args(args...)...)
	if err != nil {
		return environmentError{err}
	}
	return c.finish(ctx)
}

// begin starts a worker and does not wait for it.
func (d *deployment) begin(w *member, exe string) error {
	env := d.environ()
	if d.addresses != nil {
		natsURL, dbURL, err := d.addresses(w.name)
		if err != nil {
			return environmentError{err}
		}
		env = d.environOf(natsURL, dbURL)
	}
	c, err := startChild("worker "+w.layer, exe, env, d.args("worker", "--json", "--layer", w.layer)...)
	if err != nil {
		return environmentError{err}
	}
	w.child = c
	return nil
}

// up waits until a worker is ready.
func (w *member) up(ctx context.Context) error {
	var ready struct{}
	return w.ready(ctx, &ready)
}

// replaced is how long the two halves of a replacement took.
type replaced struct {
	Layer        string  `json:"layer"`
	AfterSeconds float64 `json:"after_seconds"`
	// OpenBefore is how many lines of the batch had no result when the worker was told to stop, OpenAfter when its successor
	// was ready.
	OpenBefore   int     `json:"open_when_stopped"`
	OpenAfter    int     `json:"open_when_started"`
	DrainSeconds float64 `json:"drain_seconds"`
	StartSeconds float64 `json:"start_seconds"`
}

// replace stops a worker as a supervisor does and starts its successor from a program.
func (d *deployment) replace(ctx context.Context, w *member, exe string, open func() int) (r replaced, err error) {
	ctx, cancel := context.WithTimeout(ctx, startGrace)
	defer cancel()
	r.Layer, r.OpenBefore = w.layer, open()
	began := time.Now()
	if err := w.stop(drainGrace); err != nil {
		return r, err
	}
	r.DrainSeconds = time.Since(began).Seconds()
	began = time.Now()
	if err := d.begin(w, exe); err != nil {
		return r, err
	}
	if err := w.up(ctx); err != nil {
		return r, err
	}
	r.StartSeconds, r.OpenAfter = time.Since(began).Seconds(), open()
	return r, nil
}

// reach connects to the deployment as an operator does.
func (d *deployment) reach(ctx context.Context) (c *client, err error) {
	c = &client{}
	if c.conn, err = nats.Connect(d.natsURL, connOptions(d.log)...); err == nil {
		c.js, err = newJetStream(c.conn)
	}
	if err == nil {
		c.db, err = postgres.Open(ctx, d.dbURL, postgres.DefaultOptions())
	}
	if err != nil {
		c.close()
		return nil, environmentError{err}
	}
	return c, nil
}
