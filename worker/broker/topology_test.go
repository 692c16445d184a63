package broker_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"flowgate/messages"
	"flowgate/worker/broker"
	"flowgate/worker/workertest"
)

func TestTopology(t *testing.T) {
	srv := workertest.Server(t)
	_, js := workertest.Conn(t, srv)
	o := broker.DefaultTopologyOptions()
	o.Partitions, o.AckWait = 2, workertest.AckWait
	topology, err := broker.NewTopology(o, queues())
	if err != nil {
		t.Fatal(err)
	}

	t.Run("everything is missing before it is applied", func(t *testing.T) {
		diffs, err := broker.Check(t.Context(), js, topology)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := broker.PartitionsFound(t.Context(), js); err != nil || n != 0 {
			t.Error(n, err)
		}
		if want := 4 + 4 + 3 + 2*9; len(diffs) != want {
			t.Fatalf("%d differences, want %d: %v", len(diffs), want, diffs)
		}
		for _, d := range diffs {
			if d.Field != "" {
				t.Errorf("%v", d)
			}
		}
	})
	t.Run("several processes apply it at once", func(t *testing.T) {
		errs := make([]error, 4)
		var wg sync.WaitGroup
		for i := range errs {
			wg.Go(func() { errs[i] = broker.Apply(t.Context(), js, topology) })
		}
		wg.Wait()
		for _, err := range errs {
			if err != nil {
				t.Error(err)
			}
		}
		noDifferences(t, js, topology)
	})
	t.Run("its partitions are found", func(t *testing.T) {
		if n, err := broker.PartitionsFound(t.Context(), js); err != nil || n != 2 {
			t.Fatal(n, err)
		}
	})
	t.Run("a change by hand is told by thing and field, and undone", func(t *testing.T) {
		changed := topology.Streams[0]
		changed.MaxMsgsPerSubject, changed.DiscardNewPerSubject = 7, false
		if _, err := js.UpdateStream(t.Context(), changed); err != nil {
			t.Fatal(err)
		}
		c := topology.ConsumersOf(broker.WorkStream(1))[0]
		c.AckWait = time.Minute
		if _, err := js.UpdateConsumer(t.Context(), c.Stream, c.ConsumerConfig); err != nil {
			t.Fatal(err)
		}
		diffs, err := broker.Check(t.Context(), js, topology)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, d := range diffs {
			got = append(got, d.String())
		}
		want := []string{
			"stream FLOWGATE_INGRESS: discard_new_per_subject is not set, must be true",
			"stream FLOWGATE_INGRESS: max_msgs_per_subject is 7, must be 1",
			"consumer corporate-hold-rt-1 of FLOWGATE_WORK_1: ack_wait is 60000000000, must be 2000000000",
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Fatalf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if err := broker.Apply(t.Context(), js, topology); err != nil {
			t.Fatal(err)
		}
		noDifferences(t, js, topology)
	})
}

func noDifferences(t *testing.T, js jetstream.JetStream, topology broker.Topology) {
	t.Helper()
	diffs, err := broker.Check(t.Context(), js, topology)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range diffs {
		t.Error(d)
	}
}

func TestApplyNamesWhatCannotBeChanged(t *testing.T) {
	srv := workertest.Server(t)
	_, js := workertest.Conn(t, srv)
	o := broker.DefaultTopologyOptions()
	topology, err := broker.NewTopology(o, queues())
	if err != nil {
		t.Fatal(err)
	}
	other := topology.Streams[0]
	other.Storage = jetstream.MemoryStorage
	if _, err := js.CreateStream(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	err = broker.Apply(t.Context(), js, topology)
	if err == nil || !strings.Contains(err.Error(), `stream FLOWGATE_INGRESS: storage is "memory", must be "file"`) {
		t.Fatalf("error is %v", err)
	}
}

func TestIngressTakesEachSubjectOnce(t *testing.T) {
	srv := workertest.Server(t)
	_, js := workertest.Conn(t, srv)
	workertest.Topology(t, js, queues())
	subject := messages.RequestSubject(messages.ClassRT, messages.Key{Tenant: "acme", ID: "r1"})
	if _, err := js.Publish(t.Context(), subject, []byte("{}")); err != nil {
		t.Fatal(err)
	}
	_, err := js.Publish(t.Context(), subject, []byte("{}"))
	var api *jetstream.APIError
	if !asAPIError(err, &api) || api.ErrorCode != 10077 || api.Description != "maximum messages per subject exceeded" {
		t.Fatalf("the second is answered with %v", err)
	}
	replay := messages.ReplaySubject(messages.ClassRT, messages.Key{Tenant: "acme", ID: "r1"}, 1)
	if _, err := js.Publish(t.Context(), replay, []byte("{}")); err != nil {
		t.Fatal(err)
	}
	for _, wrong := range []string{
		"flowgate.request.vip.acme.r1", "flowgate.request.rt.acme.r1.x", "flowgate.request.rt.acme",
		"flowgate.work.0.unknown.rt.acme.r1", "flowgate.work.1.ai.rt.acme.r1", "flowgate.replay.rt.acme.r1",
	} {
		if _, err := js.Publish(t.Context(), wrong, nil); err == nil {
			t.Errorf("%s was stored", wrong)
		}
	}
}

func TestIngressRefusesWhatWouldBendTheLaw(t *testing.T) {
	srv := workertest.Server(t)
	nc, js := workertest.Conn(t, srv)
	workertest.Topology(t, js, queues())
	for name, headers := range map[string]nats.Header{
		"schedule": {"Nats-Schedule": {"@at 2099-01-01T00:00:00Z"}, "Nats-Schedule-Target": {"flowgate.request.rt.acme.x"}},
		"rollup":   {"Nats-Rollup": {"all"}},
		"counter":  {"Nats-Incr": {"+1"}},
		"atomic":   {"Nats-Batch-Id": {"b"}, "Nats-Batch-Sequence": {"1"}, "Nats-Batch-Commit": {"1"}},
	} {
		t.Run(name, func(t *testing.T) {
			m := nats.NewMsg(messages.RequestSubject(messages.ClassRT, messages.Key{Tenant: "acme", ID: name}))
			m.Header = headers
			answer, err := nc.RequestMsgWithContext(t.Context(), m)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(answer.Data), `"error"`) {
				t.Fatalf("was stored: %s", answer.Data)
			}
		})
	}
}

func TestDoneWakesWithHeadersOnly(t *testing.T) {
	srv := workertest.Server(t)
	nc, js := workertest.Conn(t, srv)
	workertest.Topology(t, js, queues())
	k := messages.Key{Tenant: "acme", ID: "r1"}
	sub, err := nc.SubscribeSync(messages.ResultSubject(k))
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	for _, state := range []messages.State{messages.StateAI, messages.StateDone} {
		m := nats.NewMsg(messages.WorkSubject(0, state, messages.ClassBatch, k))
		m.Header.Set(messages.HeaderStatus, string(state))
		m.Data = []byte("secret")
		if _, err := js.PublishMsg(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	got, err := sub.NextMsgWithContext(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got.Header.Get(messages.HeaderStatus) != "done" || len(got.Data) != 0 {
		t.Fatalf("woken with %v %q", got.Header, got.Data)
	}
}
