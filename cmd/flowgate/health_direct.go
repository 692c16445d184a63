package main

import (
	"cmp"
	"context"
	"time"

	"github.com/nats-io/nats.go"

	"flowgate/configs"
	"flowgate/worker/broker"
	"flowgate/worker/postgres"
	"flowgate/worker/sessions"
)

// direct asks the services that settings name, without a process that runs.
type direct struct {
	monitor *sessions.Monitor
	others  *services
}

const notRunning = "`flowgate up` starts one of its own, and does not run"

// newDirect wires the probes; reached is the connection to a broker that was found, nil for none.
func newDirect(s configs.Settings, reached *client, env configs.Lookup) (*direct, error) {
	others, err := newServices(s, env)
	if err != nil {
		return nil, err
	}
	d := &direct{others: others}
	var probes []sessions.Probe
	var unused []sessions.Unused
	if source := databaseSource(s, env); source == "" {
		unused = append(unused, sessions.Unused{Service: servicePostgres, Why: notRunning})
	} else {
		options := databaseOptions(s)
		options.Retries = 0 // a check that fails is made again anyway
		probes = append(probes, databaseProbe{url: s.DatabaseURL(), options: options, source: source})
	}
	switch source := brokerSource(s, env); {
	case reached != nil:
		probes = append(probes, sessions.NATSProbe{Conn: reached.conn, JS: reached.js, Source: cmp.Or(source, ownServer)})
	case source == "":
		unused = append(unused, sessions.Unused{Service: serviceNATS, Why: notRunning})
	default:
		probes = append(probes, brokerProbe{settings: s, source: source})
	}
	d.monitor, err = sessions.NewMonitor(monitorOptions(s, append(probes, others.probes...), append(unused, others.unused...)))
	if err != nil {
		others.close()
		return nil, err
	}
	return d, nil
}

func (d *direct) close() { d.others.close() }

// databaseProbe connects, asks and hangs up.
type databaseProbe struct {
	url     configs.Secret
	options postgres.Options
	source  string
}

// Name makes it a sessions.Probe.
func (p databaseProbe) Name() string { return servicePostgres }

// Check makes it a sessions.Probe.
func (p databaseProbe) Check(ctx context.Context) (sessions.Finding, error) {
	db, err := postgres.Open(ctx, p.url.Reveal(), p.options)
	if err != nil {
		return sessions.Finding{Source: p.source}, err
	}
	defer db.Close()
	return sessions.PostgresProbe{DB: db, Source: p.source}.Check(ctx)
}

// brokerProbe connects, asks and hangs up.
type brokerProbe struct {
	settings configs.Settings
	source   string
}

// Name makes it a sessions.Probe.
func (p brokerProbe) Name() string { return serviceNATS }

// Check makes it a sessions.Probe.
func (p brokerProbe) Check(ctx context.Context) (sessions.Finding, error) {
	a, err := access(p.settings, false)
	if err != nil {
		return sessions.Finding{Source: p.source}, err
	}
	options := []nats.Option{nats.Name("flowgate health"), nats.NoReconnect()}
	if end, ok := ctx.Deadline(); ok {
		options = append(options, nats.Timeout(time.Until(end)))
	}
	conn, err := broker.Connect(ctx, a, options...)
	if err != nil {
		return sessions.Finding{Source: p.source}, err
	}
	defer conn.Close()
	return sessions.NATSProbe{Conn: conn, Source: p.source}.Check(ctx)
}
