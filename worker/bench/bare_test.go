package bench

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"flowgate/messages"
	"flowgate/worker/broker"
)

func TestTheBareChainLosesAndRepeatsNothing(t *testing.T) {
	const requests = 2000
	for name, concurrency := range map[string]int{"in micro-batches": 0, "one by one at the AI queue": 16} {
		t.Run(name, func(t *testing.T) {
			f := setup(t)
			b := f.bare(t, 100, concurrency)
			s, err := f.load(t, 500).drive(t.Context(), b.target(), bounds{outstanding: 500, requests: requests}, &meter{})
			if err != nil {
				t.Fatal(err)
			}
			if s.requests != requests || len(s.latencies) != requests {
				t.Errorf("%d sent, %d ended, want %d", s.requests, len(s.latencies), requests)
			}
			for _, state := range []messages.State{messages.StateAI, messages.StateOptimizer, messages.StateDone} {
				f.eachOnce(t, state, requests)
			}
		})
	}
}

// eachOnce counts the messages of a state by subject.
func (f fixture) eachOnce(t *testing.T, state messages.State, want int) {
	t.Helper()
	stream, err := f.js.Stream(t.Context(), broker.WorkStream(barePartition))
	if err != nil {
		t.Fatal(err)
	}
	filter := messages.WorkSubject(barePartition, state, messages.ClassStd, messages.Key{Tenant: bareTenant, ID: "*"})
	info, err := stream.Info(t.Context(), jetstream.WithSubjectFilter(filter))
	if err != nil {
		t.Fatal(err)
	}
	if len(info.State.Subjects) != want {
		t.Errorf("%d requests became %s, want %d", len(info.State.Subjects), state, want)
	}
	for subject, n := range info.State.Subjects {
		if n != 1 {
			t.Errorf("%s has %d messages", subject, n)
		}
	}
}

func TestBareStreamsAreCopiesOfTheNodes(t *testing.T) {
	topology, err := broker.NewTopology(broker.DefaultTopologyOptions(), queues())
	if err != nil {
		t.Fatal(err)
	}
	own, stages, err := bareTopology(bareOptions{topology: topology})
	if err != nil {
		t.Fatal(err)
	}
	if len(own.Streams) != 2 || len(own.Consumers) != 3 || len(stages) != 3 {
		t.Fatalf("%d streams, %d consumers, %d stages", len(own.Streams), len(own.Consumers), len(stages))
	}
	for _, s := range own.Streams {
		if s.Name == bareIngress && (s.MaxMsgsPerSubject != 1 || !s.DiscardNewPerSubject || s.Subjects[0] != "flowgate.bench.request.rt.*.*") {
			t.Errorf("ingress is not one-per-subject: %+v", s)
		}
		if r := s.RePublish; s.Name != bareIngress && (r == nil || !r.HeadersOnly || r.Source != "flowgate.work.999.done.*.*.*" ||
			r.Destination != "flowgate.bench.result.{{wildcard(2)}}.{{wildcard(3)}}") {
			t.Errorf("wake-ups are not those of the node: %+v", r)
		}
	}
	if topology.Streams[0].Subjects[0] != "flowgate.request.rt.*.*" {
		t.Error("the node's own topology was changed")
	}
}

// BenchmarkBare prices the bare chain: requests/s, and microseconds of CPU a request, the load's included.
func BenchmarkBare(b *testing.B) {
	for _, sync := range []bool{false, true} {
		for _, concurrency := range []int{0, 64} {
			for _, microBatch := range []int{50, 200, 1000} {
				b.Run(fmt.Sprintf("sync=%t/single=%d/batch=%d", sync, concurrency, microBatch), func(b *testing.B) {
					f := setup(b, func(o *broker.Options) { o.Sync = sync })
					chain, l, m := f.bare(b, microBatch, concurrency), f.load(b, 2000), &meter{}
					for b.Loop() {
						s, err := l.drive(b.Context(), chain.target(), bounds{outstanding: 2000, time: 3 * time.Second}, m)
						if err != nil {
							b.Fatal(err)
						}
						b.ReportMetric(s.rps(), "requests/s")
						b.ReportMetric(s.cpuUS(), "us/request")
						b.ReportMetric(float64(s.used.allocated)/float64(s.requests), "B/request")
						b.ReportMetric(milliseconds(percentile(s.latencies, 50)), "p50-ms")
					}
				})
			}
		}
	}
}
