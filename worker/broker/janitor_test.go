package broker_test

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"flowgate/messages"
	"flowgate/worker/broker"
	"flowgate/worker/workertest"
)

func TestFloor(t *testing.T) {
	for name, c := range map[string]struct {
		limits []broker.Limit
		want   broker.Limit
	}{
		"nobody":            {nil, broker.Limit{}},
		"one":               {[]broker.Limit{{Name: "a", Seq: 7}}, broker.Limit{Name: "a", Seq: 7}},
		"the lowest":        {[]broker.Limit{{Name: "a", Seq: 7}, {Name: "b", Seq: 3}, {Name: "c", Seq: 5}}, broker.Limit{Name: "b", Seq: 3}},
		"the first of two":  {[]broker.Limit{{Name: "a", Seq: 7}, {Name: "b", Seq: 3}, {Name: "c", Seq: 3}}, broker.Limit{Name: "b", Seq: 3}},
		"nothing read ever": {[]broker.Limit{{Name: "a", Seq: 7}, {Name: "b"}}, broker.Limit{Name: "b"}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := broker.Floor(c.limits...); got != c.want {
				t.Fatalf("got %v, want %v", got, c.want)
			}
		})
	}
}

// bench is a WORK stream, its readers and a recorder whose position the test sets.
type bench struct {
	t        *testing.T
	js       jetstream.JetStream
	readers  []broker.Consumer
	recorded uint64
	failure  error
	n        int
}

func newBench(t *testing.T) *bench {
	t.Helper()
	_, js := workertest.Conn(t, workertest.Server(t))
	topology := workertest.Topology(t, js, queues())
	return &bench{t: t, js: js, readers: topology.ConsumersOf(broker.WorkStream(0)), recorded: 1 << 40}
}

