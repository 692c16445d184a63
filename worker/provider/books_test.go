package provider

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestBooksKeepTheNewestAndCountAll against books that forget nothing.
func TestBooksKeepTheNewestAndCountAll(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.IntRange(1, 8).Draw(t, "most")
		b := newBooks(most)
		b.room = 100
		var all []Call
		ended, billed := 0, int64(0)
		for i := range rapid.IntRange(0, 40).Draw(t, "calls") {
			if rapid.IntRange(0, 9).Draw(t, "reset") == 0 {
				b.reset()
				all, ended, billed = nil, 0, 0
			}
			c := Call{Answered: Failed, Body: make([]byte, rapid.SampledFrom([]int{0, 10, b.room / 3, b.room + 1}).Draw(t, "body"))}
			c.RequestID = fmt.Sprintf("a/r-%d/0/1", rapid.IntRange(0, 2).Draw(t, "id"))
			if rapid.Bool().Draw(t, "billed") {
				c.Answered = Success
				billed++
			}
			c.N, c.PromptBytes = b.number(c.RequestID), i
			at := b.enter(c)
			all = append(all, c)
			if rapid.Bool().Draw(t, "ends") {
				b.leave(at, time.Unix(int64(i), 0))
				ended++
			}
			kept := b.list("")
			want := all[max(0, len(all)-most):]
			if len(kept) != len(want) {
				t.Fatalf("%d calls are kept, want %d", len(kept), len(want))
			}
			bytes := 0
			for j := range kept {
				if bytes += len(kept[j].Body); kept[j].PromptBytes != want[j].PromptBytes {
					t.Fatalf("call %d is kept in place of %d", kept[j].PromptBytes, want[j].PromptBytes)
				}
			}
			if bytes > b.room && len(kept[len(kept)-1].Body) != bytes || bytes != b.bodies {
				t.Fatalf("%d bytes of documents are kept, counted %d", bytes, b.bodies)
			}
			sum := b.totals("")
			if sum.Calls != int64(len(all)) || sum.Billed != billed || sum.Open != int64(len(all)-ended) {
				t.Fatalf("%+v, want %d calls, %d billed, %d open", sum, len(all), billed, len(all)-ended)
			}
		}
	})
}

func TestTotalsOfARequestAreThoseOfItsParts(t *testing.T) {
	s := start(t, func(a Ask) Reply {
		if a.Attempt == 1 {
			return Reply{Outcome: Failed}
		}
		return Reply{Outcome: Success}
	})
	for _, id := range []string{"t/r/0/1", "t/r/0/2", "t/r/1/1", "t/r2/0/2", "t/r/0/2"} {
		if _, _, err := ask(t.Context(), s, id); err != nil {
			t.Fatal(err)
		}
	}
	for prefix, want := range map[string]string{"": "5 3 4", "t": "5 3 4", "t/r": "4 2 3", "t/r/0": "3 2 2", "t/r/0/2": "2 2 1", "t/": "0 0 0", "u": "0 0 0"} {
		got := s.Totals(prefix)
		if text := fmt.Sprint(got.Calls, got.Billed, got.RequestIDs); text != want {
			t.Errorf("%q: %s, want %s", prefix, text, want)
		}
	}
	if body := s.Seen("t/r2")[0].Body; !strings.Contains(string(body), "Say OK") {
		t.Errorf("the document is not kept: %q", body)
	}
	s.Reset()
	if len(s.Calls()) != 0 || s.Totals("").Calls != 0 {
		t.Error("the books are not empty")
	}
}

func TestAGateHoldsCallsAndTellsThatTheyCame(t *testing.T) {
	s := start(t, nil)
	gate := s.Hold("t/r")
	done := make(chan int, 2)
	for range 2 {
		go func() {
			status, _, _ := ask(t.Context(), s, "t/r/0/1")
			done <- status
		}()
	}
	<-gate.Arrived()
	<-gate.Arrived()
	if status, _, err := ask(t.Context(), s, "t/r2/0/1"); status != 200 || err != nil {
		t.Errorf("another request is answered with %d %v", status, err)
	}
	if open := s.Totals("t/r").Open; open != 2 {
		t.Errorf("%d calls are open", open)
	}
	gate.Release()
	gate.Release()
	if a, b := <-done, <-done; a != 200 || b != 200 {
		t.Errorf("held calls are answered with %d and %d", a, b)
	}
}

