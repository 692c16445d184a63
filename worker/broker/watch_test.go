package broker_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"flowgate/worker/broker"
)

// TestAServerThatCannotWriteSaysSo: the folder of a stream's blocks is taken away, so that the next block cannot be made. What
// was acknowledged is there after a start anew.
func TestAServerThatCannotWriteSaysSo(t *testing.T) {
	dir := t.TempDir()
	open := func() (*broker.Server, jetstream.JetStream) {
		t.Helper()
		srv, err := broker.Start(t.Context(), broker.Options{Dir: dir, Operator: broker.Credentials{Password: "x"}})
		if err != nil {
			t.Fatal(err)
		}
		conn, err := srv.Connect()
		if err != nil {
			t.Fatal(err)
		}
		js, err := jetstream.New(conn)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close(); srv.Shutdown() })
		return srv, js
	}
	srv, js := open()
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "BLOCKS", Subjects: []string{"block"}}); err != nil {
		t.Fatal(err)
	}
	blocks, err := filepath.Glob(filepath.Join(dir, "nats", "jetstream", "*", "streams", "BLOCKS", "msgs"))
	if err != nil || len(blocks) != 1 {
		t.Fatal(blocks, err)
	}
	away := filepath.Join(t.TempDir(), "msgs")
	move := func(from, to string) {
		t.Helper()
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	stored := uint64(0)
	publish := func() error {
		_, err := js.Publish(t.Context(), "block", make([]byte, 900<<10))
		if err == nil {
			stored++
		}
		return err
	}
	if err := publish(); err != nil {
		t.Fatal(err)
	}
	ails := make(chan error, 1)
	go func() { ails <- srv.Watch(t.Context()) }()
	move(blocks[0], away)
	if err := os.WriteFile(blocks[0], nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for publish() == nil { // until its block is full
		if stored > 100 {
			t.Fatal("it writes all the same")
		}
	}
	if err := <-ails; err == nil || !strings.Contains(err.Error(), "BLOCKS") {
		t.Errorf("got %v, want what ails the stream", err)
	}
	js.Conn().Close()
	srv.Shutdown()
	if err := os.Remove(blocks[0]); err != nil {
		t.Fatal(err)
	}
	move(away, blocks[0])
	_, js = open()
	stream, err := js.Stream(t.Context(), "BLOCKS")
	if err != nil {
		t.Fatal(err)
	}
	if state := stream.CachedInfo().State; state.Msgs != stored || stored < 2 {
		t.Errorf("%d were acknowledged, and %d are there", stored, state.Msgs)
	}
	if err := publish(); err != nil {
		t.Errorf("started anew it does not write: %v", err)
	}
}
