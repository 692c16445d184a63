package provider

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"strconv"
	"time"
)

// dialect is what differs between protocols. Implementations hold no state.
type dialect interface {
	protocol() Protocol
	// admit looks at the credentials of a call.
	admit(k *keyring, r *http.Request, body []byte, now time.Time) *fault
	// read takes a document apart. id is our request id, where the document has it; it is heeded beside a fault too.
	read(r *http.Request, body []byte) (q *question, id string, f *fault)
	// answer writes what is answered, and may set headers.
	answer(h http.Header, q *question, a *answer) any
	// refuse words an error: its status and document.
	refuse(h http.Header, o Outcome, r *Reply, message string) (int, any)
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	route := func(path string, d dialect) {
		mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, d) })
	}
	route("/v1/messages", anthropic{})
	route("/v1/chat/completions", chat{})
	route("/v1/responses", responses{})
	route("/v1/embeddings", embeddings{})
	route("/model/{model}/converse", converse{})
	route("/model/{model}/invoke", invoke{})
	route("/gateway/{model}/mlflow/invocations", mlflow{})
	route("/gateway/mlflow/v1/chat/completions", mlflow{})
	route("/gateway/{model}/invocations", mlflow{})
	route("/endpoints/{model}/invocations", mlflow{})
	mux.HandleFunc("GET /v1/models", s.models) // the probe of a backend's health asks for it
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("OK")) })
	if s.options.Door {
		s.door(mux)
	}
	return mux
}

// serve is a call's way: it is counted as soon as it is read, whatever becomes of it.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, d dialect) {
	began := time.Now()
	c := Call{Ask: Ask{RequestID: r.Header.Get("X-Client-Request-Id"), Protocol: d.protocol(), Path: r.URL.Path}, Began: began}
	if c.RequestID != "" && s.hangsUp(c.RequestID) {
		s.leave(s.count(&c, Reset))
		reset(w)
		return
	}
	body, err := readBody(w, r)
	if err != nil {
		s.leave(s.count(&c, TooLarge))
		s.refuse(w, d, Reply{Outcome: TooLarge}, "")
		return
	}
	c.Body = body
	now := s.options.Now()
	w.Header().Set("Date", now.UTC().Format(http.TimeFormat)) // a client can tell by how much the clocks differ
	q, id, f := d.read(r, body)
	if c.RequestID == "" {
		c.RequestID = id
	}
	if q != nil {
		c.Model, c.MaxTokens, c.PromptBytes, c.Features = q.model, q.maxTokens, q.promptBytes(), q.features()
	}
	if refused := d.admit(&s.keys, r, body, now); refused != nil {
		f = refused
	}
	if f == nil && !s.has(q.model) {
		f = &fault{Missing, ""}
	}
	if f != nil {
		s.leave(s.count(&c, f.outcome))
		s.refuse(w, d, Reply{Outcome: f.outcome, Message: f.message}, "")
		return
	}
	s.reply(w, r, d, q, &c, now)
}

// reply answers a call that can be answered.
func (s *Server) reply(w http.ResponseWriter, r *http.Request, d dialect, q *question, c *Call, now time.Time) {
	limit := s.limits.take(c.Model, now)
	limit.say(w.Header(), d.protocol(), now)
	c.N = s.books.number(c.RequestID)
	c.Key, c.Epoch, c.Attempt = parseID(c.RequestID)
	reply := Reply{Outcome: RateLimited}
	if limit.refused {
		limit.retry(w.Header(), d.protocol())
	} else {
		reply = (*s.script.Load())(c.Ask)
	}
	var a *answer
	if answers(reply.Outcome, d.protocol()) {
		made, f := answerTo(q, &c.Ask, &reply)
		if f != nil {
			reply = Reply{Outcome: f.outcome, Message: f.message}
		} else {
			a = made
			a.seq = s.seq.Add(1)
		}
	}
	c.Answered = reply.Outcome
	at := s.books.enter(*c)
	defer s.leave(at)
	if gate := s.gate(c.RequestID); gate != nil {
		gate.wait(r.Context())
	}
	up, ok := s.seats.take(r.Context())
	if !ok {
		return
	}
	defer up()
	if reply.After > 0 && !pause(r.Context(), reply.After) {
		return
	}
	s.write(w, r, d, q, a, reply)
}

// count enters a call that is not asked of the script.
func (s *Server) count(c *Call, o Outcome) int64 {
	c.N = s.books.number(c.RequestID)
	c.Key, c.Epoch, c.Attempt = parseID(c.RequestID)
	c.Answered = o
	return s.books.enter(*c)
}

