package workertest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// OpenAIReply is one reply of an OpenAIServer. The functions Reply… make the usual ones; their fields may be changed.
type OpenAIReply struct {
	Status int
	Header map[string]string
	Body   string
	// Cut breaks the connection in the middle of the body, Reset before the first byte of the reply.
	Cut, Reset bool
	// Unbilled marks a reply of status 200 that costs nothing.
	Unbilled bool
}

// OpenAIUsage is the usage of a reply, as it travels.
type OpenAIUsage struct {
	Prompt, Completion            int
	Cached, CacheWrite, Reasoning int
}

// ReplyEcho answers with a text that depends on temperature and model alone, a word a token, cut after the call's bound.
// It is what a server answers without a script.
func ReplyEcho(call OpenAICall) OpenAIReply {
	temperature := "absent"
	if call.Temperature != nil {
		temperature = strconv.FormatFloat(*call.Temperature, 'g', -1, 64)
	}
	words := strings.Fields("the test server answers as " + call.Model + " at temperature " + temperature + " and says nothing more")
	bound, finish := len(words), "stop"
	for _, limit := range []*int{call.MaxTokens, call.MaxCompletionTokens} {
		if limit != nil && *limit < bound {
			bound, finish = *limit, "length"
		}
	}
	prompt := 0
	for _, m := range call.Messages {
		prompt += 4 + len(strings.Fields(m.Content))
	}
	return ReplyCompletion(strings.Join(words[:bound], " "), finish, OpenAIUsage{Prompt: prompt, Completion: bound})
}

// ReplyAnswer answers with text and a usage of ten tokens in, five out.
func ReplyAnswer(text string) OpenAIReply {
	return ReplyCompletion(text, "stop", OpenAIUsage{Prompt: 10, Completion: 5})
}

// ReplyCompletion answers with a chat completion.
func ReplyCompletion(text, finish string, usage OpenAIUsage) OpenAIReply {
	return ok(completion(map[string]any{"role": "assistant", "content": text, "refusal": nil}, finish, usage.wire()))
}

// ReplyRefusal answers with the model's refusal.
func ReplyRefusal(text string) OpenAIReply {
	return ok(completion(map[string]any{"role": "assistant", "content": nil, "refusal": text}, "stop",
		OpenAIUsage{Prompt: 10, Completion: 5}.wire()))
}

// ReplyNoUsage answers with text and says nothing of what it used, as some servers do.
func ReplyNoUsage(text string) OpenAIReply {
	return ok(completion(map[string]any{"role": "assistant", "content": text}, "stop", nil))
}

// ReplyError answers with an error of the provider. Its message quotes whatever it is given: nobody may repeat it.
func ReplyError(status int, kind, code string, message ...string) OpenAIReply {
	return OpenAIReply{Status: status, Body: encode(map[string]any{"error": map[string]any{
		"message": strings.Join(message, " "), "type": kind, "param": nil, "code": orNull(code),
	}})}
}

// ReplyRateLimited answers 429 and asks to wait, in whole milliseconds.
func ReplyRateLimited(wait time.Duration) OpenAIReply {
	reply := ReplyError(http.StatusTooManyRequests, "requests", "rate_limit_exceeded")
	if wait > 0 {
		reply.Header = map[string]string{"Retry-After-Ms": strconv.FormatInt(wait.Milliseconds(), 10)}
	}
	return reply
}

// ReplyQuota answers 429 for a quota that is used up.
func ReplyQuota() OpenAIReply {
	return ReplyError(http.StatusTooManyRequests, "insufficient_quota", "insufficient_quota")
}

// ReplyReset reads the request, works on it, and resets the connection without an answer: billed, and nobody knows.
func ReplyReset() OpenAIReply { return OpenAIReply{Status: http.StatusOK, Reset: true} }

// ReplyHalf breaks off in the middle of an answer: billed, and nobody knows.
func ReplyHalf(text string) OpenAIReply {
	reply := ReplyAnswer(text)
	reply.Cut = true
	return reply
}

func (r OpenAIReply) billed() bool { return r.Status == http.StatusOK && !r.Unbilled }

func (r OpenAIReply) write(w http.ResponseWriter) {
	if r.Reset {
		hangUp(w)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Request-Id", "req_test")
	for name, value := range r.Header {
		w.Header().Set(name, value)
	}
	body := r.Body
	if r.Cut {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		body = body[:len(body)/2]
	}
	w.WriteHeader(r.Status)
	_, _ = io.WriteString(w, body) // the client may have gone
	if r.Cut {
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler) // the server's own way to break a connection off
	}
}

func ok(body any) OpenAIReply { return OpenAIReply{Status: http.StatusOK, Body: encode(body)} }

func completion(message map[string]any, finish string, usage any) map[string]any {
	body := map[string]any{
		"id": "chatcmpl-test", "object": "chat.completion", "created": 1_790_000_000, "model": "test-model-2026",
		"choices": []any{map[string]any{"index": 0, "message": message, "finish_reason": finish, "logprobs": nil}},
	}
	if usage != nil {
		body["usage"] = usage
	}
	return body
}

func (u OpenAIUsage) wire() any {
	return map[string]any{
		"prompt_tokens": u.Prompt, "completion_tokens": u.Completion, "total_tokens": u.Prompt + u.Completion,
		"prompt_tokens_details":     map[string]any{"cached_tokens": u.Cached, "cache_write_tokens": u.CacheWrite},
		"completion_tokens_details": map[string]any{"reasoning_tokens": u.Reasoning},
	}
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func encode(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("encoding a reply: %v", err))
	}
	return string(data)
}
