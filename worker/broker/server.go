// Package broker is JetStream as flowgate uses it: an embedded server for one machine, the topology as data, the claim
// store, reads from a stream's leader, and the janitor that purges what every reader has passed.
//
// Read next: topology.go, then newest.go.
package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"go.uber.org/zap"
)

// OperatorUser is the user who may everything in flowgate's account.
const OperatorUser = "operator"

// readyTimeout bounds the wait for a started server; it is ready in milliseconds, recovery of a large store included in Start.
const readyTimeout = 30 * time.Second

// Credentials are what the operator logs in with.
type Credentials struct {
	// Password MUST NOT be empty; the caller makes it at random for every start.
	Password string
}

// Options is how an embedded server is started.
type Options struct {
	// Dir is the state folder. The server's own folder in it is "nats" and only the owner can read it.
	Dir string
	// Listen is "127.0.0.1:4222", "127.0.0.1:0" for any free port, or "" for none: then only this process can connect.
	Listen string
	// Sync flushes every write to disk before it is acknowledged.
	Sync bool
	// MaxStore and MaxMemory bound JetStream in bytes; 0 leaves it to the server: the free disk, 75% of the memory.
	MaxStore, MaxMemory int64
	// Operator is who may everything.
	Operator Credentials
	// Walls say who else is let in. The zero value lets everybody in, as a producer of every tenant.
	Walls Walls
	// Log gets the server's warnings and errors; nil drops them.
	Log *zap.Logger
}

// Server is an embedded nats-server.
type Server struct {
	ns         *server.Server
	doorkeeper *doorkeeper
}

// Start starts a server and returns when it can be used. The caller MUST call Shutdown. A taken port is an error that
// names the address. One folder belongs to one server at a time: the caller holds its lock (package state).
func Start(ctx context.Context, o Options) (*Server, error) {
	if o.Operator.Password == "" {
		return nil, errors.New("starting the broker: the operator has no password")
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("starting the broker: %w", err)
	}
	own, err := makeFolder(o.Dir)
	if err != nil {
		return nil, err
	}
	doorkeeper := &doorkeeper{operator: o.Operator}
	opts, err := serverOptions(o, own, doorkeeper)
	if err != nil {
		return nil, err
	}
	if err := probe(ctx, o.Listen); err != nil {
		return nil, err
	}
	ns, err := server.NewServer(opts)
	if err != nil {
		return nil, fmt.Errorf("starting the broker: %w", err)
	}
	s := &Server{ns: ns, doorkeeper: doorkeeper}
	if err := s.wall(o.Walls); err != nil {
		return nil, fmt.Errorf("starting the broker: %w", err)
	}
	log := newServerLog(o.Log)
	ns.SetLoggerV2(log, false, false, false)
	ns.Start() // returns when the store is recovered and the listener is open, or after a fatal line in the log
	if err := s.whole(opts.DontListen, log); err != nil {
		s.Shutdown()
		return nil, err
	}
	return s, nil
}

func (s *Server) whole(private bool, log *serverLog) error {
	if err := log.fatal(); err != nil {
		return fmt.Errorf("starting the broker: %w", err)
	}
	if !private && !s.ns.ReadyForConnections(readyTimeout) {
		return fmt.Errorf("starting the broker: not ready for connections within %s", readyTimeout)
	}
	if !s.ns.JetStreamEnabled() {
		return errors.New("starting the broker: JetStream did not start")
	}
	return nil
}

// makeFolder makes the state folder, open to all since Postgres runs in it under another user, and in it the server's
// own, closed to others.
func makeFolder(dir string) (string, error) {
	own := filepath.Join(dir, "nats")
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // see above
		return "", fmt.Errorf("making the state folder: %w", err)
	}
	if err := os.MkdirAll(own, 0o700); err != nil {
		return "", fmt.Errorf("making the broker's folder: %w", err)
	}
	return own, nil
}

