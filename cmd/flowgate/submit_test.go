package main

import (
	"strings"
	"testing"

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