func TestAHeldCallIsLetGoWithItsCaller(t *testing.T) {
	s := start(t, nil)
	gate := s.Hold("")
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-gate.Arrived(); cancel() }()
	if _, _, err := ask(ctx, s, "t/r/0/1"); err == nil {
		t.Error("it was answered")
	}
}

func TestItHangsUpBeforeItReads(t *testing.T) {
	s := start(t, nil)
	s.HangUp("t/r")
	if _, _, err := ask(t.Context(), s, "t/r/0/1"); err == nil {
		t.Error("it was answered")
	}
	if calls := s.Calls(); len(calls) != 1 || calls[0].Answered != Reset || calls[0].Answered.Billed() || calls[0].Body != nil {
		t.Errorf("%+v", calls)
	}
}

// TestItDiesAndComesBack on the same port; what is in flight is cut off by Dead, and answered by Shut.
func TestItDiesAndComesBack(t *testing.T) {
	s := start(t, nil)
	// held is a call that is in flight until the gate opens; it uses a connection of its own.
	held := func(gate *Gate) chan error {
		done := make(chan error, 1)
		go func() {
			_, _, err := ask(t.Context(), s, "t/held/0/1")
			done <- err
		}()
		<-gate.Arrived()
		return done
	}
	refused := func() {
		t.Helper()
		if _, _, err := ask(t.Context(), s, "t/r/0/1"); err == nil || !strings.Contains(err.Error(), "refused") {
			t.Errorf("it takes calls: %v", err)
		}
	}
	back := func() {
		t.Helper()
		if err := s.Dead(false); err != nil {
			t.Fatal(err)
		}
		if status, _, err := ask(t.Context(), s, "t/r/0/1"); err != nil || status != http.StatusOK {
			t.Errorf("it is not back: %d %v", status, err)
		}
	}
	gate := s.Hold("t/held")
	cut := held(gate)
	if err := s.Dead(true); err != nil {
		t.Fatal(err)
	}
	if <-cut == nil {
		t.Error("a call in flight was answered")
	}
	refused()
	back()
	answered := held(gate)
	if err := s.Shut(); err != nil {
		t.Fatal(err)
	}
	eventuallyRefused(t, s)
	gate.Release()
	if err := <-answered; err != nil {
		t.Errorf("a call in flight was cut off: %v", err)
	}
	refused()
	back()
}

// eventuallyRefused waits until the listener is closed.
func eventuallyRefused(t *testing.T, s *Server) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		if _, _, err := ask(t.Context(), s, "t/r/0/1"); err != nil {
			return
		}
	}
	t.Error("it takes calls all the same")
}

func TestCredentialsOfEachProtocolAreLookedAt(t *testing.T) {
	s := begin(t, Options{Key: "right", Models: []string{"m"}})
	for _, q := range questions {
		for given, want := range map[string]int{"Bearer right": 200, "Bearer wrong": 401, "": 401} {
			if strings.HasPrefix(q.path, "/model") && want == 401 {
				want = 403
			}
			if got := post(t.Context(), s, q.path, q.body, func(r *http.Request) { r.Header.Set("Authorization", given) }); got.status != want {
				t.Errorf("%s with %q: %d, want %d", q.protocol, given, got.status, want)
			}
		}
	}
	for path, header := range map[string]string{"/v1/messages": "X-Api-Key", "/gateway/m/mlflow/invocations": ""} {
		got := post(t.Context(), s, path, questions[0].body, func(r *http.Request) {
			r.Header.Del("Authorization")
			if header != "" {
				r.Header.Set(header, "right")
			} else {
				r.SetBasicAuth("anybody", "right")
			}
		})
		if got.status != 200 {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}
	if got := post(t.Context(), s, questions[0].path, questions[0].body, func(r *http.Request) {
		r.Header.Set("Authorization", "Bearer right")
		r.Header.Del("Anthropic-Version")
	}); got.status != 400 {
		t.Errorf("a call of no version: %d", got.status)
	}
	if got := post(t.Context(), s, "/v1/chat/completions", `{"model":"n","messages":[{"role":"user","content":"a"}]}`, func(r *http.Request) { r.Header.Set("Authorization", "Bearer right") }); got.status != 404 {
		t.Errorf("a model that is none: %d", got.status)
	}
	s.SetKeys("new")
	if got := post(t.Context(), s, questions[1].path, questions[1].body, func(r *http.Request) { r.Header.Set("Authorization", "Bearer right") }); got.status != 401 {
		t.Errorf("the old key: %d", got.status)
	}
}