func serverOptions(o Options, own string, d *doorkeeper) (*server.Options, error) {
	opts := &server.Options{
		ServerName: "flowgate",
		NoSigs:     true,
		DontListen: o.Listen == "",
		JetStream:  true,
		StoreDir:   own,
		SyncAlways: o.Sync,

		JetStreamMaxStore:      o.MaxStore,
		JetStreamMaxMemory:     o.MaxMemory,
		DisableJetStreamBanner: true,
	}
	if err := opts.ProcessConfigString("accounts { " + accountFlowgate + " { jetstream: enabled } }"); err != nil {
		return nil, fmt.Errorf("reading the broker's accounts: %w", err)
	}
	opts.CustomClientAuthentication, opts.AlwaysEnableNonce = d, true
	if slices.ContainsFunc(o.Walls.accounts(), func(a account) bool { return a.anonymous }) {
		// Clients are told that they need not log in; the doorkeeper decides.
		opts.Users, opts.NoAuthUser = []*server.User{{Username: userProducer}}, userProducer
	}
	if o.Listen == "" {
		return opts, nil
	}
	host, port, err := net.SplitHostPort(o.Listen)
	if err != nil {
		return nil, fmt.Errorf("reading the listen address %q: %w", o.Listen, err)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("reading the listen address %q: the port must be a number from 0 to 65535", o.Listen)
	}
	opts.Host, opts.Port = host, int(n)
	if n == 0 {
		opts.Port = server.RANDOM_PORT
	}
	return opts, nil
}

// wall puts up the first walls, before anybody is let in.
func (s *Server) wall(w Walls) error {
	flowgate, err := s.ns.LookupAccount(accountFlowgate)
	if err != nil {
		return fmt.Errorf("finding flowgate's account: %w", err)
	}
	s.doorkeeper.flowgate = &server.User{Username: OperatorUser, Account: flowgate}
	return s.doorkeeper.open(s.ns, w)
}

// Rebuild puts up other walls while the server works. Whom they do not let in any more cannot come in from now on, and is cut
// off; what was on its way from there may still be taken. Calls MUST NOT overlap. After an error the former walls stand.
func (s *Server) Rebuild(w Walls) error {
	if err := s.doorkeeper.open(s.ns, w); err != nil {
		return fmt.Errorf("changing the broker's accounts: %w", err)
	}
	strangers, err := s.doorkeeper.strangers(s.ns)
	if err != nil {
		return fmt.Errorf("changing the broker's accounts: %w", err)
	}
	for _, id := range strangers {
		_ = s.ns.DisconnectClientByID(id) // who is gone already is cut off
	}
	return nil
}

// probe finds a taken port before the store is recovered, so that the error is about the port alone.
func probe(ctx context.Context, listen string) error {
	if listen == "" {
		return nil
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", listen)
	if err != nil {
		return fmt.Errorf("listening on %s for NATS clients: %w (stop the program that has the port, or choose another "+
			"address; port 0 takes any free one)", listen, err)
	}
	if err := l.Close(); err != nil {
		return fmt.Errorf("listening on %s for NATS clients: %w", listen, err)
	}
	return nil
}

// InProcess connects without a network, as the operator.
func (s *Server) InProcess() nats.Option {
	return func(o *nats.Options) error {
		if err := nats.InProcessServer(s.ns)(o); err != nil {
			return fmt.Errorf("connecting in process: %w", err)
		}
		return s.Operator()(o)
	}
}

// Operator logs a connection over the network in as the operator.
func (s *Server) Operator() nats.Option {
	return nats.UserInfo(OperatorUser, s.doorkeeper.operator.Password)
}

// Connect connects in process as the operator. The caller closes the connection, before Shutdown.
func (s *Server) Connect(opts ...nats.Option) (*nats.Conn, error) {
	nc, err := nats.Connect("", append([]nats.Option{s.InProcess(), nats.Name("flowgate")}, opts...)...)
	if err != nil {
		return nil, fmt.Errorf("connecting in process: %w", err)
	}
	return nc, nil
}

// URL is where other programs connect, without credentials. It is empty without a listener.
func (s *Server) URL() string {
	addr := s.ns.Addr()
	if addr == nil {
		return ""
	}
	return "nats://" + addr.String()
}

// Shutdown stops the server and returns when its files are closed. It may be called more than once.
func (s *Server) Shutdown() {
	s.ns.Shutdown()
	s.ns.WaitForShutdown()
}
