package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"flowgate/configs"
	"flowgate/messages"
	"flowgate/pipelines"
	"flowgate/pipelines/flow"
	"flowgate/pipelines/pricing"
	"flowgate/worker"
	"flowgate/worker/broker"
	"flowgate/worker/postgres"
	"flowgate/worker/recorder"
	"flowgate/worker/results"
	"flowgate/worker/state"
)

// node is everything that flowgate runs in one process.
type node struct {
	settings   configs.Settings
	agreements *flow.Book
	prices     *pricing.Table
	log        *zap.Logger
	probe      worker.Probe
	// observer is told what the layers do; several are joined by worker.Observe before the parts start.
	observer worker.Observer

	folder   *state.Folder
	broker   *broker.Server // nil with an external one
	conn     *nats.Conn
	js       jetstream.JetStream
	db       *postgres.DB
	topology broker.Topology
	claims   *broker.Claims
	leader   *worker.Leader
	hop      *worker.Hop
	dbURL    string
	// postgresPID is that of a Postgres of our own.
	postgresPID int
	operator    string   // the operator's password on a broker of our own
	serving     []string // names of the backends in use
	down        shutdown
	parts       sync.WaitGroup
	stopParts   context.CancelFunc
	broken      chan error
}

// shutdown is a stack of named steps, undone last first.
type shutdown []struct {
	name string
	undo func() error
}

func (s *shutdown) push(name string, undo func() error) {
	*s = append(*s, struct {
		name string
		undo func() error
	}{name, undo})
}

func (s *shutdown) run() error {
	var faults []error
	for _, step := range slices.Backward(*s) {
		if err := step.undo(); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", step.name, err))
		}
	}
	*s = nil
	return errors.Join(faults...)
}

// startNode starts storage, broker and every part of the worker. What was begun is undone when something fails.
func startNode(ctx context.Context, dir string, settings configs.Settings, log *zap.Logger, probe worker.Probe) (n *node, err error) {
	n = &node{settings: settings, log: log, probe: probe, broken: make(chan error, 16)}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.down.run())
			n = nil
		}
	}()
	for _, step := range []func(context.Context) error{
		n.loadRules,
		ofMachine(func(ctx context.Context) error { return n.openFolder(ctx, dir) }),
		ofMachine(n.openDatabase), ofMachine(n.openBroker), n.applyTopology, n.startParts, n.announce,
	} {
		if err = step(ctx); err != nil {
			return n, err
		}
	}
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
func (n *node) stop() error { return n.down.run() }

func (n *node) openFolder(_ context.Context, dir string) (err error) {
	if n.folder, err = state.Open(dir); err != nil {
		return err
	}
	n.down.push("releasing the state folder", n.folder.Close)
	return nil
}

// applyTopology makes streams, buckets and consumers, and refuses what differs afterwards.
func (n *node) applyTopology(ctx context.Context) error {
	options := broker.DefaultTopologyOptions()
	options.AckWait = n.settings.Flowgate.AckWait
	var err error
	if n.topology, err = broker.NewTopology(options, layerQueues()); err != nil {
		return err
	}
	if err := broker.Apply(ctx, n.js, n.topology); err != nil {
		return err
	}
	differences, err := broker.Check(ctx, n.js, n.topology)
	if err != nil {
		return err
	}
	for _, d := range differences {
		err = errors.Join(err, errors.New(d.String()))
	}
	if err != nil {
		return fmt.Errorf("checking the topology: %w", err)
	}
	n.claims, err = broker.OpenClaims(ctx, n.js)
	return err
}

func layerQueues() []broker.LayerQueue {
	var queues []broker.LayerQueue
	for _, layer := range pipelines.Chain() {
		for _, q := range layer.Queues {
			queues = append(queues, broker.LayerQueue{Name: q.Name, State: q.State})
		}
	}
	return queues
}

