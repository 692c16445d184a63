package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"flowgate/configs"
	"flowgate/messages"
	"flowgate/pipelines"
	"flowgate/worker"
	"flowgate/worker/breaker"
	"flowgate/worker/broker"
	"flowgate/worker/console"
	"flowgate/worker/control"
	"flowgate/worker/metrics"
	"flowgate/worker/recorder"
	"flowgate/worker/sessions"
	"flowgate/worker/traces"
)

// upHTTP is where `flowgate up` listens for HTTP unless it is told otherwise.
const upHTTP = "127.0.0.1:4280"

// httpAddress is where the HTTP listener of this process shall be; empty for none.
func (n *node) httpAddress() string {
	switch address := n.settings.Flowgate.HTTP; {
	case address != configs.HTTPAuto:
		return address
	case n.own:
		return upHTTP
	}
	return "127.0.0.1:0" // several workers may run on one machine
}

func (n *node) httpURL() string {
	if n.console == nil {
		return ""
	}
	return n.console.URL()
}

// openConsole listens before anything else is opened, so that a taken port costs nothing, and answers from then on until
// everything else is closed: whoever asks meanwhile learns what is missing.
func (n *node) openConsole(ctx context.Context) error {
	address := n.httpAddress()
	if address == "" {
		return nil
	}
	n.metrics = metrics.New(metrics.Options{Version: version, Sources: n.metricSources()})
	n.observer = worker.Observe(n.observer, n.metrics)
	var err error
	n.console, err = console.New(ctx, console.Options{
		Listen: address, AllowRemote: n.settings.Flowgate.HTTPAllowRemote, Overdue: n.pulse.Overdue, Ready: n.readiness(),
		Services: n.usedServices, Metrics: n.metrics.Handler(), Logger: n.log,
	})
	if errors.Is(err, syscall.EADDRINUSE) {
		err = fmt.Errorf("%w (stop the program that has the port, or set flowgate.http or FLOWGATE_HTTP to another address; port 0 takes any free "+
			"one, and flowgate.http: \"\" none)", err)
	}
	if err != nil {
		return fmt.Errorf("opening the listener of flowgate.http: %w", err)
	}
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	var served sync.WaitGroup
	served.Go(func() { n.run("HTTP listener", n.console.Run(serving)) })
	n.down.push("closing the HTTP listener", func() error {
		stop()
		served.Wait()
		return nil
	})
	return nil
}

// openTraces sends spans, where settings name a collector.
func (n *node) openTraces(ctx context.Context) error {
	endpoint := n.settings.Flowgate.Telemetry.OTLPEndpoint
	if endpoint == "" {
		return nil
	}
	tracer, err := traces.New(ctx, traces.Options{Endpoint: endpoint, Version: version, Worker: n.folder.WorkerID(), Logger: n.log})
	if err != nil {
		return usageError{err}
	}
	n.observer = worker.Observe(n.observer, tracer)
	n.down.push("sending the last spans", func() error { tracer.Close(); return nil })
	return nil
}

// errStarting is what a check says of something that is not opened yet.
var errStarting = errors.New("this process is starting")

// readiness is what this process needs to work.
func (n *node) readiness() []console.Check {
	checks := []console.Check{
		{Name: "process", Ask: func(context.Context) (string, error) {
			switch {
			case n.draining.Load():
				return "", errors.New("this process drains: it takes no new work")
			case !n.ready.Load():
				return "", errStarting
			}
			return "", nil
		}},
		{Name: "broker", Ask: n.whenReady(n.checkBroker)},
		{Name: "topology", Ask: n.whenReady(n.checkTopology)},
		{Name: "control", Ask: n.whenReady(n.checkControl)},
	}
	if n.roles.database() {
		checks = append(checks, console.Check{Name: "postgres", Ask: n.whenReady(func(ctx context.Context) (string, error) { return "", n.db.Ping(ctx) })})
	}
	return checks
}

// usedServices are those that this process uses, as its monitor knows them.
func (n *node) usedServices() (used []console.Service) {
	if !n.ready.Load() {
		return nil
	}
	for _, h := range n.monitor.Snapshot() {
		if !h.Unused {
			used = append(used, console.Service{Name: h.Service, State: string(h.State), Error: h.Error})
		}
	}
	return used
}

// whenReady keeps a check away from what is not opened yet.
func (n *node) whenReady(ask func(context.Context) (string, error)) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		if !n.ready.Load() {
			return "", errStarting
		}
		return ask(ctx)
	}
}

// checkBroker asks the broker for a round trip.
func (n *node) checkBroker(ctx context.Context) (string, error) {
	if !n.conn.IsConnected() {
		return "", errors.New("not connected: it is tried again and again")
	}
	began := time.Now()
	if err := n.conn.FlushWithContext(ctx); err != nil {
		return "", fmt.Errorf("no answer: %w", err)
	}
	return fmt.Sprintf("round trip %s", time.Since(began).Round(10*time.Microsecond)), nil
}

