package workertest

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"flowgate/pipelines/ai"
	"flowgate/worker/provider"
)

// testTroubles plays what may have been billed and brought no answer.
func testTroubles(t *testing.T, s Stage) {
	html := provider.Reply{
		Outcome: provider.Raw, Status: http.StatusOK, Header: http.Header{"Content-Type": {"text/html"}},
		Body: "<html><body>Sign in to the network to reach " + promptMarker + "</body></html>",
	}
	for name, reply := range map[string]provider.Reply{
		"reset": {Outcome: provider.Reset}, "cut": {Outcome: provider.Cut}, "half": {Outcome: provider.Half}, "garbage": {Outcome: provider.Garbage},
		"empty-body": {Outcome: provider.EmptyBody}, "error-in-200": {Outcome: provider.ErrorIn200}, "failed-in-200": {Outcome: provider.FailedIn200},
		"html": html, "json-of-another": {Outcome: provider.Raw, Status: http.StatusOK, Body: `{"hello":"` + promptMarker + `"}`},
	} {
		call := NewCall("trouble-" + name)
		s.Provider.Reply(call, reply)
		_, err := s.Backend.Call(t.Context(), call)
		if fault := faultOf(t, err); fault.Class != ai.ClassInDoubt || fault.Code == "" {
			t.Errorf("%s: %v, want in_doubt with a code", name, fault)
		}
		s.wantSilence(t, err)
		s.wantCalls(t, call, 1)
	}
}

// testBounds plays 20 MB, and an answer that never ends.
func testBounds(t *testing.T, s Stage) {
	for _, test := range []struct {
		outcome provider.Outcome
		bounds  Bounds
		code    string
	}{
		{provider.Huge, Bounds{}, "too_large"},
		{provider.Endless, Bounds{Timeout: 300 * time.Millisecond}, "timeout"},
		{provider.Endless, Bounds{MaxResponseBytes: 3}, "too_large"},
	} {
		call := NewCall("bound-" + string(test.outcome) + "-" + test.code)
		s.Provider.Reply(call, provider.Reply{Outcome: test.outcome})
		_, err := s.At(t, s.Provider.Root(), test.bounds).Call(t.Context(), call)
		if fault := faultOf(t, err); fault.Class != ai.ClassInDoubt || fault.Code != test.code {
			t.Errorf("%s: %v, want in_doubt (%s)", test.outcome, fault, test.code)
		}
		if test.code == "timeout" && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: cause is not the deadline: %v", test.outcome, errors.Unwrap(err))
		}
	}
}

// testUnreached plays what happens before a byte was sent.
func testUnreached(t *testing.T, s Stage) {
	closed := httptest.NewServer(http.NotFoundHandler())
	nobody := closed.URL
	closed.Close()
	stranger := httptest.NewUnstartedServer(http.NotFoundHandler())
	stranger.Config.ErrorLog = quietLog
	stranger.StartTLS()
	defer stranger.Close()
	for _, test := range []struct{ name, root, codes string }{
		{"nobody listens", nobody, "refused"},
		{"unknown authority", stranger.URL, "tls"},
		{"no TLS at all", strings.Replace(s.Provider.Root(), "http:", "https:", 1), "tls"},
		{"no such name", "https://models.invalid", "dns timeout"}, // a machine without any name server takes its time
	} {
		call := NewCall("unreached")
		_, err := s.At(t, test.root, Bounds{Timeout: 20 * time.Second}).Call(t.Context(), call)
		if fault := faultOf(t, err); fault.Class != ai.ClassTransient || !strings.Contains(test.codes, fault.Code) {
			t.Errorf("%s: %v, want transient (%s)", test.name, fault, test.codes)
		}
		s.wantSilence(t, err)
	}
}

// proxyRoot is a provider that only a proxy can reach, proxyVariable tells a process that it is the one behind it.
const (
	proxyRoot     = "http://models.example"
	proxyVariable = "FLOWGATE_TEST_BEHIND_PROXY"
)

// testProxy runs itself again with a proxy in the environment, which Go reads once a process.
func testProxy(t *testing.T, s Stage) {
	if os.Getenv(proxyVariable) != "" {
		s.Backend = s.At(t, proxyRoot, Bounds{Insecure: true})
		if got := answer(t, s, NewCall("proxy")); got.Text == "" {
			t.Error("no text came through the proxy")
		}
		return
	}
	target, err := url.Parse(s.Provider.Root())
	if err != nil {
		t.Fatal(err)
	}
	var came atomic.Int64
	reverse := httputil.NewSingleHostReverseProxy(target)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Host == strings.TrimPrefix(proxyRoot, "http://") { // the whole URL is sent to a proxy alone
			came.Add(1)
		}
		reverse.ServeHTTP(w, r)
	}))
	defer proxy.Close()
	parts := strings.Split(t.Name(), "/")
	for i := range parts {
		parts[i] = "^" + regexp.QuoteMeta(parts[i]) + "$"
	}
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run="+strings.Join(parts, "/"), "-test.count=1")
	child.Env = append(os.Environ(), proxyVariable+"=1", "HTTP_PROXY="+proxy.URL)
	if said, err := child.CombinedOutput(); err != nil {
		t.Fatalf("behind the proxy: %v\n%s", err, said)
	}
	if came.Load() != 1 || s.Provider.Totals("").Calls != 1 {
		t.Errorf("%d calls came through the proxy, %d arrived; want 1 each", came.Load(), s.Provider.Totals("").Calls)
	}
}
