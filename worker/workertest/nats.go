// Package workertest has what tests of the worker's packages share: real servers in process and the contracts that every
// implementation of an interface must keep.
package workertest

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest"

	"flowgate/worker/broker"
)

// OperatorPassword is the operator's password on servers of Server.
const OperatorPassword = "workertest"

// AckWait is the AckWait of the topology of tests.
const AckWait = 2 * time.Second

// Server starts a server in process in a folder of its own, with a listener on a free loopback port, and stops it when the
// test ends. Options change what it is started with.
func Server(t testing.TB, options ...func(*broker.Options)) *broker.Server {
	t.Helper()
	o := broker.Options{
		Dir: t.TempDir(), Listen: "127.0.0.1:0", Operator: broker.Credentials{Password: OperatorPassword},
		Log: zaptest.NewLogger(t, zaptest.Level(zapcore.ErrorLevel)),
	}
	for _, change := range options {
		change(&o)
	}
	srv, err := broker.Start(t.Context(), o)
	if err != nil {
		t.Fatalf("starting a server: %v", err)
	}
	t.Cleanup(srv.Shutdown)
	return srv
}

// Conn connects in process as the operator and closes the connection when the test ends.
func Conn(t testing.TB, srv *broker.Server) (*nats.Conn, jetstream.JetStream) {
	t.Helper()
	nc, err := srv.Connect()
	if err != nil {
		t.Fatalf("connecting: %v", err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatalf("making a JetStream context: %v", err)
	}
	return nc, js
}

// Producer connects over the network without credentials and closes the connection when the test ends.
func Producer(t testing.TB, srv *broker.Server, options ...nats.Option) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(srv.URL(), options...)
	if err != nil {
		t.Fatalf("connecting as a producer: %v", err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// Topology applies a topology with AckWait to a server and returns it.
func Topology(t testing.TB, js jetstream.JetStream, queues []broker.LayerQueue, options ...func(*broker.TopologyOptions)) broker.Topology {
	t.Helper()
	o := broker.DefaultTopologyOptions()
	o.AckWait = AckWait
	for _, change := range options {
		change(&o)
	}
	topology, err := broker.NewTopology(o, queues)
	if err != nil {
		t.Fatalf("planning the topology: %v", err)
	}
	if err := broker.Apply(t.Context(), js, topology); err != nil {
		t.Fatalf("applying the topology: %v", err)
	}
	return topology
}
