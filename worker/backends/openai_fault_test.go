package backends

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"flowgate/pipelines/ai"
	"flowgate/worker/workertest"
)

func TestOpenAIStatusesHaveTheirClass(t *testing.T) {
	said := workertest.ReplyError
	raw := func(status int, body string) workertest.OpenAIReply {
		return workertest.OpenAIReply{Status: status, Body: body}
	}
	for _, test := range []struct {
		name   string
		reply  workertest.OpenAIReply
		class  ai.Class
		code   string
		detail string
	}{
		{"429", said(429, "requests", "rate_limit_exceeded"), ai.ClassRateLimited, "rate_limit_exceeded", "the provider limits the rate (type requests)"},
		{"429 without a body", raw(429, ""), ai.ClassRateLimited, "429", "the provider limits the rate"},
		{"429 of a quota", workertest.ReplyQuota(), ai.ClassQuota, "insufficient_quota", "used up (type insufficient_quota)"},
		{"429 of a credit", said(429, "billing", "credit_balance_exhausted"), ai.ClassQuota, "credit_balance_exhausted", ""},
		{"429 to slow down", said(429, "requests", "slow_down"), ai.ClassOverloaded, "slow_down", ""},
		{"402", said(402, "", ""), ai.ClassQuota, "402", ""},
		{"401", said(401, "", "invalid_api_key"), ai.ClassAuth, "invalid_api_key", "refused the credentials"},
		{"403", said(403, "", ""), ai.ClassAuth, "403", ""},
		{"403 of a model", said(403, "", "model_not_found"), ai.ClassInvalid, "model_not_found", ""},
		{"400", said(400, "invalid_request_error", ""), ai.ClassInvalid, "400", "(type invalid_request_error)"},
		{"404", said(404, "", "model_not_found"), ai.ClassInvalid, "model_not_found", ""},
		{"404 of Ollama", raw(404, `{"error":"model not found, try pulling it"}`), ai.ClassInvalid, "404", ""},
		{"413", raw(413, "<html>"), ai.ClassInvalid, "413", ""},
		{"422", raw(422, `{"detail":[]}`), ai.ClassInvalid, "422", ""},
		{"400 of vLLM", raw(400, `{"object":"error","message":"x","type":"BadRequestError","param":"temperature","code":40001}`), ai.ClassInvalid, "400", "(type BadRequestError, param temperature)"},
		{"408", raw(408, ""), ai.ClassTransient, "408", "the provider failed"},
		{"500", said(500, "server_error", ""), ai.ClassTransient, "500", ""},
		{"502 of a proxy", raw(502, "<html>bad gateway</html>"), ai.ClassTransient, "502", ""},
		{"503", said(503, "", "server_is_overloaded"), ai.ClassOverloaded, "server_is_overloaded", ""},
		{"504", raw(504, ""), ai.ClassTransient, "504", ""},
		{"529", raw(529, ""), ai.ClassOverloaded, "529", ""},
		{"500 cut in half", workertest.OpenAIReply{Status: 500, Body: strings.Repeat("x", 1000), Cut: true}, ai.ClassTransient, "500", ""},
		{"words of nobody", said(400, "wisteria", "7741"), ai.ClassInvalid, "400", "as it is"},
	} {
		server := workertest.NewOpenAI(t)
		server.ScriptReplies("", test.reply)
		call := workertest.NewCall("status")
		fault := faultFrom(t, openAI(t, server.URL), call)
		if fault.Class != test.class || fault.Code != test.code || !strings.Contains(fault.Detail, test.detail) {
			t.Errorf("%s: %v, want %s (%s) with %q", test.name, fault, test.class, test.code, test.detail)
		}
		if calls, billed := server.Calls("acme/status/0/1"), server.Billed(""); calls != 1 || billed != 0 {
			t.Errorf("%s: %d calls, %d billed; want 1, 0", test.name, calls, billed)
		}
	}
}

func TestOpenAIRetryAfterComesFromTheHeaders(t *testing.T) {
	server := workertest.NewOpenAI(t)
	reply := workertest.ReplyRateLimited(0)
	reply.Header = map[string]string{"Retry-After": "7"}
	server.ScriptReplies("", reply)
	if got := faultFrom(t, openAI(t, server.URL), workertest.NewCall("wait")).RetryAfter; got != 7*time.Second {
		t.Errorf("RetryAfter is %s, want 7s", got)
	}
}