// startParts starts layers, recorders, result service and chores.
func (n *node) startParts(ctx context.Context) error {
	n.leader = &worker.Leader{JS: n.js}
	n.hop = &worker.Hop{JS: n.js, Leader: n.leader, Backoff: worker.DefaultDelays()}
	layers, err := n.layers(ctx)
	if err != nil {
		return err
	}
	runtime, err := worker.NewRuntime(worker.Options{
		Conn: n.conn, JS: n.js, Leader: n.leader, Hop: n.hop, Queues: n.queues(layers), Waiting: n.db.Waiting,
		Worker: n.folder.WorkerID(), Earlier: n.folder.Earlier, AckWait: n.settings.Flowgate.AckWait,
		Logger: n.log, Probe: n.probe, Observer: n.observer,
	})
	if err != nil {
		return err
	}
	parts, cancel := context.WithCancel(context.WithoutCancel(ctx))
	layersCtx, cancelLayers := context.WithCancel(parts)
	n.stopParts = cancel
	var chain sync.WaitGroup
	n.down.push("stopping the parts", func() error {
		cancelLayers() // the layers drain while the recorder still listens
		chain.Wait()
		cancel()
		n.parts.Wait()
		return nil
	})
	chain.Go(func() { n.run("layers", runtime.Run(layersCtx)) })
	for _, stream := range []string{worker.WorkStream(0), worker.EventsStream} {
		r, err := recorder.New(recorder.Options{
			JS: n.js, Leader: n.leader, Hop: n.hop, Store: n.db, Claims: n.claims, Stream: stream, Lock: n.lock,
			Worker: n.folder.WorkerID(), Logger: n.log, Probe: n.probe,
		})
		if err != nil {
			return err
		}
		n.parts.Go(func() { r.Run(parts) })
	}
	service := results.Options{Conn: n.conn, Leader: n.leader, Store: n.db, Claims: n.claims, Partitions: 1, Logger: n.log}
	n.parts.Go(func() { n.run("result service", results.Run(parts, service)) })
	for _, chore := range n.chores() {
		n.parts.Go(func() { worker.RunChores(parts, n.lock, n.log, chore) })
	}
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

func (n *node) lock(ctx context.Context, name string) (func(), <-chan struct{}, error) {
	lock, err := n.db.Lock(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	return lock.Release, lock.Lost(), nil
}

// queues binds every consumer of the chain to its layer.
func (n *node) queues(layers map[messages.LayerName]worker.Layer) []worker.Queue {
	s := n.settings.Flowgate
	var queues []worker.Queue
	for _, link := range pipelines.Chain() {
		for _, q := range link.Queues {
			named := broker.LayerQueue{Name: q.Name, State: q.State}
			for _, class := range messages.Classes() {
				queue := worker.Queue{
					Name: named.Consumer(class, 0), Stream: named.Stream(0), Layer: layers[link.Name],
					Batch: s.MicroBatch, Lanes: 2, Holds: q.State == messages.StateHold && class == messages.ClassStd,
				}
				if link.Name == messages.LayerAI {
					queue.Single, queue.Batch, queue.Lanes = true, s.Concurrency.AI, 1
				}
				queues = append(queues, queue)
			}
		}
	}
	return queues
}

// chores are what one process of the deployment does from time to time.
func (n *node) chores() []worker.Chore {
	hold := n.settings.Flowgate.Hold
	every := max(hold/10, time.Second)
	chores := []worker.Chore{
		{Name: "partitions", Every: time.Hour, Do: n.db.Maintain},
		{Name: "bodies", Every: time.Hour, Do: n.sweepBodies},
	}
	for _, stream := range []string{worker.IngressStream, worker.WorkStream(0), worker.EventsStream} {
		options := broker.JanitorOptions{Stream: stream, Readers: n.topology.ConsumersOf(stream), Hold: hold}
		if stream != worker.IngressStream {
			options.Recorded = func(ctx context.Context, created time.Time) (uint64, error) {
				at, err := n.db.Position(ctx, stream)
				if err != nil || at.Incarnation != (worker.Bounds{Created: created}).Incarnation() {
					return 0, err
				}
				return at.Seq, nil
			}
		}
		chores = append(chores, worker.Chore{Name: "janitor " + stream, Every: every, Do: func(ctx context.Context) error {
			janitor, err := broker.NewJanitor(n.js, options)
			if err != nil {
				return err
			}
			swept, err := janitor.Sweep(ctx)
			if swept.Purged > 0 {
				n.log.Debug("purged", zap.String("stream", stream), zap.Uint64("messages", swept.Purged))
			}
			return err
		}})
	}
	return chores
}

// bodyAge is when a body that nobody claims any more is swept.
const bodyAge = 72 * time.Hour

func (n *node) sweepBodies(ctx context.Context) error {
	_, err := n.claims.Sweep(ctx, bodyAge, func(ctx context.Context, key messages.Key, epoch int) (bool, error) {
		needed, err := n.db.NeedsBody(ctx, key, epoch)
		return !needed, err
	})
	return err
}
