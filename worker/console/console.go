package console

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"go.uber.org/zap"
	"golang.org/x/net/netutil"
)

// Options are what a console needs.
type Options struct {
	// Listen is host:port; port 0 is any free one.
	Listen string
	// AllowRemote lets it listen where other machines can reach it.
	AllowRemote bool
	// Overdue names the loops of this process that hang; nil: none is watched.
	Overdue func() []string
	// Ready are what the process needs to work.
	Ready []Check
	// Services are shown by /readyz without being asked; nil: none are.
	Services func() []Service
	// Metrics answers /metrics; nil: nobody does.
	Metrics http.Handler
	Logger  *zap.Logger
}

// Bounds of the listener.
const (
	mostConnections = 64
	mostHeader      = 8 << 10
	mostBody        = 4 << 10
	readTimeout     = 5 * time.Second
	writeTimeout    = 30 * time.Second
	idleTimeout     = time.Minute
	farewell        = 2 * time.Second
)

// Console is a listener that waits for Run.
type Console struct {
	listener net.Listener
	server   *http.Server
}

// New checks the options and listens. The caller calls Run, or Close.
func New(ctx context.Context, o Options) (*Console, error) {
	host, _, err := net.SplitHostPort(o.Listen)
	if err != nil {
		return nil, fmt.Errorf("reading the address %q: must be host:port, such as 127.0.0.1:4280", o.Listen)
	}
	if !o.AllowRemote && !loopback(host) {
		return nil, fmt.Errorf("%s is not a loopback address: whoever reaches the port reads health and metrics without a password; "+
			"listen on 127.0.0.1, or allow it", o.Listen)
	}
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", o.Listen)
	if err != nil {
		return nil, fmt.Errorf("listening on %s for HTTP: %w", o.Listen, err)
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	mux := http.NewServeMux()
	mux.Handle("GET /livez", livez(o.Overdue))
	mux.Handle("GET /readyz", readyz(o.Ready, o.Services))
	if o.Metrics != nil {
		mux.Handle("GET /metrics", o.Metrics)
	}
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("flowgate: /livez /readyz /metrics\n"))
	})
	c := &Console{
		listener: netutil.LimitListener(listener, mostConnections),
		server: &http.Server{
			Handler:           guard(mux, !o.AllowRemote),
			ReadHeaderTimeout: readTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
			MaxHeaderBytes: mostHeader, ErrorLog: zap.NewStdLog(zap.NewNop()), // it would repeat what strangers sent
		},
	}
	return c, nil
}

// URL is where it answers.
func (c *Console) URL() string { return "http://" + c.listener.Addr().String() }

// Run answers until ctx ends, then lets the answers under way end.
func (c *Console) Run(ctx context.Context) error {
	served := make(chan error, 1)
	go func() { served <- c.server.Serve(c.listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("serving HTTP: %w", err)
	case <-ctx.Done():
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
	defer cancel()
	err := c.server.Shutdown(ending)
	if err != nil {
		err = c.server.Close() // who is slow is cut off
	}
	if ended := <-served; !errors.Is(ended, http.ErrServerClosed) {
		err = errors.Join(err, ended)
	}
	if err != nil {
		return fmt.Errorf("ending the HTTP listener: %w", err)
	}
	return nil
}

// Close gives up a console that never ran.
func (c *Console) Close() error { return c.listener.Close() }