func TestOpenAIWhatWasSentAndNotAnsweredIsInDoubt(t *testing.T) {
	raw := func(body string) workertest.OpenAIReply { return workertest.OpenAIReply{Status: 200, Body: body} }
	for _, test := range []struct {
		name  string
		reply workertest.OpenAIReply
		code  string
	}{
		{"reset", workertest.ReplyReset(), "reset"},
		{"half an answer", workertest.ReplyHalf("wisteria-7741"), "half_answer"},
		{"no JSON", raw("wisteria-7741"), "bad_json"},
		{"JSON that goes on", raw(`{"choices":[{"message":{}}]} wisteria-7741`), "bad_json"},
		{"half of a JSON without length", raw(`{"choices":[{"message":{"content":"wiste`), "bad_json"},
		{"another shape", raw(`{"choices":"wisteria-7741"}`), "bad_json"},
		{"no choice", raw(`{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}`), "no_choices"},
		{"no message", raw(`{"choices":[{"finish_reason":"stop"}]}`), "no_choices"},
		{"nothing", raw(``), "bad_json"},
		{"an error after 200", raw(`{"error":{"code":"server_error","message":"wisteria-7741"}}`), "server_error"},
		{"too much", raw(`{"x":"` + strings.Repeat("x", 2000) + `"}`), "too_large"},
	} {
		server := workertest.NewOpenAI(t)
		server.ScriptReplies("", test.reply)
		b := openAI(t, server.URL, func(o *OpenAIOptions) { o.MaxResponseBytes = 1000 })
		fault := faultFrom(t, b, workertest.NewCall("doubt"))
		if fault.Class != ai.ClassInDoubt || fault.Code != test.code {
			t.Errorf("%s: %v (%v), want in_doubt (%s)", test.name, fault, fault.Err, test.code)
		}
		if calls, billed := server.Calls("acme/doubt"), server.Billed("acme"); calls != 1 || billed != 1 {
			t.Errorf("%s: %d calls, %d billed; want 1, 1", test.name, calls, billed)
		}
		if strings.Contains(fault.Error(), "wisteria") {
			t.Errorf("%s: error repeats the answer: %v", test.name, fault)
		}
	}
}

func TestOpenAIResetBeforeTheBodyWasReadIsInDoubt(t *testing.T) {
	server := workertest.NewOpenAI(t)
	server.HangUp("acme/hang-up")
	fault := faultFrom(t, openAI(t, server.URL), workertest.NewCall("hang-up"))
	if fault.Class != ai.ClassInDoubt || server.Calls("acme/hang-up") != 1 || server.Billed("") != 0 {
		t.Errorf("%v after %d calls, want one in doubt", fault, server.Calls("acme/hang-up"))
	}
}

func TestOpenAIGarbageForHTTPIsInDoubtAndNotQuoted(t *testing.T) {
	b := openAI(t, "http://127.0.0.1/v1")
	b.transport.DialContext = func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go func() {
			_, _ = http.ReadRequest(bufio.NewReader(server))
			_, _ = io.WriteString(server, "wisteria-7741\r\n\r\n")
			_ = server.Close()
		}()
		return client, nil
	}
	fault := faultFrom(t, b, workertest.NewCall("garbage"))
	if fault.Class != ai.ClassInDoubt || fault.Err != nil || strings.Contains(fault.Error(), "wisteria") {
		t.Errorf("%v (%v), want in_doubt without the server's words", fault, fault.Err)
	}
}

func TestOpenAIWhatWasNotSentIsTransient(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "http://" + listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	stranger := httptest.NewUnstartedServer(http.NotFoundHandler())
	stranger.Config.ErrorLog = quiet
	stranger.StartTLS()
	defer stranger.Close()
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()

	for _, test := range []struct {
		name, url string
		dial      error
		code      string
		is        error
	}{
		{"nobody listens", nobody, nil, "refused", syscall.ECONNREFUSED},
		{"no such name", "https://models.invalid", &net.DNSError{Err: "no such host", IsNotFound: true}, "dns", nil},
		{"unknown authority", stranger.URL, nil, "tls", nil},
		{"no TLS", strings.Replace(plain.URL, "http:", "https:", 1), nil, "tls", nil},
		{"no route", "https://models.invalid", &net.OpError{Op: "dial", Err: syscall.EHOSTUNREACH}, "connection", syscall.EHOSTUNREACH},
		{"dialing takes too long", "https://models.invalid", &net.OpError{Op: "dial", Err: syscall.ETIMEDOUT}, "timeout", syscall.ETIMEDOUT},
	} {
		b := openAI(t, test.url)
		if test.dial != nil {
			b.transport.DialContext = func(context.Context, string, string) (net.Conn, error) { return nil, test.dial }
		}
		fault := faultFrom(t, b, workertest.NewCall("unsent"))
		if fault.Class != ai.ClassTransient || fault.Code != test.code || (test.is != nil && !errors.Is(fault, test.is)) {
			t.Errorf("%s: %v (%v), want transient (%s)", test.name, fault, fault.Err, test.code)
		}
	}
}

