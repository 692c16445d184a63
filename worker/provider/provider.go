// Package provider is a model server that is none: it speaks OpenAI's Chat Completions on loopback, answers as a script says,
// and keeps account of every call. Drills count by it what a real provider would have billed.
//
// Read reply.go next: what a script can ask for.
package provider

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Ask is one call as a script sees it. Key, Epoch and Attempt are read from the header X-Client-Request-Id,
// "<tenant>/<id>/<epoch>/<attempt>"; of a call without one they are empty.
type Ask struct {
	// RequestID is the whole header. N counts the calls of exactly that id, from 1.
	RequestID string `json:"request_id"`
	N         int    `json:"n"`
	// Key is "<tenant>/<id>".
	Key     string `json:"key"`
	Epoch   int    `json:"epoch"`
	Attempt int    `json:"attempt"`
	// Model and MaxTokens are the document's, PromptBytes the length of its messages' texts.
	Model       string `json:"model"`
	MaxTokens   int    `json:"max_tokens"`
	PromptBytes int    `json:"prompt_bytes"`
}

// Call is one call in the provider's books.
type Call struct {
	Ask

	Answered Outcome `json:"answered"`
	// Began is when it was read, Ended when its answer was written or its caller had gone.
	Began time.Time `json:"began"`
	Ended time.Time `json:"ended"`
}

// MaxCalls bounds the books; what comes later is answered as overloaded.
const MaxCalls = 1 << 20

// Options are the choices of a provider.
type Options struct {
	// Listen is host:port on loopback; port 0 is any free one.
	Listen string
	// Script answers each call; it MUST be pure, and may be called concurrently. nil: every call succeeds at once.
	Script func(Ask) Reply
}

// Server is the provider. Its methods may be called at any time, concurrently.
type Server struct {
	script   func(Ask) Reply
	listener net.Listener

	mu    sync.Mutex
	calls []Call
	times map[string]int
}

// New takes the address; nobody is answered before Run.
func New(o Options) (*Server, error) {
	host, _, err := net.SplitHostPort(o.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen: must be host:port: %w", err)
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return nil, fmt.Errorf("listen: must be an address of loopback, such as 127.0.0.1:0, is %q", host)
	}
	listener, err := net.Listen("tcp", o.Listen) //nolint:noctx // it does not wait
	if err != nil {
		return nil, fmt.Errorf("listening: %w", err)
	}
	s := &Server{script: o.Script, listener: listener, times: make(map[string]int)}
	if s.script == nil {
		s.script = func(Ask) Reply { return Reply{Outcome: Success} }
	}
	return s, nil
}

// URL is the base URL, version included, as a backend wants it.
func (s *Server) URL() string { return "http://" + s.listener.Addr().String() + "/v1" }

// Run answers until ctx ends, which cuts off the calls in flight.
func (s *Server) Run(ctx context.Context) error {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/chat/completions", s.serve)
	mux.HandleFunc("GET /v1/models", func(w http.ResponseWriter, _ *http.Request) { // the probe of a backend's health asks for it
		writeJSON(w, http.StatusOK, map[string]any{"object": "list", "data": []any{}})
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 30 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx }}
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		_ = server.Close() // it only cuts off
	})
	err := server.Serve(s.listener)
	if !stop() {
		<-stopped
	}
	if errors.Is(err, http.ErrServerClosed) && ctx.Err() != nil {
		return nil //nolint:nilerr // it was told to stop
	}
	return fmt.Errorf("serving as a provider: %w", err)
}

// Calls are the books: every call, in the order of arrival.
func (s *Server) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Call(nil), s.calls...)
}

// maxBody bounds what is read of a call.
const maxBody = 32 << 20

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	ask := Ask{RequestID: r.Header.Get("X-Client-Request-Id")}
	ask.Key, ask.Epoch, ask.Attempt = parseID(ask.RequestID)
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err == nil {
		err = ask.read(body)
	}
	if err != nil {
		Reply{Outcome: Invalid}.write(w, ask)
		return
	}
	reply, at := s.enter(&ask, began)
	if at >= 0 {
		defer s.leave(at)
	}
	if pause(r.Context(), reply.After) {
		reply.write(w, ask)
	}
}

// enter writes the call into the books and finds its answer; at -1: the books are full.
func (s *Server) enter(ask *Ask, began time.Time) (reply Reply, at int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.calls) >= MaxCalls {
		return Reply{Outcome: Overloaded}, -1
	}
	s.times[ask.RequestID]++
	ask.N = s.times[ask.RequestID]
	reply = s.script(*ask)
	s.calls = append(s.calls, Call{Ask: *ask, Answered: reply.Outcome, Began: began})
	return reply, len(s.calls) - 1
}

func (s *Server) leave(at int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[at].Ended = time.Now()
}

// read takes from the document what a script may look at.
func (a *Ask) read(body []byte) error {
	var doc struct {
		Model               string `json:"model"`
		MaxTokens           int    `json:"max_tokens"`
		MaxCompletionTokens int    `json:"max_completion_tokens"`
		Messages            []struct {
			Content string `json:"content"`
		} `json:"messages"`
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		return fmt.Errorf("decoding a call: %w", err)
	}
	a.Model, a.MaxTokens = doc.Model, max(doc.MaxTokens, doc.MaxCompletionTokens)
	for _, m := range doc.Messages {
		a.PromptBytes += len(m.Content)
	}
	return nil
}

// parseID takes "<tenant>/<id>/<epoch>/<attempt>" apart.
func parseID(id string) (key string, epoch, attempt int) {
	parts := strings.Split(id, "/")
	if len(parts) != 4 {
		return "", 0, 0
	}
	epoch, e1 := strconv.Atoi(parts[2])
	attempt, e2 := strconv.Atoi(parts[3])
	if errors.Join(e1, e2) != nil {
		return "", 0, 0
	}
	return parts[0] + "/" + parts[1], epoch, attempt
}

// pause waits for d; false: the caller has gone.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
