package broker

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"go.uber.org/zap"
)

// Member is one server of a cluster, run from a configuration file of nats-server. It is for drills on one machine: a
// deployment runs nats-server itself.
type Member struct {
	ns  *server.Server
	log *serverLog
	// routes is how many servers the cluster has by its routes.
	routes int
}

// StartMember starts the server of a configuration file and returns when its listener is open, which may be long before the
// cluster has formed: see Ready. The caller MUST call Shutdown.
func StartMember(file string, log *zap.Logger) (*Member, error) {
	opts, err := server.ProcessConfigFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading the broker's configuration: %w", err)
	}
	opts.NoSigs, opts.NoLog = true, true
	ns, err := server.NewServer(opts)
	if err != nil {
		return nil, fmt.Errorf("starting the broker: %w", err)
	}
	m := &Member{ns: ns, log: newServerLog(log), routes: len(opts.Routes)}
	ns.SetLoggerV2(m.log, false, false, false)
	ns.Start()
	err = m.log.fatal()
	if err == nil && !ns.ReadyForConnections(readyTimeout) {
		err = fmt.Errorf("not ready for connections within %s", readyTimeout)
	}
	if err == nil && !ns.JetStreamEnabled() {
		err = errors.New("JetStream did not start")
	}
	if err != nil {
		m.Shutdown()
		return nil, fmt.Errorf("starting the broker: %w", err)
	}
	return m, nil
}

// readyEvery is how often a member looks whether its cluster has formed.
const readyEvery = 20 * time.Millisecond

// Ready returns when JetStream can be used: this server knows the cluster's leader and, if it is the leader, every server of
// its routes.
func (m *Member) Ready(ctx context.Context) error {
	tick := time.NewTicker(readyEvery)
	defer tick.Stop()
	for {
		health := m.ns.Healthz(&server.HealthzOptions{JSServerOnly: true})
		if health.StatusCode == http.StatusOK && m.whole() {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("waiting for the cluster (of %d servers: %s): %w", m.routes, health.Error, context.Cause(ctx))
		}
	}
}

// whole tells whether the leader has every server of the routes; others cannot tell.
func (m *Member) whole() bool {
	return m.routes == 0 || !m.ns.JetStreamIsLeader() || len(m.ns.JetStreamClusterPeers()) >= m.routes
}

// URL is where clients connect, without credentials.
func (m *Member) URL() string { return m.ns.ClientURL() }

// Shutdown stops the server and returns when its files are closed.
func (m *Member) Shutdown() {
	m.ns.Shutdown()
	m.ns.WaitForShutdown()
}
