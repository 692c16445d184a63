// Package provider is a model server that is none: on one port of loopback it speaks Anthropic's Messages, OpenAI's Chat
// Completions, Responses and embeddings, Bedrock's Converse and InvokeModel with verified signatures, and MLflow's gateway; it
// answers as a script says, and keeps account of every call. Tests, drills and rehearsals count by it what a real provider
// would have billed.
//
// Read reply.go next: what a script can ask for. Then serve.go (a call's way), answer.go (what it answers and what that counts),
// one file per protocol, and fault.go for how each of them words an error.
package provider

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"flowgate/worker/link"
)

// Options are the choices of a provider.
type Options struct {
	// Listen is host:port on loopback; port 0 is any free one.
	Listen string
	// Script answers each call; it MUST be pure, and may be called concurrently. nil: every call succeeds at once. Ends may
	// replace it while the provider runs (SetScript).
	Script func(Ask) Reply
	// Key is the only API key, bearer token or password that is taken; empty: any, and none.
	Key string
	// AWS are the credentials that may sign calls of Bedrock; nil: DefaultAWS.
	AWS []AWSKey
	// Models are the only ones that there are; nil: every name is a model.
	Models []string
	// Rate is how many calls a second a model takes, Burst how many at once; Rate 0: without limit.
	Rate  float64
	Burst int
	// AtOnce is how many calls are worked on at once, of all models together; those beyond wait; 0: without limit.
	AtOnce int
	// MaxCalls is how many calls the books keep one by one, the newest; 0: MaxCalls. Totals count all.
	MaxCalls int
	// Door opens the control door under /fake/, for whoever can reach the port.
	Door bool
	// Now is the clock of signatures and of the limit; nil: time.Now.
	Now func() time.Time
}

// Server is the provider. Its methods may be called at any time, concurrently.
type Server struct {
	options Options
	address string
	handler http.Handler
	books   *books
	limits  limiter
	seats   seats
	keys    keyring
	script  atomic.Pointer[func(Ask) Reply]
	seq     atomic.Uint64

	mu    sync.Mutex
	first net.Listener // taken by New, served by Run
	life  *http.Server
	ctx   context.Context //nolint:containedctx // Run's, for lives that begin later
	lives sync.WaitGroup
	fatal chan error
	gates map[string]*Gate
	reset map[string]bool
	now   state         // what a rehearsal runs on
	dying time.Duration // how long it is to be dead once it runs
}

