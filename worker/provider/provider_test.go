package provider

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// start runs a provider that ends with the test.
func start(t *testing.T, script func(Ask) Reply) *Server {
	t.Helper()
	return begin(t, Options{Script: script})
}

func begin(t *testing.T, o Options) *Server {
	t.Helper()
	o.Listen = "127.0.0.1:0"
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s
}

func ask(ctx context.Context, s *Server, id string) (status int, body string, err error) {
	doc := `{"model":"m","max_tokens":7,"messages":[{"role":"user","content":"Say OK"}]}`
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL()+"/chat/completions", strings.NewReader(doc))
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("X-Client-Request-Id", id)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	return res.StatusCode, string(data), err
}

func TestEveryOutcomeIsAnsweredAndCounted(t *testing.T) {
	s := start(t, func(a Ask) Reply { return Reply{Outcome: Outcome(strings.TrimPrefix(a.Key, "t/"))} })
	for _, c := range []struct {
		outcome Outcome
		status  int
		broken  bool
	}{
		{Success, 200, false},
		{RateLimited, 429, false},
		{Overloaded, 503, false},
		{Failed, 500, false},
		{Invalid, 400, false},
		{Cut, 0, true},
		{Half, 200, true},
	} {
		status, body, err := ask(t.Context(), s, "t/"+string(c.outcome)+"/2/3")
		if status != c.status || (err != nil) != c.broken {
			t.Errorf("%s is answered with %d, %v: %s", c.outcome, status, err, body)
		}
	}
	calls := s.Calls()
	if len(calls) != 7 {
		t.Fatalf("%d calls are counted, want 7", len(calls))
	}
	first := calls[0]
	if first.Key != "t/success" || first.Epoch != 2 || first.Attempt != 3 || first.N != 1 || first.MaxTokens != 7 || first.PromptBytes != 6 || first.Answered != Success {
		t.Errorf("%+v", first)
	}
	if _, _, err := ask(t.Context(), s, "t/success/2/3"); err != nil {
		t.Error(err)
	}
	if again := s.Calls()[7]; again.N != 2 {
		t.Errorf("the second call of one id counts as %d", again.N)
	}
}

// TestACallerWhoHasGoneIsCountedAllTheSame: the provider had the call, and would bill it.
func TestACallerWhoHasGoneIsCountedAllTheSame(t *testing.T) {
	arrived := make(chan struct{})
	s := start(t, func(Ask) Reply { close(arrived); return Reply{Outcome: Success, After: time.Hour} })
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-arrived; cancel() }()
	if _, _, err := ask(ctx, s, "t/r/0/1"); !errors.Is(err, context.Canceled) {
		t.Errorf("the call ended with %v", err)
	}
	tick := time.NewTicker(time.Millisecond) // the books are written after the script
	defer tick.Stop()
	for late := time.After(10 * time.Second); len(s.Calls()) == 0; {
		select {
		case <-tick.C:
		case <-late:
			t.Fatal("it is not in the books")
		}
	}
	if calls := s.Calls(); len(calls) != 1 || calls[0].Answered != Success {
		t.Errorf("%+v", calls)
	}
}

func TestItListensOnLoopbackAlone(t *testing.T) {
	for _, listen := range []string{"0.0.0.0:0", "192.0.2.1:80", "nonsense"} {
		if _, err := New(Options{Listen: listen}); err == nil || !strings.Contains(err.Error(), "listen") {
			t.Errorf("%s: %v", listen, err)
		}
	}
}
