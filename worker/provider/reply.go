package provider

import (
	"encoding/json"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Outcome is how a call is answered.
type Outcome string

// The outcomes.
const (
	// Success answers with as many tokens as the call allows.
	Success Outcome = "success"
	// RateLimited is a 429, Overloaded a 503, Failed a 500: nothing was billed.
	RateLimited Outcome = "rate_limited"
	Overloaded  Outcome = "overloaded"
	Failed      Outcome = "failed"
	// Invalid is a 400, which no repetition heals.
	Invalid Outcome = "invalid"
	// Cut works on the call, which a provider bills, and resets the connection without an answer.
	Cut Outcome = "cut"
	// Half breaks off in the middle of the answer.
	Half Outcome = "half"
)

// Billed tells whether a provider would bill the call, whether or not its caller heard the answer.
func (o Outcome) Billed() bool { return o == Success || o == Cut || o == Half }

// Reply is what a script makes of a call.
type Reply struct {
	Outcome Outcome
	// After is how long the answer takes.
	After time.Duration
	// RetryAfter goes with RateLimited and Overloaded; 0: not said.
	RetryAfter time.Duration
}

// bytesPerToken is what this provider calls a token of a prompt.
const bytesPerToken = 4

func (r Reply) write(w http.ResponseWriter, ask Ask) {
	switch r.Outcome {
	case Success:
		writeJSON(w, http.StatusOK, completion(ask))
	case Half:
		writeHalf(w, completion(ask))
	case Cut:
		reset(w)
	case RateLimited:
		r.refuse(w, http.StatusTooManyRequests, "requests", "rate_limit_exceeded")
	case Overloaded:
		r.refuse(w, http.StatusServiceUnavailable, "server_error", "server_is_overloaded")
	case Failed:
		r.refuse(w, http.StatusInternalServerError, "server_error", "")
	case Invalid:
		r.refuse(w, http.StatusBadRequest, "invalid_request_error", "invalid_value")
	}
}

func (r Reply) refuse(w http.ResponseWriter, status int, kind, code string) {
	if r.RetryAfter > 0 {
		w.Header().Set("Retry-After-Ms", strconv.FormatInt(r.RetryAfter.Milliseconds(), 10))
	}
	fault := map[string]any{"message": "as the script says", "type": kind, "param": nil, "code": nil}
	if code != "" {
		fault["code"] = code
	}
	writeJSON(w, status, map[string]any{"error": fault})
}

// completion is a chat completion that uses all tokens that the call allows.
func completion(ask Ask) map[string]any {
	tokens := max(ask.MaxTokens, 1)
	in := ask.PromptBytes/bytesPerToken + 1
	return map[string]any{
		"id": "chatcmpl-drill", "object": "chat.completion", "created": 1_790_000_000, "model": ask.Model,
		"choices": []any{map[string]any{
			"index": 0, "finish_reason": "length", "logprobs": nil,
			"message": map[string]any{"role": "assistant", "content": strings.Repeat("so ", min(tokens, 64)), "refusal": nil},
		}},
		"usage": map[string]any{"prompt_tokens": in, "completion_tokens": tokens, "total_tokens": in + tokens},
	}
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the caller may have gone
}

func writeHalf(w http.ResponseWriter, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		panic(http.ErrAbortHandler) // the server's own way to break a connection off
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	_, _ = w.Write(data[:len(data)/2]) // the caller may have gone
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
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