func TestOpenAITimesOut(t *testing.T) {
	for _, test := range []struct {
		name  string
		dials bool
		class ai.Class
	}{
		{"while it answers", true, ai.ClassInDoubt},
		{"while it connects", false, ai.ClassTransient},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, server := net.Pipe()
				go func() { _, _ = io.Copy(io.Discard, server) }() // takes all, answers nothing
				b := openAI(t, "http://127.0.0.1/v1")
				b.transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
					if test.dials {
						return client, nil
					}
					<-ctx.Done()
					return nil, ctx.Err()
				}
				start := time.Now()
				fault := faultFrom(t, b, workertest.NewCall("timeout"))
				if took := time.Since(start); took != DefaultTimeout {
					t.Errorf("took %s, want %s", took, DefaultTimeout)
				}
				if fault.Class != test.class || fault.Code != "timeout" || !errors.Is(fault, context.DeadlineExceeded) {
					t.Errorf("%v (%v), want %s (timeout)", fault, fault.Err, test.class)
				}
				_ = client.Close()
				_ = server.Close()
			})
		})
	}
}

func TestOpenAIFollowsNoRedirect(t *testing.T) {
	elsewhere := workertest.NewOpenAI(t)
	server := workertest.NewOpenAI(t)
	server.ScriptReplies("", workertest.OpenAIReply{
		Status: http.StatusTemporaryRedirect, Header: map[string]string{"Location": elsewhere.URL + "/chat/completions"},
	})
	fault := faultFrom(t, openAI(t, server.URL), workertest.NewCall("redirect"))
	if fault.Class != ai.ClassInvalid || fault.Code != "307" || elsewhere.Calls("") != 0 {
		t.Errorf("%v after %d calls elsewhere, want invalid (307) and none", fault, elsewhere.Calls(""))
	}
}

func TestOpenAISpeaksHTTP2(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 {
			t.Errorf("speaks %s", r.Proto)
		}
		if strings.HasPrefix(r.Header.Get("X-Client-Request-Id"), "acme/stream-reset/") {
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	server.EnableHTTP2 = true
	server.Config.ErrorLog = quiet
	server.StartTLS()
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	b := openAI(t, server.URL)
	b.transport.TLSClientConfig = &tls.Config{RootCAs: roots}
	if fault := faultFrom(t, b, workertest.NewCall("status")); fault.Class != ai.ClassOverloaded {
		t.Errorf("%v, want overloaded", fault)
	}
	if fault := faultFrom(t, b, workertest.NewCall("stream-reset")); fault.Class != ai.ClassInDoubt {
		t.Errorf("%v (%v), want in doubt", fault, fault.Err)
	}
}

// ender answers, and ends the caller's context with the answer's last byte.
type ender struct{ end context.CancelFunc }

func (d ender) RoundTrip(*http.Request) (*http.Response, error) {
	body := workertest.ReplyAnswer("paid for").Body
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: &lastByte{strings.NewReader(body), d.end}}, nil
}

type lastByte struct {
	io.Reader

	end context.CancelFunc
}

func (b *lastByte) Close() error { b.end(); return nil }

func TestOpenAIKeepsAnAnswerThatCameWhole(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	b := openAI(t, "http://127.0.0.1/v1")
	b.client.Transport = ender{cancel}
	got, err := b.Call(ctx, workertest.NewCall("whole"))
	if err != nil || got.Text != "paid for" || ctx.Err() == nil {
		t.Errorf("answer %+v, error %v; want the answer although the context ended", got, err)
	}
}

func TestOpenAIServerGoesThroughItsRepliesAndHoldsCalls(t *testing.T) {
	server := workertest.NewOpenAI(t)
	server.ScriptReplies("acme/replies", workertest.ReplyRateLimited(0), workertest.ReplyAnswer("second"))
	gate := server.Block("acme/replies/0/2")
	b := openAI(t, server.URL)
	call := workertest.NewCall("replies")
	if fault := faultFrom(t, b, call); fault.Class != ai.ClassRateLimited {
		t.Errorf("%v, want rate_limited", fault)
	}
	call.Attempt = 2
	answered := make(chan string)
	go func() {
		got, err := b.Call(t.Context(), call)
		if err != nil {
			t.Errorf("second call: %v", err)
		}
		answered <- got.Text
	}()
	<-gate.Arrived()
	select {
	case <-answered:
		t.Error("the gate let a call through")
	default:
	}
	gate.Release()
	if got := <-answered; got != "second" {
		t.Errorf("answer is %q, want the second reply", got)
	}
	if server.Calls("acme/replies") != 2 || server.Calls("acme/replies/0/1") != 1 || server.Calls("acme/repl") != 0 || server.Billed("acme") != 1 {
		t.Errorf("calls are %+v", server.Seen(""))
	}
}
