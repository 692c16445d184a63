package worker_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"flowgate/messages"
	"flowgate/worker"
	"flowgate/worker/broker"
	"flowgate/worker/workertest"
)

// grouped is a durable broker and a hop whose publications go together.
type grouped struct {
	t   testing.TB
	js  jetstream.JetStream
	hop *worker.Hop
}

func newGrouped(t testing.TB) *grouped {
	t.Helper()
	srv := workertest.Server(t, func(o *broker.Options) { o.Sync = true })
	conn, js := workertest.Conn(t, srv)
	workertest.Topology(t, js, nil)
	return &grouped{t: t, js: js, hop: groupedHop(t, conn)}
}

func groupedHop(t testing.TB, conn *nats.Conn) *worker.Hop {
	t.Helper()
	js, err := jetstream.New(conn, jetstream.WithPublishAsyncTimeout(2*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	return &worker.Hop{
		JS: js, Leader: &worker.Leader{JS: js}, Group: &worker.Group{Patience: 500 * time.Millisecond},
		Backoff: worker.Delays{Base: 10 * time.Millisecond, Max: 100 * time.Millisecond, Factor: 2},
	}
}

func states(prefix string, n int) []*worker.Publication {
	pubs := make([]*worker.Publication, n)
	for i := range pubs {
		pubs[i] = &worker.Publication{Address: address(fmt.Sprintf("%s%d", prefix, i), messages.StateAI), Data: fmt.Appendf(nil, "%s%d", prefix, i)}
	}
	return pubs
}

// stands checks that a publication is the newest state of its family, at the sequence of its receipt.
func (g *grouped) stands(p *worker.Publication, r worker.Receipt) {
	g.t.Helper()
	leader := &worker.Leader{JS: g.js}
	n, found, err := leader.Newest(g.t.Context(), 0, p.Key)
	if err != nil || !found || r.Fate != worker.FateStored || n.Seq != r.Seq || !bytes.Equal(n.Data, p.Data) {
		g.t.Errorf("%s: receipt %+v, found %t at %+v: %v", p.ID, r, found, n, err)
	}
}

// stored checks how many messages the WORK stream has.
func (g *grouped) stored(n uint64) {
	g.t.Helper()
	bounds, err := (&worker.Leader{JS: g.js}).Bounds(g.t.Context(), worker.WorkStream(0))
	if err != nil || bounds.Last != n {
		g.t.Errorf("the stream goes up to %d, not %d: %v", bounds.Last, n, err)
	}
}

func (g *grouped) counts(batches, members, refused uint64) {
	g.t.Helper()
	if got, want := g.hop.Group.Counts(), (worker.GroupCounts{Batches: batches, Members: members, Refused: refused}); got != want {
		g.t.Errorf("counts %+v, want %+v", got, want)
	}
}

func TestManyGoTogetherEachWithItsOwnSequence(t *testing.T) {
	g := newGrouped(t)
	pubs := states("a", 40)
	receipts := g.hop.Publish(t.Context(), pubs)
	for i, r := range receipts {
		g.stands(pubs[i], r)
	}
	next := states("a", 40)
	for i, p := range next {
		p.State, p.Expect = messages.StateDone, receipts[i].Seq
	}
	for i, r := range g.hop.Publish(t.Context(), next) {
		g.stands(next[i], r)
	}
	g.stored(80)
	g.counts(2, 80, 0)
}

func TestFewGoSinglyAndSoDoAllWhereTheGroupIsOff(t *testing.T) {
	g := newGrouped(t)
	for i, r := range g.hop.Publish(t.Context(), states("few", 3)) {
		g.stands(states("few", 3)[i], r)
	}
	g.hop.Group.Switch(false)
	for i, r := range g.hop.Publish(t.Context(), states("many", 40)) {
		g.stands(states("many", 40)[i], r)
	}
	g.counts(0, 0, 0)
}

func TestALargeOneGoesSingly(t *testing.T) {
	g := newGrouped(t)
	pubs := states("a", 41)
	pubs[4].Data = bytes.Repeat([]byte("x"), 300<<10)
	for i, r := range g.hop.Publish(t.Context(), pubs) {
		g.stands(pubs[i], r)
	}
	g.counts(1, 40, 0)
}

func TestOneWhoLostTheComparisonCostsTheOthersNothing(t *testing.T) {
	g := newGrouped(t)
	earlier := states("a", 8)[7:]
	g.hop.Publish(t.Context(), earlier)
	pubs := states("a", 40)
	for i, r := range g.hop.Publish(t.Context(), pubs) {
		if i == 7 {
			if r.Fate != worker.FateMoved || r.Newest == nil || r.Newest.Seq != 1 {
				t.Errorf("the loser's receipt is %+v", r)
			}
			continue
		}
		g.stands(pubs[i], r)
	}
	g.stored(40)
	g.counts(0, 0, 1)
}

// TestTwoOfOneFamilyAreComparedOneAfterTheOther: in one batch the server would compare both with what was there before, and
// store both.
func TestTwoOfOneFamilyAreComparedOneAfterTheOther(t *testing.T) {
	g := newGrouped(t)
	pubs := append(states("a", 40), states("a", 1)...)
	pubs[40].State, pubs[40].Data = messages.StateDone, []byte("the second")
	receipts := g.hop.Publish(t.Context(), pubs)
	for i, r := range receipts[:40] {
		g.stands(pubs[i], r)
	}
	if r := receipts[40]; r.Fate != worker.FateMoved || r.Newest == nil || r.Newest.Seq != receipts[0].Seq {
		t.Errorf("the second's receipt is %+v", r)
	}
	g.stored(40)
}

func TestABatchWhoseAnswerIsLostIsFoundByItsTokens(t *testing.T) {
	srv := workertest.Server(t, func(o *broker.Options) { o.Sync = true })
	_, js := workertest.Conn(t, srv)
	workertest.Topology(t, js, nil)
	proxy := newDeaf(t, srv, []byte(`"batch":"`))
	conn, err := nats.Connect(proxy.url, nats.UserInfo(broker.OperatorUser, workertest.OperatorPassword),
		nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	g := &grouped{t: t, js: js, hop: groupedHop(t, conn)}
	pubs := states("a", 40)
	for i, r := range g.hop.Publish(t.Context(), pubs) {
		g.stands(pubs[i], r)
	}
	if !proxy.heard.Load() {
		t.Error("no answer to a batch was swallowed: nothing was tested")
	}
	g.stored(40)
	g.counts(0, 0, 1)
}

// TestCallersComeAndGo: whoever gives up while he waits, or leads, keeps nobody waiting, and each request is moved once.
func TestCallersComeAndGo(t *testing.T) {
	g := newGrouped(t)
	const callers, turns = 72, 5
	var won atomic.Int64
	var all sync.WaitGroup
	for c := range callers {
		all.Go(func() {
			for turn := range turns {
				ctx, cancel := context.WithCancel(t.Context())
				if c%4 == 0 {
					time.AfterFunc(time.Duration(c)*100*time.Microsecond, cancel)
				}
				// Every two callers want to move the same requests.
				for _, r := range g.hop.Publish(ctx, states(fmt.Sprintf("c%d-%d-", c/2, turn), 1+c%3)) {
					if r.Fate == worker.FateStored {
						won.Add(1)
					}
				}
				cancel()
			}
		})
	}
	all.Wait()
	if c := g.hop.Group.Counts(); c.Batches+c.Refused == 0 {
		t.Errorf("nobody went together: %+v", c)
	}
	last := states("last", 20)
	for i, r := range g.hop.Publish(t.Context(), last) {
		g.stands(last[i], r)
	}
	bounds, err := g.hop.Leader.Bounds(t.Context(), worker.WorkStream(0))
	if err != nil {
		t.Fatal(err)
	}
	families := map[messages.Key]uint64{}
	for seq := bounds.First; seq <= bounds.Last; seq++ {
		m, found, err := g.hop.Leader.Get(t.Context(), worker.WorkStream(0), seq)
		if err != nil || !found {
			t.Fatalf("message %d: %t, %v", seq, found, err)
		}
		a, err := messages.ParseSubject(m.Subject)
		if err != nil {
			t.Fatal(err)
		}
		if other := families[a.Key]; other != 0 {
			t.Errorf("%s was moved from nothing twice, at %d and %d", a.ID, other, seq)
		}
		families[a.Key] = seq
	}
	if uint64(won.Load())+20 > uint64(len(families)) { //nolint:gosec // a count
		t.Errorf("%d were told that theirs was stored, %d are", won.Load(), len(families)-20)
	}
}

// deaf is a way to a server that swallows the first answer with a mark in it, and cuts the connection.
type deaf struct {
	url   string
	heard atomic.Bool
}

func newDeaf(t *testing.T, srv *broker.Server, mark []byte) *deaf {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &deaf{url: "nats://" + listener.Addr().String()}
	target := srv.URL()[len("nats://"):]
	var all sync.WaitGroup
	all.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", target)
			if err != nil {
				_ = client.Close()
				continue
			}
			all.Go(func() { _, _ = io.Copy(server, client); _ = server.Close() })
			all.Go(func() { d.pass(client, server, mark); _ = client.Close(); _ = server.Close() })
		}
	})
	t.Cleanup(func() { _ = listener.Close(); all.Wait() })
	return d
}

func (d *deaf) pass(client, server net.Conn, mark []byte) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := server.Read(buffer)
		if bytes.Contains(buffer[:n], mark) && d.heard.CompareAndSwap(false, true) {
			return
		}
		if _, werr := client.Write(buffer[:n]); err != nil || werr != nil {
			return
		}
	}
}

// BenchmarkDurablePublish is what a publication costs a server that flushes always, singly and together.
func BenchmarkDurablePublish(b *testing.B) {
	for _, n := range []int{1, 8, 16, 32, 64, 200} {
		for _, together := range []bool{false, true} {
			b.Run(fmt.Sprintf("%d together=%t", n, together), func(b *testing.B) {
				g := newGrouped(b)
				g.hop.Group.Switch(together)
				round := 0
				b.ResetTimer()
				for range b.N {
					round++
					for _, r := range g.hop.Publish(b.Context(), states(fmt.Sprintf("r%d-", round), n)) {
						if r.Fate != worker.FateStored {
							b.Fatalf("%+v", r)
						}
					}
				}
				b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*n), "us/publication")
			})
		}
	}
}
