//go:build linux

package broker_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"flowgate/messages"
	"flowgate/worker"
	"flowgate/worker/broker"
	"flowgate/worker/link"
	"flowgate/worker/workertest"
)

// moment is when a broker is killed: behind so many members of an atomic batch in the stream's own file, or before or behind
// the flush of them all.
type moment struct {
	name          string
	members       int
	flush, behind bool
}

// killer kills a broker with -9 at a moment; no thread of it gets any further.
type killer struct {
	moment

	written int
	killed  chan struct{}
	dead    bool
}

func (k *killer) see(t *tracer, _ int, c call) {
	if k.dead {
		return
	}
	switch c.nr {
	case syscall.SYS_PWRITE64, syscall.SYS_WRITE:
		if !c.entered && stream(t.target(c.args[0])) == broker.WorkStream(0) {
			k.written++
			k.strike(t, !k.flush && k.written == k.members)
		}
	case syscall.SYS_FSYNC, syscall.SYS_FDATASYNC:
		k.strike(t, k.flush && c.entered != k.behind && k.written > 0 && stream(t.target(c.args[0])) == broker.WorkStream(0))
	}
}

func (k *killer) strike(t *tracer, now bool) {
	if now && syscall.Kill(t.pid, syscall.SIGKILL) == nil {
		k.dead = true
		close(k.killed)
	}
}

// TestABrokerKilledInTheMidstOfABatch: wherever it is killed, whoever published finds out what became of every member, and each
// is there once.
func TestABrokerKilledInTheMidstOfABatch(t *testing.T) {
	for _, m := range []moment{
		{name: "behind the first member", members: 1},
		{name: "behind half of them", members: together / 2},
		{name: "behind the last", members: together},
		{name: "before the flush", flush: true},
		{name: "before the answer", flush: true, behind: true},
	} {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			k := &killer{moment: m, killed: make(chan struct{})}
			dir, listen := t.TempDir(), freeAddress(t)
			url, ended := traced(t, &tracer{see: k.see}, dir, listen, true)
			conn, err := nats.Connect(url, nats.UserInfo(broker.OperatorUser, workertest.OperatorPassword), nats.Timeout(time.Minute),
				nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			js, err := jetstream.New(conn, jetstream.WithDefaultTimeout(time.Minute), jetstream.WithPublishAsyncTimeout(time.Second))
			if err != nil {
				t.Fatal(err)
			}
			workertest.Topology(t, js, nil)
			receipts := make(chan []worker.Receipt, 1)
			pubs := batchOf(together)
			go func() { // ends with the publication, which each awaits
				hop := worker.Hop{JS: js, Leader: leader(js), Group: &worker.Group{Patience: time.Second}, Backoff: worker.DefaultDelays()}
				receipts <- hop.Publish(t.Context(), pubs)
			}()
			select {
			case <-k.killed:
			case r := <-receipts:
				t.Errorf("it was not killed; receipts %+v", r)
			}
			ended()
			srv, err := broker.Start(t.Context(), broker.Options{
				Dir: dir, Listen: listen, Sync: true, Operator: broker.Credentials{Password: workertest.OperatorPassword},
			})
			if err != nil {
				t.Fatal(err)
			}
			defer srv.Shutdown()
			each(t, js, pubs, <-receipts)
		})
	}
}

func batchOf(n int) []*worker.Publication {
	pubs := make([]*worker.Publication, n)
	for i := range pubs {
		a := messages.Address{Key: messages.Key{Tenant: "acme", ID: fmt.Sprint("torn", i)}, Class: messages.ClassStd, State: messages.StateAI}
		pubs[i] = &worker.Publication{Address: a, Data: fmt.Appendf(nil, "token-torn-%d;", i)}
	}
	return pubs
}

// each publication is stored once, where its receipt says.
func each(t *testing.T, js jetstream.JetStream, pubs []*worker.Publication, receipts []worker.Receipt) {
	t.Helper()
	for i, r := range receipts {
		newest, found, err := leader(js).Newest(t.Context(), 0, pubs[i].Key)
		if err != nil || !found || r.Fate != worker.FateStored || newest.Seq != r.Seq {
			t.Errorf("member %d: receipt %+v, found %t, %v", i, r, found, err)
		}
	}
	bounds, err := leader(js).Bounds(t.Context(), broker.WorkStream(0))
	if err != nil || bounds.Last != uint64(len(pubs)) {
		t.Errorf("%d members are there as %d messages: %v", len(pubs), bounds.Last, err)
	}
}

// freeAddress is a loopback address that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := link.Listen("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return strings.TrimSpace(listener.Addr().String())
}
