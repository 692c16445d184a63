package main

import (
	"cmp"
	"context"
	"os"
	"sync"

	"flowgate/worker/sessions"
)

// ownServer is the source of what this process started itself.
const ownServer = "own server"

// watchHealth watches the services that this process depends on, until it stops. It waits for none of them.
func (n *node) watchHealth(ctx context.Context) error {
	all, err := newServices(n.settings, os.LookupEnv)
	if err != nil {
		return err
	}
	n.services = all
	probes, unused := n.coreProbes()
	options := monitorOptions(n.settings, append(probes, all.probes...), append(unused, all.unused...))
	options.Logger, options.Recovered = n.log, n.renewed
	if n.monitor, err = sessions.NewMonitor(options); err != nil {
		all.close()
		return err
	}
	watched, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var watching sync.WaitGroup
	watching.Go(func() { n.monitor.Run(watched) })
	n.down.push("stopping the health checks", func() error {
		cancel()
		watching.Wait()
		all.close()
		return nil
	})
	return nil
}

// renewed has a backend asked again whose credentials were refused: they are others now, or are taken again.
func (n *node) renewed(backend string) {
	if n.ready.Load() && n.breakers != nil {
		n.breakers.Renewed(backend)
	}
}

// coreProbes ask broker and database through the connections that this process has anyway.
func (n *node) coreProbes() (probes []sessions.Probe, unused []sessions.Unused) {
	if n.db == nil {
		unused = append(unused, sessions.Unused{Service: servicePostgres, Why: "the layers of this process need no database"})
	} else {
		probes = append(probes, sessions.PostgresProbe{DB: n.db, Source: cmp.Or(databaseSource(n.settings, os.LookupEnv), ownServer)})
	}
	return append(probes, sessions.NATSProbe{
		Conn: n.conn, JS: n.js, Consumers: n.pullers(), Source: cmp.Or(brokerSource(n.settings, os.LookupEnv), ownServer),
	}), unused
}

// pullers are the consumers from which this process pulls: it may ask about those alone.
func (n *node) pullers() []sessions.Consumer {
	var all []sessions.Consumer
	for _, c := range n.consumers() {
		all = append(all, sessions.Consumer{Stream: c.Stream, Name: c.Name})
	}
	return all
}
