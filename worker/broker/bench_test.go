package broker_test

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"flowgate/messages"
	"flowgate/worker/broker"
	"flowgate/worker/workertest"
)

// fill publishes three states of n requests under the law, asynchronously.
func fill(b *testing.B, js jetstream.JetStream, from, n int) {
	b.Helper()
	seq := make([]uint64, n)
	for _, state := range []messages.State{messages.StateAI, messages.StateCalling, messages.StateDone} {
		acks := make([]jetstream.PubAckFuture, n)
		for i := range n {
			ack, err := js.PublishMsgAsync(transition(state, messages.Key{Tenant: "acme", ID: strconv.Itoa(from + i)}, seq[i], "t"))
			if err != nil {
				b.Fatal(err)
			}
			acks[i] = ack
		}
		for i, ack := range acks {
			select {
			case ok := <-ack.Ok():
				seq[i] = ok.Sequence
			case err := <-ack.Err():
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkLaw prices the law in a stream of 100,000 requests with three states each: a read of the newest state, and a
// publication that is compared with it.
func BenchmarkLaw(b *testing.B) {
	const families = 100_000
	_, js := workertest.Conn(b, workertest.Server(b))
	workertest.Topology(b, js, queues())
	for i := 0; i < families; i += 10_000 {
		fill(b, js, i, 10_000)
	}
	for name, id := range map[string]string{"first": "0", "middle": "50000", "last": "99999", "none": "none"} {
		b.Run("newest-"+name, func(b *testing.B) {
			family := messages.Family(0, messages.Key{Tenant: "acme", ID: id})
			for b.Loop() {
				if _, found, err := leader(js).Last(b.Context(), broker.WorkStream(0), family); err != nil || found == (name == "none") {
					b.Fatal(found, err)
				}
			}
		})
	}
	for name, seq := range map[string]uint64{"next-at-start": 1, "next-in-middle": 150_001, "next-none-above": 3*families - 4_999} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, found, err := leader(js).Next(b.Context(), broker.WorkStream(0), seq, "flowgate.work.0.ai.std.*.*"); err != nil || found == (name == "next-none-above") {
					b.Fatal(found, err)
				}
			}
		})
	}
	b.Run("round-trip", func(b *testing.B) {
		for b.Loop() {
			if _, found, err := leader(js).Get(b.Context(), broker.WorkStream(0), 1); err != nil || !found {
				b.Fatal(found, err)
			}
		}
	})
	next := families
	b.Run("three-states", func(b *testing.B) {
		for i := 0; i < b.N; i += 500 {
			fill(b, js, next, 500)
			next += 500
		}
	})
	b.Run("sweep-nothing", func(b *testing.B) {
		o := broker.DefaultTopologyOptions()
		topology, err := broker.NewTopology(o, queues())
		if err != nil {
			b.Fatal(err)
		}
		j, err := broker.NewJanitor(js, broker.JanitorOptions{
			Stream: broker.WorkStream(0), Readers: topology.ConsumersOf(broker.WorkStream(0)), Hold: broker.DefaultHold,
		})
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			s, err := j.Sweep(b.Context())
			if err != nil || s.Purged != 0 {
				b.Fatal(fmt.Sprint(s), err)
			}
		}
	})
}