func (b *bench) publish(s messages.State, c messages.Class) uint64 {
	b.t.Helper()
	b.n++
	ack, err := b.js.Publish(b.t.Context(), messages.WorkSubject(0, s, c, messages.Key{Tenant: "acme", ID: strconv.Itoa(b.n)}), nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return ack.Sequence
}

// fetch takes n messages of a consumer.
func (b *bench) fetch(consumer string, n int) []jetstream.Msg {
	b.t.Helper()
	c, err := b.js.Consumer(b.t.Context(), broker.WorkStream(0), consumer)
	if err != nil {
		b.t.Fatal(err)
	}
	batch, err := c.Fetch(n, jetstream.FetchMaxWait(5*time.Second))
	if err != nil {
		b.t.Fatal(err)
	}
	var got []jetstream.Msg
	for m := range batch.Messages() {
		got = append(got, m)
	}
	if len(got) != n || batch.Error() != nil {
		b.t.Fatalf("fetched %d of %d: %v", len(got), n, batch.Error())
	}
	return got
}

func (b *bench) ack(messages ...jetstream.Msg) {
	b.t.Helper()
	for _, m := range messages {
		if err := m.DoubleAck(b.t.Context()); err != nil {
			b.t.Fatal(err)
		}
	}
}

func (b *bench) sweep(hold time.Duration) broker.Swept {
	b.t.Helper()
	s, err := b.trySweep(hold)
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

func (b *bench) trySweep(hold time.Duration) (broker.Swept, error) {
	b.t.Helper()
	j, err := broker.NewJanitor(b.js, broker.JanitorOptions{
		Stream: broker.WorkStream(0), Readers: b.readers, Hold: hold,
		Recorded: func(_ context.Context, created time.Time) (uint64, error) {
			if created.IsZero() {
				b.t.Error("the stream has no age")
			}
			return b.recorded, b.failure
		},
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return j.Sweep(b.t.Context())
}

func (b *bench) first() uint64 {
	b.t.Helper()
	bounds, err := leader(b.js).Bounds(b.t.Context(), broker.WorkStream(0))
	if err != nil {
		b.t.Fatal(err)
	}
	return bounds.First
}

func TestSweep(t *testing.T) {
	t.Run("an empty stream stays as it is", func(t *testing.T) {
		b := newBench(t)
		if s := b.sweep(0); s.Purged != 0 || s.Left != 0 {
			t.Fatalf("%+v", s)
		}
	})
	t.Run("idle classes and states that nobody reads hold nothing", func(t *testing.T) {
		b := newBench(t)
		for range 5 {
			b.publish(messages.StateAI, messages.ClassStd)
			b.publish(messages.StateDone, messages.ClassStd)
		}
		b.ack(b.fetch("ai-std-0", 5)...)
		if s := b.sweep(0); s.Purged != 10 || s.Left != 0 {
			t.Fatalf("%+v", s)
		}
		if s := b.sweep(0); s.Purged != 0 {
			t.Fatalf("again: %+v", s)
		}
		b.publish(messages.StateAI, messages.ClassStd)
		if s := b.sweep(0); s.Purged != 0 || s.Floor != (broker.Limit{Name: "ai-std-0", Seq: 10}) || s.Left != 1 {
			t.Fatalf("unread: %+v", s)
		}
	})
	t.Run("a parked message is never purged, nor what came after it", func(t *testing.T) {
		b := newBench(t)
		b.publish(messages.StateAI, messages.ClassRT)
		parked := b.publish(messages.StateAI, messages.ClassRT)
		for range 20 {
			b.publish(messages.StateOptimizer, messages.ClassBatch)
			b.publish(messages.StateAI, messages.ClassRT)
		}
		got := b.fetch("ai-rt-0", 22)
		b.ack(got[0])
		if err := got[1].NakWithDelay(time.Hour); err != nil {
			t.Fatal(err)
		}
		b.ack(got[2:]...)
		b.ack(b.fetch("optimizer-batch-0", 20)...)
		if s := b.sweep(0); s.Purged != 1 || s.Floor != (broker.Limit{Name: "ai-rt-0", Seq: parked - 1}) || s.Left != 41 {
			t.Fatalf("%+v", s)
		}
		if b.first() != parked {
			t.Fatalf("first is %d, want %d", b.first(), parked)
		}
	})
	t.Run("what is not recorded stays", func(t *testing.T) {
		b := newBench(t)
		for range 10 {
			b.publish(messages.StateDone, messages.ClassRT)
		}
		b.recorded = 0
		if s := b.sweep(0); s.Purged != 0 || s.Floor != (broker.Limit{Name: "recorder"}) {
			t.Fatalf("%+v", s)
		}
		b.recorded = 4
		if s := b.sweep(0); s.Purged != 4 || b.first() != 5 {
			t.Fatalf("%+v", s)
		}
		b.recorded = 2
		if s := b.sweep(0); s.Purged != 0 || b.first() != 5 {
			t.Fatalf("%+v", s)
		}
		b.failure = errors.New("database away")
		if _, err := b.trySweep(0); !errors.Is(err, b.failure) {
			t.Fatal(err)
		}
	})
	t.Run("what is young stays", func(t *testing.T) {
		b := newBench(t)
		for range 10 {
			b.publish(messages.StateDone, messages.ClassRT)
		}
		if s := b.sweep(time.Hour); s.Purged != 0 || s.Floor != (broker.Limit{Name: "age"}) {
			t.Fatalf("%+v", s)
		}
	})
	t.Run("a reader that does not exist holds everything", func(t *testing.T) {
		b := newBench(t)
		b.publish(messages.StateDone, messages.ClassRT)
		if err := b.js.DeleteConsumer(t.Context(), broker.WorkStream(0), "ai-rt-0"); err != nil {
			t.Fatal(err)
		}
		if _, err := b.trySweep(0); !errors.Is(err, jetstream.ErrConsumerNotFound) || b.first() != 1 {
			t.Fatal(err)
		}
	})
}

func TestSweepHoldsTheFirstYoungMessage(t *testing.T) {
	b := newBench(t)
	const n, hold = 2000, 10 * time.Minute
	for range n {
		b.publish(messages.StateDone, messages.ClassRT)
	}
	stream, err := b.js.Stream(t.Context(), broker.WorkStream(0))
	if err != nil {
		t.Fatal(err)
	}
	for seq := uint64(900); seq < 1100; seq += 3 { // a gap for the search
		if err := stream.DeleteMsg(t.Context(), seq); err != nil {
			t.Fatal(err)
		}
	}
	for _, young := range []uint64{1, 2, 17, 901, 1000, 1999, n} {
		m, found, err := leader(b.js).Get(t.Context(), broker.WorkStream(0), young)
		if err != nil || !found {
			t.Fatal(young, found, err)
		}
		j, err := broker.NewJanitor(b.js, broker.JanitorOptions{
			Stream: broker.WorkStream(0), Readers: b.readers, Hold: hold,
			Now: func() time.Time { return m.Time.Add(hold) },
		})
		if err != nil {
			t.Fatal(err)
		}
		if s, err := j.Sweep(t.Context()); err != nil || s.Floor.Name != "age" || b.first() != young {
			t.Fatalf("young is %d, first is %d: %+v %v", young, b.first(), s, err)
		}
	}
	j, err := broker.NewJanitor(b.js, broker.JanitorOptions{
		Stream: broker.WorkStream(0), Readers: b.readers, Hold: hold,
		Now: func() time.Time { return time.Now().Add(hold + time.Minute) },
	})
	if err != nil {
		t.Fatal(err)
	}
	if s, err := j.Sweep(t.Context()); err != nil || s.Purged != 1 || s.Left != 0 {
		t.Fatalf("%+v %v", s, err)
	}
}

// TestSweepHoldsWhatALaggingLeaderDoesNotShow: a leader that was just elected has not stored yet the newest messages, though the
// stream's last sequence, which another had told before, counts them.
func TestSweepHoldsWhatALaggingLeaderDoesNotShow(t *testing.T) {
	b := newBench(t)
	old, young := b.publish(messages.StateDone, messages.ClassStd), b.publish(messages.StateDone, messages.ClassStd)
	stream, err := b.js.Stream(t.Context(), broker.WorkStream(0))
	if err != nil {
		t.Fatal(err)
	}
	m, err := stream.GetMsg(t.Context(), young)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.DeleteMsg(t.Context(), young); err != nil { // as it looks on such a leader
		t.Fatal(err)
	}
	const hold = time.Minute
	j, err := broker.NewJanitor(b.js, broker.JanitorOptions{
		Stream: broker.WorkStream(0), Readers: b.readers, Hold: hold, Now: func() time.Time { return m.Time.Add(hold) },
	})
	if err != nil {
		t.Fatal(err)
	}
	swept, err := j.Sweep(t.Context())
	if err != nil || swept.Floor.Seq != old {
		t.Fatalf("purged up to %+v, must be %d: %v", swept.Floor, old, err)
	}
}

func TestSweepOfIngress(t *testing.T) {
	_, js := workertest.Conn(t, workertest.Server(t))
	topology := workertest.Topology(t, js, queues())
	k := messages.Key{Tenant: "acme", ID: "r1"}
	for _, subject := range []string{messages.RequestSubject(messages.ClassStd, k), messages.ReplaySubject(messages.ClassStd, k, 1)} {
		if _, err := js.Publish(t.Context(), subject, nil); err != nil {
			t.Fatal(err)
		}
	}
	j, err := broker.NewJanitor(js, broker.JanitorOptions{Stream: broker.StreamIngress, Readers: topology.ConsumersOf(broker.StreamIngress)})
	if err != nil {
		t.Fatal(err)
	}
	s, err := j.Sweep(t.Context())
	if err != nil || s.Purged != 0 || s.Floor.Name != "corporate-std" {
		t.Fatal(s, err)
	}
	c, err := js.Consumer(t.Context(), broker.StreamIngress, "corporate-std")
	if err != nil {
		t.Fatal(err)
	}
	for want := range uint64(2) {
		m, err := c.Next()
		if err != nil {
			t.Fatal(err)
		}
		if err := m.DoubleAck(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s, err = j.Sweep(t.Context()); err != nil || s.Purged != 1 || s.Floor.Seq != want+1 {
			t.Fatal(s, err)
		}
	}
}

// TestAClassThatStandsStillKeepsNothingOfOthers: rt is paused, its first request stays, and everything of std goes.
func TestAClassThatStandsStillKeepsNothingOfOthers(t *testing.T) {
	_, js := workertest.Conn(t, workertest.Server(t))
	topology := workertest.Topology(t, js, queues())
	publish := func(subject string) {
		t.Helper()
		if _, err := js.Publish(t.Context(), subject, nil); err != nil {
			t.Fatal(err)
		}
	}
	publish(messages.RequestSubject(messages.ClassRT, messages.Key{Tenant: "acme", ID: "paused"}))
	const n = 10
	for i := range n {
		publish(messages.RequestSubject(messages.ClassStd, messages.Key{Tenant: "acme", ID: strconv.Itoa(i)}))
		publish(messages.ReplaySubject(messages.ClassStd, messages.Key{Tenant: "acme", ID: strconv.Itoa(i)}, 1))
	}
	c, err := js.Consumer(t.Context(), broker.StreamIngress, "corporate-std")
	if err != nil {
		t.Fatal(err)
	}
	for range 2*n - 1 { // the last replay stays unread
		m, err := c.Next()
		if err != nil {
			t.Fatal(err)
		}
		if err := m.DoubleAck(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for _, sweep := range []struct {
		hold time.Duration
		want uint64
	}{{time.Hour, 0}, {0, 2*n - 1}, {0, 0}} {
		j, err := broker.NewJanitor(js, broker.JanitorOptions{
			Stream: broker.StreamIngress, Readers: topology.ConsumersOf(broker.StreamIngress), Hold: sweep.hold, Apart: true,
		})
		if err != nil {
			t.Fatal(err)
		}
		if s, err := j.Sweep(t.Context()); err != nil || s.Purged != sweep.want {
			t.Errorf("hold %s: %+v, %v, want %d", sweep.hold, s, err, sweep.want)
		}
	}
	left := func(subject string) bool {
		t.Helper()
		_, found, err := leader(js).Last(t.Context(), broker.StreamIngress, subject)
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	if !left("flowgate.request.rt.>") || left("flowgate.request.std.>") || !left("flowgate.replay.std.>") {
		t.Error("the wrong ones are gone")
	}
}

func TestNewJanitorRefuses(t *testing.T) {
	reader := broker.Consumer{Stream: broker.StreamEvents, ConsumerConfig: jetstream.ConsumerConfig{Name: "x", FilterSubject: ">"}}
	for name, o := range map[string]broker.JanitorOptions{
		"a stream that nobody reads": {Stream: broker.StreamEvents},
		"no stream":                  {Readers: []broker.Consumer{reader}},
		"a reader of another stream": {Stream: broker.StreamIngress, Readers: []broker.Consumer{reader}},
		"a reader without filter":    {Stream: broker.StreamEvents, Readers: []broker.Consumer{{Stream: broker.StreamEvents}}},
		"a recorded stream out of order": {
			Stream: broker.StreamEvents, Readers: []broker.Consumer{reader}, Apart: true,
			Recorded: func(context.Context, time.Time) (uint64, error) { return 0, nil },
		},
		"a hold that lies in the future": {Stream: broker.StreamEvents, Readers: []broker.Consumer{reader}, Hold: -1},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := broker.NewJanitor(nil, o); err == nil {
				t.Fatal("made")
			}
		})
	}
}
