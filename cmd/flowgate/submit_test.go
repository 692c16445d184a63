package main

import (
	"cmp"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"flowgate/messages"
	"flowgate/worker/broker"
	"flowgate/worker/workertest"
)

// TestAlreadyThereIsBelievedWhenItIsShown plays a leader that is cut off: it refuses what is sent again as already there, and
// nobody ever hears of it. There is no stream; only those who answer for results are asked.
func TestAlreadyThereIsBelievedWhenItIsShown(t *testing.T) {
	t.Parallel()
	conn, js := alone(t)
	const (
		stored = `{"stream":"FLOWGATE_INGRESS","seq":1}`
		there  = `{"error":{"code":503,"err_code":10077,"description":"maximum messages per subject exceeded"}}`
	)
	for _, c := range []struct {
		name    string
		answers []string // of the broker
		states  []string // of those who answer for results
		before  bool
	}{
		{"shown", []string{there}, []string{"pending"}, true},
		{"shown later", []string{there, there}, []string{"unknown", "done"}, true},
		{"never shown", []string{there, there, stored}, []string{"unknown", "unknown"}, false},
	} {
		key := messages.Key{Tenant: "default", ID: strings.ReplaceAll(c.name, " ", "-")}
		sent := answers(t, conn, messages.RequestSubject(messages.ClassStd, key), c.answers...)
		states := make([]string, len(c.states))
		for i, state := range c.states {
			states[i] = `{"v":1,"tenant":"default","id":"` + key.ID + `","state":"` + state + `","epoch":0,"retry":false}`
		}
		asked := answers(t, conn, messages.GetResultSubject(key), states...)
		before, _, err := publishRequest(t.Context(), js, messages.ClassStd, key, []byte(`{}`))
		if err != nil || before != c.before || len(sent) != 0 || len(asked) != 0 {
			t.Errorf("%s: there before: %v (%v); %d and %d answers are left", c.name, before, err, len(sent), len(asked))
		}
	}
}

// answers gives the answers one after the other to those who ask on a subject; left are those that nobody asked for.
func answers(t *testing.T, conn *nats.Conn, subject string, all ...string) (left chan string) {
	t.Helper()
	left = make(chan string, len(all))
	for _, one := range all {
		left <- one
	}
	if _, err := conn.Subscribe(subject, func(m *nats.Msg) {
		if err := m.Respond([]byte(<-left)); err != nil {
			t.Errorf("answering: %v", err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	return left
}

// alone is a connection to a broker that nobody works at.
func alone(t *testing.T) (*nats.Conn, jetstream.JetStream) {
	t.Helper()
	server, err := broker.Start(t.Context(), broker.Options{
		Dir: t.TempDir(), Listen: "127.0.0.1:0", Operator: broker.Credentials{Password: workertest.OperatorPassword},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Shutdown)
	conn, err := nats.Connect(server.URL(), server.Operator())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	return conn, js
}

// TestWhoStopsWaitingHearsHowItStands plays a result service that tells once, and then no more in time.
func TestWhoStopsWaitingHearsHowItStands(t *testing.T) {
	t.Parallel()
	conn, _ := alone(t)
	for state, want := range map[string]string{
		"pending": "pending is pending, at ai, the why; it goes on by itself, and `flowgate result pending --wait` waits on",
		"unknown": "no request unknown is known up to now; `flowgate result unknown --wait` waits on",
		"":        "nobody told in time how silent stands; it goes on by itself, and `flowgate result silent --wait` waits on",
	} {
		key := messages.Key{Tenant: "default", ID: cmp.Or(state, "silent")}
		asked := make(chan struct{}, 8)
		if _, err := conn.Subscribe(messages.GetResultSubject(key), func(m *nats.Msg) {
			if asked <- struct{}{}; len(asked) > 1 || state == "" {
				return // the deadline passes over this question
			}
			at := ""
			if state == "pending" {
				at = `,"at":"ai","message":"the why."`
			}
			if err := m.Respond([]byte(`{"v":1,"state":"` + state + `"` + at + `}`)); err != nil {
				t.Errorf("answering: %v", err)
			}
			if err := conn.Publish(messages.ResultSubject(key), nil); err != nil { // wakes who waits
				t.Errorf("waking: %v", err)
			}
		}); err != nil {
			t.Fatal(err)
		}
		if _, err := await(t.Context(), &client{conn: conn}, key, 0, 300*time.Millisecond); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", state, err, want)
		}
	}
	if got := waitedFor(messages.Key{Tenant: "acme", ID: "a"}, messages.Result{}); !strings.HasSuffix(got, "`flowgate result a --wait --tenant acme` waits on") {
		t.Error(got)
	}
}