// New takes the address; nobody is answered before Run.
func New(o Options) (*Server, error) {
	host, port, err := net.SplitHostPort(o.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen: must be host:port: %w", err)
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return nil, fmt.Errorf("listen: must be an address of loopback, such as 127.0.0.1:0, is %q", host)
	}
	listener, err := listen(host, port)
	if err != nil {
		return nil, fmt.Errorf("listening: %w", err)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.MaxCalls <= 0 {
		o.MaxCalls = MaxCalls
	}
	if o.AWS == nil {
		o.AWS = DefaultAWS()
	}
	s := &Server{
		options: o, address: listener.Addr().String(), first: listener, books: newBooks(o.MaxCalls), fatal: make(chan error, 1),
		gates: make(map[string]*Gate), reset: make(map[string]bool),
	}
	s.SetLimit(o.Rate, o.Burst)
	s.SetAtOnce(o.AtOnce)
	s.keys.set(o.Key, o.AWS)
	s.SetScript(o.Script)
	s.now = state{rate: o.Rate, burst: o.Burst, atOnce: o.AtOnce}
	s.handler = s.routes()
	return s, nil
}

// listen takes an address that a provider that was dead can take again: a port that is ours to choose is one that no connection that
// leaves is given meanwhile.
func listen(host, port string) (net.Listener, error) {
	if port == "0" {
		return link.Listen(host)
	}
	return net.Listen("tcp", net.JoinHostPort(host, port))
}

// SetScript replaces the script; nil: every call succeeds at once.
func (s *Server) SetScript(script func(Ask) Reply) {
	if script == nil {
		script = func(Ask) Reply { return Reply{Outcome: Success} }
	}
	s.script.Store(&script)
}

// SetLimit changes how many calls a second each model takes, and how many at once (0: a fifth of the rate); rate 0 lifts the
// limit.
func (s *Server) SetLimit(rate float64, burst int) { s.limits.set(rate, burstOf(rate, burst)) }

// SetAtOnce changes how many calls are worked on at once; those beyond wait for their turn. 0 lifts the limit.
func (s *Server) SetAtOnce(n int) { s.seats.set(n) }

// TellLimit says whether the headers of answers tell how a limit stands, as they do from the start. Without them only the
// Retry-After of a refused call does.
func (s *Server) TellLimit(does bool) { s.limits.tell(does) }

// SetKeys changes what is taken as API key and who may sign calls of Bedrock.
func (s *Server) SetKeys(key string, aws ...AWSKey) { s.keys.set(key, aws) }

// URL is the base URL of OpenAI's protocol, version included, as a backend wants it.
func (s *Server) URL() string { return s.Root() + "/v1" }

// Root is the URL without a path: the base URL of Anthropic's protocol, of Bedrock and of MLflow.
func (s *Server) Root() string { return "http://" + s.address }

// Calls are the books: the calls that are kept, in the order of arrival.
func (s *Server) Calls() []Call { return s.books.list("") }

// Seen are the calls of a request id; the first parts of one stand for everything below.
func (s *Server) Seen(requestID string) []Call { return s.books.list(requestID) }

// Totals counts the calls of a request id, or of all that ever came for "".
func (s *Server) Totals(requestID string) Totals { return s.books.totals(requestID) }

// Reset empties the books.
func (s *Server) Reset() { s.books.reset() }

// Run answers until ctx ends, which cuts off the calls in flight.
func (s *Server) Run(ctx context.Context) error {
	s.mu.Lock()
	s.ctx = ctx
	s.begin(s.first)
	if s.dying > 0 {
		s.die(s.dying)
	}
	s.mu.Unlock()
	var err error
	select {
	case <-ctx.Done():
	case err = <-s.fatal:
	}
	s.mu.Lock()
	s.end()
	s.ctx = nil
	s.mu.Unlock()
	s.lives.Wait()
	return err
}

// begin serves a listener. It is called under the lock.
func (s *Server) begin(listener net.Listener) {
	ctx := s.ctx
	life := &http.Server{Handler: s.handler, ReadHeaderTimeout: 30 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx }}
	s.life = life
	s.lives.Go(func() {
		if err := life.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			select {
			case s.fatal <- fmt.Errorf("serving as a provider: %w", err):
			default:
			}
		}
	})
}

// end cuts everything off. It is called under the lock.
func (s *Server) end() {
	if s.life != nil {
		_ = s.life.Close() // it only cuts off
		s.life = nil
	}
}

// Dead makes it refuse connections, and cuts off those that there are, or brings it back on the same port. It MUST be called
// while Run runs.
func (s *Server) Dead(dead bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.ctx == nil:
		return errors.New("the provider does not run")
	case dead:
		s.end()
		return nil
	case s.life != nil:
		return nil
	}
	listener, err := net.Listen("tcp", s.address) //nolint:noctx // it does not wait
	if err != nil {
		return fmt.Errorf("listening again: %w", err)
	}
	s.begin(listener)
	return nil
}

// Shut makes it refuse new connections, while the calls in flight are answered; Dead(false) opens it again.
func (s *Server) Shut() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx == nil {
		return errors.New("the provider does not run")
	}
	if life, ctx := s.life, s.ctx; life != nil {
		s.life = nil
		s.lives.Go(func() {
			if life.Shutdown(ctx) != nil {
				_ = life.Close() // it only cuts off
			}
		})
	}
	return nil
}
