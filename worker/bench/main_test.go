package bench

import (
	"context"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"flowgate/messages"
	"flowgate/worker/broker"
	"flowgate/worker/workertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// queues are those of the three layers.
func queues() []broker.LayerQueue {
	return []broker.LayerQueue{
		{Name: "corporate"},
		{Name: "corporate-hold", State: messages.StateHold},
		{Name: "ai", State: messages.StateAI},
		{Name: "optimizer", State: messages.StateOptimizer},
	}
}

type fixture struct {
	conn     *nats.Conn
	js       jetstream.JetStream
	topology broker.Topology
}

func setup(t testing.TB, options ...func(*broker.Options)) fixture {
	t.Helper()
	conn, js := workertest.Conn(t, workertest.Server(t, options...))
	return fixture{conn: conn, js: js, topology: workertest.Topology(t, js, queues())}
}

// options are those of a short measurement of a governed chain.
func (f fixture) options(g *governor) Options {
	o := DefaultOptions()
	o.Conn, o.JS, o.Topology, o.Committed = f.conn, f.js, f.topology, g.committed
	o.Rounds, o.RoundTime, o.WarmUp = 1, 300*time.Millisecond, 50*time.Millisecond
	o.Outstanding, o.UnloadedRequests, o.MicroBatch, o.Concurrency = 200, 20, 50, 8
	o.PostgresPID = os.Getpid() // any process will do
	return o
}

// bare starts a bare chain and stops it when the test ends.
func (f fixture) bare(t testing.TB, microBatch, concurrency int) *bare {
	t.Helper()
	b, err := startBare(t.Context(), bareOptions{
		conn: f.conn, js: f.js, topology: f.topology, microBatch: microBatch, lanes: 2, concurrency: concurrency,
		broken: func(err error) { t.Error(err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.stop(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func (f fixture) load(t testing.TB, outstanding int) *load {
	t.Helper()
	l, err := newLoad(f.conn, outstanding, func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.close)
	return l
}

// governor plays a governed chain: it ends each request at once and counts.
type governor struct {
	status    messages.Status
	copies    int // of every end
	count     atomic.Uint64
	malformed atomic.Uint64
}

func (g *governor) committed(context.Context) (uint64, error) { return g.count.Load(), nil }

// govern runs until the test ends.
func (g *governor) govern(t testing.TB, f fixture) {
	t.Helper()
	consumer, err := f.js.Consumer(t.Context(), broker.StreamIngress, "corporate-std")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	t.Cleanup(func() { cancel(); running.Wait() })
	running.Go(func() {
		for ctx.Err() == nil {
			pull, err := consumer.Fetch(100, jetstream.FetchContext(ctx))
			if err != nil {
				return
			}
			for msg := range pull.Messages() {
				if err := g.end(ctx, f.js, msg); err != nil && ctx.Err() == nil {
					t.Error(err)
				}
			}
		}
	})
}

func (g *governor) end(ctx context.Context, js jetstream.JetStream, msg jetstream.Msg) error {
	at, err := messages.ParseSubject(msg.Subject())
	if err != nil {
		return err
	}
	if r, err := messages.DecodeRequest(msg.Data()); err != nil || r.Kind() != messages.KindPrompt || len(msg.Data()) != bodyBytes {
		g.malformed.Add(1)
	}
	for range max(1, g.copies) {
		done := &nats.Msg{Subject: messages.WorkSubject(0, messages.StateDone, at.Class, at.Key), Header: nats.Header{}}
		done.Header.Set(messages.HeaderStatus, string(g.status))
		if _, err := js.PublishMsg(ctx, done); err != nil {
			return err
		}
	}
	g.count.Add(1)
	return msg.Ack()
}
