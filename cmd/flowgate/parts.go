package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"flowgate/messages"
	"flowgate/pipelines"
	"flowgate/worker"
	"flowgate/worker/broker"
	"flowgate/worker/control"
	"flowgate/worker/directory"
	"flowgate/worker/fleet"
	"flowgate/worker/pace"
	"flowgate/worker/recorder"
	"flowgate/worker/results"
	"flowgate/worker/statistics"
)

// startParts starts what the roles ask for: layers, and with the record recorders, result service and chores.
func (n *node) startParts(ctx context.Context) error {
	n.leader = &worker.Leader{JS: n.js}
	n.hop = &worker.Hop{JS: n.js, Leader: n.leader, Backoff: worker.DefaultDelays()}
	if n.broker != nil && n.durable() { // one server that flushes always: nobody else gains
		n.hop.Group = &worker.Group{}
	}
	n.book = statistics.NewBook(time.Now)
	n.observer = worker.Observe(n.observer, n.book)
	parts, cancel := context.WithCancel(context.WithoutCancel(ctx))
	n.stopParts = cancel
	n.down.push("stopping the parts", func() error { cancel(); n.parts.Wait(); return nil })
	if err := n.seedAgreements(ctx); err != nil {
		return err
	}
	if err := n.startControl(ctx, parts); err != nil {
		return err
	}
	if err := n.startPressure(parts); err != nil {
		return err
	}
	n.startDirectory(parts)
	if err := n.startCache(parts); err != nil {
		return err
	}
	n.startPace(parts)
	chain, err := n.chain(ctx)
	if err != nil {
		return err
	}
	recorders, err := n.recorders()
	if err != nil {
		return err
	}
	layers, cancelLayers := context.WithCancel(parts)
	var draining sync.WaitGroup
	n.down.push("draining the layers", func() error {
		cancelLayers() // while the recorder still listens, and pauses are still heard
		draining.Wait()
		return nil
	})
	if chain != nil {
		draining.Go(func() { n.run("layers", chain.Run(layers)) })
	}
	for _, r := range recorders {
		n.parts.Go(func() { r.Run(parts) })
	}
	began := time.Now().UTC()
	n.parts.Go(func() { n.run("fleet", fleet.Serve(parts, n.conn, func() fleet.Report { return n.report(began) })) })
	if n.roles.has(roleRecorder) {
		service := results.Options{Conn: n.conn, Leader: n.leader, Store: n.db, Claims: n.claims, Partitions: 1, Logger: n.log, Control: n.control, Intake: n.intake}
		n.parts.Go(func() { n.run("result service", results.Run(parts, service)) })
		n.alerting = n.newAlerting()
		for _, chore := range n.chores() {
			n.parts.Go(func() { worker.RunChores(parts, n.lock, n.log, chore) })
		}
	}
	return nil
}

// knowPauses bounds how long a process waits at its start to be told what is paused.
const knowPauses = 10 * time.Second

// startControl watches the control bucket; nothing begins before it is known what is paused.
func (n *node) startControl(ctx, parts context.Context) error {
	n.control = control.New(control.Options{JS: n.js, Worker: n.folder.WorkerID(), Logger: n.log})
	n.parts.Go(func() { n.control.Run(parts) })
	ctx, cancel := context.WithTimeout(ctx, knowPauses)
	defer cancel()
	if err := n.control.Known(ctx); err != nil {
		return environmentError{fmt.Errorf("reading what is paused from the bucket %s: %w", control.Bucket, err)}
	}
	return nil
}

// startDirectory watches the directory of people where this process has layer 1.
func (n *node) startDirectory(parts context.Context) {
	if !n.roles.layer(messages.LayerCorporate) {
		return
	}
	n.people = directory.New(directory.Options{Source: n.looks, Logger: n.log})
	n.parts.Go(func() { n.people.Run(parts) })
}

// startPace lets the calls of this process wait their turn among those of all, where it has layer 2.
func (n *node) startPace(parts context.Context) {
	if !n.roles.layer(messages.LayerAI) {
		return
	}
	n.pace = pace.New(pace.Options{Conn: n.conn, Worker: n.folder.WorkerID(), Logger: n.log})
	n.parts.Go(func() { n.run("pace", n.pace.Run(parts)) })
}

// chain is the runtime of this process's layers; nil where it has none.
func (n *node) chain(ctx context.Context) (*worker.Runtime, error) {
	if !n.roles.chain() {
		return nil, nil
	}
	layers, err := n.layers(ctx)
	if err != nil {
		return nil, err
	}
	queues := n.queues(layers)
	for _, q := range queues {
		n.pulled = append(n.pulled, q.Name)
	}
	options := n.runtimeOptions(queues)
	inflight, err := n.folder.Inflight()
	if err != nil {
		return nil, environmentError{err}
	}
	n.down.push("closing the list of messages in flight", inflight.Close)
	options.Inflight = inflight
	return worker.NewRuntime(options)
}

// runtimeOptions are those of the runtime out of settings.
func (n *node) runtimeOptions(queues []worker.Queue) worker.Options {
	options := worker.Options{
		Conn: n.conn, JS: n.js, Leader: n.leader, Hop: n.hop, Queues: queues,
		Worker: n.folder.WorkerID(), Earlier: n.folder.Earlier, AckWait: n.settings.Flowgate.AckWait,
		Grace: max(n.settings.Flowgate.Grace, time.Millisecond), LongestPark: longestPark(n.settings.Flowgate.Hold), Control: n.control,
		Logger: n.log, Probe: n.probe, Observer: n.observer, Pulse: n.pulse, Unclean: n.folder.Unclean(),
	}
	if n.roles.layer(messages.LayerCorporate) {
		options.Waiting = n.db.Waiting
	}
	return options
}

// recorders are one for each stream that is recorded; none without that role.
func (n *node) recorders() ([]*recorder.Recorder, error) {
	if !n.roles.has(roleRecorder) {
		return nil, nil
	}
	var all []*recorder.Recorder
	for _, stream := range []string{worker.WorkStream(0), worker.EventsStream} {
		r, err := recorder.New(recorder.Options{
			JS: n.js, Leader: n.leader, Hop: n.hop, Store: n.db, Claims: n.claims, Stream: stream, Lock: n.lock,
			Worker: n.folder.WorkerID(), Logger: n.log, Probe: n.probe,
		})
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}

func (n *node) lock(ctx context.Context, name string) (func(), <-chan struct{}, error) {
	lock, err := n.db.Lock(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	return lock.Release, lock.Lost(), nil
}

// queues binds the consumers of the chain to their layers, as far as this process has them.
func (n *node) queues(layers map[messages.LayerName]worker.Layer) []worker.Queue {
	s := n.settings.Flowgate
	var queues []worker.Queue
	for i, link := range pipelines.Chain() {
		if layers[link.Name] == nil {
			continue
		}
		for _, q := range link.Queues {
			named := broker.LayerQueue{Name: q.Name, State: q.State}
			for _, class := range messages.Classes() {
				queue := worker.Queue{
					Name: named.Consumer(class, 0), Stream: named.Stream(0), Layer: layers[link.Name], Class: class,
					Batch: s.MicroBatch, Lanes: 2, Holds: q.State == messages.StateHold && class == messages.ClassStd,
					Full: n.fullBehind(i, q.State, class),
				}
				if link.Name == messages.LayerAI {
					queue.Single, queue.Batch, queue.Lanes = true, n.settings.CallsAtOnce(), 1
				}
				queues = append(queues, queue)
			}
		}
	}
	return queues
}
