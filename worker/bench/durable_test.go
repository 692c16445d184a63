package bench

import (
	"fmt"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"flowgate/messages"
	"flowgate/worker"
	"flowgate/worker/broker"
)

func TestAFlushBelongsToWhatItIsFor(t *testing.T) {
	const server = "github.com/nats-io/nats-server/v2/server."
	sync := []string{"syscall.Fsync", "internal/poll.(*FD).Fsync", "os.(*File).Sync"}
	written := []string{"syscall.write", "os.(*File).Write", server + "writeAtomicallyWithTemp"}
	for name, tt := range map[string]struct {
		leaf  []string
		above []string
		want  Flushes
	}{
		"a publication": {sync, []string{"(*msgBlock).flushPendingMsgsLocked", "(*fileStore).StoreMsg", "(*stream).processJetStreamMsgWithBatch", "(*stream).internalLoop"}, Flushes{Publications: 1}},
		"a batch":       {sync, []string{"(*fileStore).FlushAllPending", "(*stream).processJetStreamAtomicBatchMsg"}, Flushes{Batches: 1}},
		"its members":   {sync, []string{"(*fileStore).StoreMsg", "(*stream).processJetStreamMsgWithBatch", "(*stream).processJetStreamAtomicBatchMsg"}, Flushes{Batches: 1}},
		"its staging":   {written, []string{"newFileStoreWithCreated", "(*batching).newAtomicBatch", "(*stream).processJetStreamAtomicBatchMsg"}, Flushes{Batches: 1}},
		"a consumer":    {written, []string{"(*consumerFileStore).writeState", "(*consumerFileStore).flushLoop"}, Flushes{ConsumerState: 1}},
		"a purge":       {sync, []string{"(*fileStore).Compact", "(*stream).purge"}, Flushes{Removals: 1}},
		"something":     {sync, []string{"(*fileStore).syncBlocks"}, Flushes{Other: 1}},
		"a mere write":  {[]string{"syscall.pwrite", "os.(*File).WriteAt"}, []string{"(*msgBlock).writeAt", "(*stream).processJetStreamMsg"}, Flushes{}},
	} {
		stack := append([]string(nil), tt.leaf...)
		for _, method := range tt.above {
			stack = append(stack, server+method)
		}
		var got Flushes
		if n := got.cause(stack); n != nil {
			*n++
		}
		if got != tt.want {
			t.Errorf("%s counts as %+v", name, got)
		}
	}
	var f Flushes
	if f.cause(append(sync, "main.main")) != nil {
		t.Error("a flush that is not the broker's was counted")
	}
}

// TestFlushesAreCounted on a real server: its functions have the names by which they are known.
func TestFlushesAreCounted(t *testing.T) {
	f := setup(t, func(o *broker.Options) { o.Sync = true })
	hop := worker.Hop{JS: f.js, Leader: &worker.Leader{JS: f.js}, Group: &worker.Group{}, Backoff: worker.DefaultDelays()}
	publish := func(name string, n int) {
		var pubs []*worker.Publication
		for i := range n {
			a := messages.Address{Key: messages.Key{Tenant: "acme", ID: fmt.Sprint(name, i)}, Class: messages.ClassStd, State: messages.StateAI}
			pubs = append(pubs, &worker.Publication{Address: a, Data: []byte("x")})
		}
		for _, r := range hop.Publish(t.Context(), pubs) {
			if r.Fate != worker.FateStored {
				t.Fatalf("%+v", r)
			}
		}
	}
	got, err := traced(func() error {
		publish("few", 10)
		publish("many", 50)
		stream, err := f.js.Stream(t.Context(), broker.WorkStream(0))
		if err != nil {
			return err
		}
		return stream.Purge(t.Context(), jetstream.WithPurgeSequence(30))
	})
	if err != nil {
		t.Fatal(err)
	}
	if got.Publications != 10 || got.Batches < 1 || got.Batches > 40 || got.Removals < 1 {
		t.Errorf("10 publications, a batch of 50 and a purge flushed %+v", got)
	}
	if p := got.per(10).Publications; p != 1 {
		t.Errorf("%v flushes of each single publication", p)
	}
}
