package workertest

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// OpenAIServer speaks OpenAI's Chat Completions over real HTTP, as a script says, and counts what it was asked.
//
// Calls are told apart by their X-Client-Request-Id, "<tenant>/<id>/<epoch>/<attempt>". Wherever a method takes a request
// id, the first parts of it stand for everything below: "acme/r-1" means all attempts of all epochs of that request, and
// "" means every call. All methods may be called at any time, concurrently.
type OpenAIServer struct {
	// URL is the base URL, version included, as a backend wants it.
	URL string

	mu      sync.Mutex
	calls   []OpenAICall
	scripts map[string]func(OpenAICall) OpenAIReply
	gates   map[string]*Gate
	hangUps map[string]bool
	done    chan struct{}
}

// OpenAICall is one call as it arrived.
type OpenAICall struct {
	// RequestID is the X-Client-Request-Id. N counts the calls of that exact id from 1.
	RequestID string      `json:"-"`
	N         int         `json:"-"`
	Header    http.Header `json:"-"`
	// Body is the JSON document; the fields are read from it. Temperature and the bounds are nil where they were not sent.
	Body                json.RawMessage `json:"-"`
	Model               string          `json:"model"`
	Messages            []OpenAIMessage `json:"messages"`
	Temperature         *float64        `json:"temperature"`
	MaxTokens           *int            `json:"max_tokens"`
	MaxCompletionTokens *int            `json:"max_completion_tokens"`
	// Billed is true where the reply that was made costs money, whether or not it arrived.
	Billed bool `json:"-"`
}

// OpenAIMessage is one message as it arrived.
type OpenAIMessage struct {
	Role    string `json:"role"`
	Content string `json:"content"`
	Name    string `json:"name"`
}

// NewOpenAI starts a server that answers every call with ReplyEcho. It ends with the test, releasing whoever is held.
func NewOpenAI(t testing.TB) *OpenAIServer {
	t.Helper()
	s := &OpenAIServer{
		scripts: map[string]func(OpenAICall) OpenAIReply{"": ReplyEcho}, gates: map[string]*Gate{},
		hangUps: map[string]bool{}, done: make(chan struct{}),
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/chat/completions", s.serve)
	server := httptest.NewServer(mux)
	s.URL = server.URL + "/v1"
	t.Cleanup(func() {
		close(s.done)
		server.CloseClientConnections()
		server.Close()
	})
	return s
}

// Script answers the calls of requestID with what reply makes of them. The longest request id that fits decides.
func (s *OpenAIServer) Script(requestID string, reply func(OpenAICall) OpenAIReply) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.scripts[requestID] = reply
}

// ScriptReplies answers the calls of requestID with replies, one after the other; the last one stays.
func (s *OpenAIServer) ScriptReplies(requestID string, replies ...OpenAIReply) {
	var mu sync.Mutex
	s.Script(requestID, func(OpenAICall) OpenAIReply {
		mu.Lock()
		defer mu.Unlock()
		reply := replies[0]
		if len(replies) > 1 {
			replies = replies[1:]
		}
		return reply
	})
}

// Calls is how many calls of requestID have arrived.
func (s *OpenAIServer) Calls(requestID string) int { return len(s.Seen(requestID)) }

// Billed is how many calls of requestID cost money, whether or not their answer arrived.
func (s *OpenAIServer) Billed(requestID string) int {
	billed := 0
	for _, call := range s.Seen(requestID) {
		if call.Billed {
			billed++
		}
	}
	return billed
}

// Seen is the calls of requestID, in the order of their arrival.
func (s *OpenAIServer) Seen(requestID string) []OpenAICall {
	s.mu.Lock()
	defer s.mu.Unlock()
	var seen []OpenAICall
	for _, call := range s.calls {
		if below(requestID, call.RequestID) {
			seen = append(seen, call)
		}
	}
	return seen
}

// Block holds the calls of requestID back, after they were read and counted and before they are answered, until the gate
// is released. The longest request id that fits decides.
func (s *OpenAIServer) Block(requestID string) *Gate {
	gate := &Gate{arrived: make(chan struct{}, 1<<16), released: make(chan struct{})}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gates[requestID] = gate
	return gate
}

// HangUp resets the connections of the calls of requestID once their headers are read: counted, and never billed.
func (s *OpenAIServer) HangUp(requestID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hangUps[requestID] = true
}

// Gate holds calls back.
type Gate struct {
	arrived  chan struct{}
	released chan struct{}
	once     sync.Once
}

// Arrived yields once for every call that came to the gate.
func (g *Gate) Arrived() <-chan struct{} { return g.arrived }

// Release lets the calls through, those to come as well. It may be called again.
func (g *Gate) Release() { g.once.Do(func() { close(g.released) }) }

func (g *Gate) wait(client, server <-chan struct{}) {
	select {
	case g.arrived <- struct{}{}:
	default:
	}
	select {
	case <-g.released:
	case <-client:
	case <-server:
	}
}

func (s *OpenAIServer) serve(w http.ResponseWriter, r *http.Request) {
	call := OpenAICall{RequestID: r.Header.Get("X-Client-Request-Id"), Header: r.Header.Clone()}
	if s.hangsUp(call) {
		hangUp(w)
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, 32<<20))
	if err == nil {
		call.Body = body
		err = json.Unmarshal(body, &call)
	}
	if err != nil {
		ReplyError(http.StatusBadRequest, "invalid_request_error", "unreadable").write(w)
		return
	}
	reply, gate := s.take(&call)
	if gate != nil {
		gate.wait(r.Context().Done(), s.done)
	}
	reply.write(w)
}

// hangsUp counts the call if its connection has to be reset.
func (s *OpenAIServer) hangsUp(call OpenAICall) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !longest(s.hangUps, call.RequestID) {
		return false
	}
	call.N = s.number(call.RequestID)
	s.calls = append(s.calls, call)
	return true
}

// number is what the next call of exactly that id counts. It is called under the lock.
func (s *OpenAIServer) number(requestID string) int {
	n := 1
	for i := range s.calls {
		if s.calls[i].RequestID == requestID {
			n++
		}
	}
	return n
}

// take counts the call and finds what happens to it.
func (s *OpenAIServer) take(call *OpenAICall) (OpenAIReply, *Gate) {
	s.mu.Lock()
	call.N = s.number(call.RequestID)
	at := len(s.calls)
	s.calls = append(s.calls, *call)
	script, gate := longest(s.scripts, call.RequestID), longest(s.gates, call.RequestID)
	s.mu.Unlock()

	reply := script(*call)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[at].Billed = reply.billed()
	return reply, gate
}

// longest is the entry under the longest request id that the call's lies below.
func longest[T any](entries map[string]T, requestID string) T {
	var found T
	length := -1
	for id, entry := range entries {
		if len(id) > length && below(id, requestID) {
			found, length = entry, len(id)
		}
	}
	return found
}

func below(parent, requestID string) bool {
	return parent == "" || requestID == parent || strings.HasPrefix(requestID, parent+"/")
}

// hangUp takes the connection from the server and resets it.
func hangUp(w http.ResponseWriter) {
	hijacker, ok := w.(http.Hijacker)
	if !ok {
		panic(fmt.Sprintf("%T cannot be taken over", w))
	}
	conn, _, err := hijacker.Hijack()
	if err != nil {
		return // it is gone already
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // reset instead of an orderly end
	}
	_ = conn.Close()
}