func (s *Server) leave(at int64) { s.books.leave(at, time.Now()) }

// answers tells whether an outcome needs an answer made.
func answers(o Outcome, p Protocol) bool {
	return o.Billed() && o != Garbage && o != EmptyBody || o == FailedIn200 && p == Responses
}

// write writes what was made of the call.
func (s *Server) write(w http.ResponseWriter, r *http.Request, d dialect, q *question, a *answer, reply Reply) {
	for name, values := range reply.Header {
		w.Header()[http.CanonicalHeaderKey(name)] = values
	}
	switch reply.Outcome { //nolint:exhaustive // the others are errors or answers
	case Reset, Cut:
		reset(w)
	case Garbage:
		writeText(w, http.StatusOK, "application/json", "\x00\xff{]garbage")
	case EmptyBody:
		writeText(w, http.StatusOK, "application/json", "")
	case Raw:
		w.WriteHeader(max(reply.Status, http.StatusOK))
		_, _ = w.Write([]byte(reply.Body)) // the caller may have gone
	case Half:
		half(w, d.answer(w.Header(), q, a))
	case Endless:
		trickle(r.Context(), w)
	default:
		if a == nil || a.failed && d.protocol() != Responses { // no other protocol has an answer that failed
			s.refuse(w, d, reply, q.last())
			return
		}
		writeJSON(w, http.StatusOK, d.answer(w.Header(), q, a))
	}
}

// quoted is how much of a prompt an error repeats, as those of providers do: nobody may repeat it after them.
const quoted = 80

// refuse answers with an error in the words of a protocol.
func (s *Server) refuse(w http.ResponseWriter, d dialect, reply Reply, prompt string) {
	reply.sayRetry(w.Header(), s.options.Now())
	if reply.Outcome == BadGateway {
		writeText(w, http.StatusBadGateway, "text/html", "<html><head><title>502 Bad Gateway</title></head><body><center><h1>502 Bad Gateway</h1></center><hr><center>proxy</center></body></html>")
		return
	}
	status, doc := d.refuse(w.Header(), reply.Outcome, &reply, reply.about(prompt))
	if reply.Status != 0 {
		status = reply.Status
	}
	if reply.Outcome == ErrorIn200 || reply.Outcome == FailedIn200 {
		status = http.StatusOK
	}
	writeJSON(w, status, doc)
}

// about is the message of an error.
func (r *Reply) about(prompt string) string {
	if r.Message != "" {
		return r.Message
	}
	message := "the fake provider answers " + string(r.Outcome)
	if prompt != "" {
		message += " to: " + prompt[:min(len(prompt), quoted)]
	}
	return message
}

// sayRetry writes how long to wait.
func (r *Reply) sayRetry(h http.Header, now time.Time) {
	switch {
	case r.RetryAfter <= 0:
	case r.RetryForm == RetrySeconds:
		h.Set("Retry-After", strconv.FormatInt(int64((r.RetryAfter+time.Second-1)/time.Second), 10))
	case r.RetryForm == RetryDate:
		h.Set("Retry-After", now.Add(r.RetryAfter).UTC().Format(http.TimeFormat))
	default:
		h.Set("Retry-After-Ms", strconv.FormatInt(r.RetryAfter.Milliseconds(), 10))
	}
}

func writeText(w http.ResponseWriter, status int, kind, text string) {
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text)) // the caller may have gone
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		panic(http.ErrAbortHandler) // the server's own way to break a connection off
	}
	if w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "application/json")
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	w.WriteHeader(status)
	_, _ = w.Write(data) // the caller may have gone
}

func half(w http.ResponseWriter, v any) {
	data, err := json.Marshal(v)
	if err == nil {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(data)))
		_, _ = w.Write(data[:len(data)/2])        // the caller may have gone
		_ = http.NewResponseController(w).Flush() // the same
	}
	panic(http.ErrAbortHandler)
}

// trickle is an answer that never ends.
func trickle(ctx context.Context, w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	for {
		if _, err := w.Write([]byte(" ")); err != nil {
			return
		}
		_ = http.NewResponseController(w).Flush() // the caller may have gone
		if !pause(ctx, 20*time.Millisecond) {
			return
		}
	}
}

// reset takes the connection from the server and resets it.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // a reset instead of an orderly end
	}
	_ = conn.Close() // it is cut off either way
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
