package broker_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"flowgate/worker/broker"
)

// as connects to a server as a user.
func as(t *testing.T, ns *server.Server, user string) jetstream.JetStream {
	t.Helper()
	conn, err := nats.Connect(fmt.Sprintf("nats://%s:secret@%s", user, ns.Addr()), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
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

func TestOnlyWhoAnswersFromTheCacheReadsAndWritesIt(t *testing.T) {
	options := broker.DefaultTopologyOptions()
	options.CacheMaxBytes = 64 << 10
	topology, err := broker.NewTopology(options, queues())
	if err != nil {
		t.Fatal(err)
	}
	users := []string{"{ user: admin, password: secret }"}
	for name, duty := range map[string]broker.Duty{"caches": {Caches: true}, "other": {Wakes: true, Records: true}} {
		users = append(users, fmt.Sprintf("{ user: %s, password: secret, %s }", name, topology.Permissions(duty).Config()))
	}
	opts := &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir()}
	if err := opts.ProcessConfigString("accounts { WORK { jetstream: enabled, users: [\n" + strings.Join(users, "\n") + "\n] } }"); err != nil {
		t.Fatal(err)
	}
	ns, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	ns.Start()
	t.Cleanup(func() { ns.Shutdown(); ns.WaitForShutdown() })
	if !ns.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server is not ready")
	}
	if err := broker.Apply(t.Context(), as(t, ns, "admin"), topology); err != nil {
		t.Fatal(err)
	}
	bucket, data := broker.NewCacheBucket(as(t, ns, "caches"), nil), make([]byte, 10<<10)
	for n := range 20 { // it also makes room
		if err := bucket.Put(t.Context(), "claude", fmt.Sprintf("%064x", n), data, time.Hour); err != nil {
			t.Fatal(n, err)
		}
	}
	if got, has, err := bucket.Get(t.Context(), "claude", fmt.Sprintf("%064x", 19)); err != nil || !has || len(got) != len(data) {
		t.Error(has, err)
	}
	if _, has, err := bucket.Get(t.Context(), "claude", fmt.Sprintf("%064x", 0)); err != nil || has {
		t.Error(has, err)
	}
	if stand, err := bucket.Stand(t.Context()); err != nil || stand.Bytes > 64<<10 || stand.Entries == 0 {
		t.Errorf("%+v %v", stand, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	stranger := broker.NewCacheBucket(as(t, ns, "other"), nil)
	if err := stranger.Put(ctx, "claude", fmt.Sprintf("%064x", 1), data, time.Hour); err == nil {
		t.Error("who calls nobody may write into the cache")
	}
	if _, has, err := stranger.Get(ctx, "claude", fmt.Sprintf("%064x", 19)); err == nil || has {
		t.Error("who calls nobody may read the cache")
	}
}

func TestOtherSizesOfTheCacheKeepNobodyFromStarting(t *testing.T) {
	for _, field := range []string{"max_age", "max_bytes", "allow_msg_ttl", "subject_delete_marker_ttl", "num_replicas"} {
		if (broker.Difference{Thing: "bucket KV_" + broker.BucketCache, Field: field}).Breaks() {
			t.Errorf("%s of the cache breaks the protocol", field)
		}
	}
	if !(broker.Difference{Thing: "bucket KV_" + broker.BucketControl, Field: "max_age"}).Breaks() {
		t.Error("a control bucket that forgets breaks nothing")
	}
}
