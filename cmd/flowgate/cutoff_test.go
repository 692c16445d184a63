package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"flowgate/messages"
	"flowgate/worker"
	"flowgate/worker/broker"
	"flowgate/worker/link"
)

// TestALeaderThatIsCutOffCountsWhatItProposed shows why "already there" is no acceptance: a leader without its followers
// refuses what is sent again, and the others, who go on without it, have never heard of the request.
func TestALeaderThatIsCutOffCountsWhatItProposed(t *testing.T) {
	t.Parallel()
	files := threeServers(t)
	members := map[string]*broker.Member{}
	defer func() {
		for _, m := range members {
			m.Shutdown()
		}
	}()
	start := func(names ...string) {
		for _, name := range names {
			m, err := broker.StartMember(files[name], zap.NewNop())
			if err != nil {
				t.Fatal(err)
			}
			members[name] = m
		}
	}
	start("s0", "s1", "s2")
	for _, m := range members {
		if err := m.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	options := broker.DefaultTopologyOptions()
	options.Replicas = 3
	topology, err := broker.NewTopology(options, []broker.LayerQueue{{Name: "corporate"}, {Name: "ai", State: messages.StateAI}})
	if err != nil {
		t.Fatal(err)
	}
	js := memberJS(t, members["s0"])
	if err := broker.Apply(t.Context(), js, topology); err != nil {
		t.Fatal(err)
	}
	leader := leads(t, js)
	js = memberJS(t, members[leader])

	for name, m := range members {
		if name != leader {
			m.Shutdown()
			delete(members, name)
		}
	}
	subject := messages.RequestSubject(messages.ClassStd, messages.Key{Tenant: "acme", ID: "r1"})
	submit := func(js jetstream.JetStream, wait time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), wait)
		defer cancel()
		_, err := js.Publish(ctx, subject, []byte("{}"))
		return err
	}
	if err := submit(js, 500*time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("without a majority it is answered with %v", err)
	}
	var refused *jetstream.APIError
	if err := submit(js, 5*time.Second); !errors.As(err, &refused) || refused.Description != "maximum messages per subject exceeded" {
		t.Fatalf("sent again it is answered with %v", err)
	}
	members[leader].Shutdown()
	delete(members, leader)

	for name := range files {
		if name != leader {
			start(name)
		}
	}
	for _, m := range members {
		js = memberJS(t, m)
	}
	leads(t, js)
	if _, found, err := (&worker.Leader{JS: js}).Last(t.Context(), worker.IngressStream, subject); found || err != nil {
		t.Fatalf("it is there: %v (%v)", found, err)
	}
	if err := submit(js, time.Minute); err != nil {
		t.Errorf("sent once more: %v", err)
	}
}

// threeServers writes the configurations of the servers of a cluster, by their names.
func threeServers(t *testing.T) map[string]string {
	t.Helper()
	folder, files := t.TempDir(), map[string]string{}
	routes := make([]string, 3)
	ports, err := link.FreePorts(len(routes))
	if err != nil {
		t.Fatal(err)
	}
	for i, port := range ports {
		routes[i] = fmt.Sprintf("nats-route://127.0.0.1:%d", port)
	}
	for i, route := range routes {
		name := fmt.Sprintf("s%d", i)
		files[name] = filepath.Join(folder, name+".conf")
		text := fmt.Sprintf("server_name: %s\nlisten: \"127.0.0.1:-1\"\njetstream { store_dir: %q }\n"+
			"cluster { name: cut-off, listen: %q, routes: [%q, %q, %q] }\n",
			name, filepath.Join(folder, name), strings.TrimPrefix(route, "nats-route://"), routes[0], routes[1], routes[2])
		if err := os.WriteFile(files[name], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// memberJS connects to one server, and stays with it.
func memberJS(t *testing.T, m *broker.Member) jetstream.JetStream {
	t.Helper()
	conn, err := nats.Connect(m.URL(), nats.IgnoreDiscoveredServers())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// leads waits until a server leads the ingress stream and tells which.
func leads(t *testing.T, js jetstream.JetStream) string {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for ; ; <-tick.C {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		stream, err := js.Stream(ctx, worker.IngressStream)
		cancel()
		if err == nil && stream.CachedInfo().Cluster != nil && stream.CachedInfo().Cluster.Leader != "" {
			return stream.CachedInfo().Cluster.Leader
		}
		if t.Context().Err() != nil {
			t.Fatal("nobody leads: ", err)
		}
	}
}