// checkControl asks whether what is paused is known: without that the layers take nothing.
func (n *node) checkControl(context.Context) (string, error) {
	silent := n.control.Silent()
	if silent >= worker.LongestSilence {
		return "", fmt.Errorf("nothing was heard of the bucket %s for %s: the layers take nothing until it speaks", control.Bucket, silent.Round(time.Second))
	}
	return fmt.Sprintf("version %d", n.control.Version()), nil
}

// checkTopology looks for the streams, and for the consumers that this process pulls from.
func (n *node) checkTopology(ctx context.Context) (string, error) {
	for _, stream := range n.topology.Streams {
		if _, err := n.leader.Bounds(ctx, stream.Name); err != nil {
			return "", err
		}
	}
	consumers := n.consumers()
	for _, c := range consumers {
		if _, err := n.js.Consumer(ctx, c.Stream, c.Name); err != nil {
			return "", fmt.Errorf("consumer %s of %s: %w", c.Name, c.Stream, err)
		}
	}
	return fmt.Sprintf("%d streams, %d consumers", len(n.topology.Streams), len(consumers)), nil
}

// layerConsumer is a consumer from which a layer of this process pulls.
type layerConsumer struct {
	broker.Consumer

	layer messages.LayerName
	queue string
	class messages.Class
}

// consumers are those from which this process pulls.
func (n *node) consumers() []layerConsumer {
	byName := make(map[string]broker.Consumer)
	for _, c := range n.topology.Consumers {
		byName[c.Name] = c
	}
	var all []layerConsumer
	for _, link := range pipelines.Chain() {
		if !n.roles.layer(link.Name) {
			continue
		}
		for _, q := range link.Queues {
			for _, class := range messages.Classes() {
				c := byName[broker.LayerQueue{Name: q.Name, State: q.State}.Consumer(class, 0)]
				all = append(all, layerConsumer{Consumer: c, layer: link.Name, queue: q.Name, class: class})
			}
		}
	}
	return all
}

// metricSources are what a scrape asks.
func (n *node) metricSources() metrics.Sources {
	s := metrics.Sources{
		Broker: knowing(n, func() metrics.Broker {
			return metrics.Broker{Connected: n.conn.IsConnected(), Reconnects: n.conn.Stats().Reconnects}
		}),
		Services: knowing(n, func() []sessions.Health { return n.monitor.Snapshot() }),
	}
	if n.roles.chain() {
		s.Queues = asking(n, n.askQueues)
	}
	if n.roles.layer(messages.LayerAI) {
		s.Cache = n.askCache
		s.Breakers = knowing(n, func() []breaker.State { return n.breakers.State() })
		s.Paced = knowing(n, func() metrics.Paced { return metrics.Paced{Keys: n.pace.State(), Waited: n.pace.Paced()} })
	}
	if n.roles.database() {
		s.Held = asking(n, func(ctx context.Context) (int64, error) { return n.db.Held(ctx) })
		s.Pool = knowing(n, func() metrics.Pool { return metrics.Pool(n.db.Pool()) })
	}
	if n.roles.has(roleRecorder) {
		s.Lag = asking(n, n.askLag)
		s.Budgets = func() (stand metrics.Budgets, known bool) {
			if n.ready.Load() {
				return n.alerting.stand()
			}
			return stand, false
		}
	}
	return s
}

// asking keeps a source away from what is not opened yet.
func asking[T any](n *node, ask func(context.Context) (T, error)) func(context.Context) (T, error) {
	return func(ctx context.Context) (answer T, err error) {
		if !n.ready.Load() {
			return answer, errStarting
		}
		return ask(ctx)
	}
}

// knowing is asking for what is known at once.
func knowing[T any](n *node, get func() T) func() (T, bool) {
	return func() (stand T, known bool) {
		if !n.ready.Load() {
			return stand, false
		}
		return get(), true
	}
}

func (n *node) askQueues(ctx context.Context) ([]metrics.Queue, error) {
	var all []metrics.Queue
	for _, c := range n.consumers() {
		b, err := broker.ReadBacklog(ctx, n.js, c.Consumer)
		if err != nil {
			return nil, err
		}
		all = append(all, metrics.Queue{
			Layer: c.layer, Class: c.class, Name: c.queue, Pending: b.Pending, Unanswered: b.Unanswered, Oldest: b.Oldest,
		})
	}
	return all, nil
}

func (n *node) askLag(ctx context.Context) (map[string]time.Duration, error) {
	lag := make(map[string]time.Duration)
	for _, stream := range []string{worker.WorkStream(0), worker.EventsStream} {
		behind, err := recorder.Lag(ctx, n.leader, n.db, stream)
		if err != nil {
			return nil, err
		}
		lag[stream] = behind
	}
	return lag, nil
}
