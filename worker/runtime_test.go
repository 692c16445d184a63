package worker_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"flowgate/messages"
	"flowgate/pipelines"
	"flowgate/worker"
	"flowgate/worker/broker"
	"flowgate/worker/workertest"
)

const ackWait = time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// layer is a layer of a test: funcs instead of decisions.
type layer struct {
	handle func(ctx context.Context, tasks []*worker.Task) []worker.Verdict
	end    func(t *worker.Task, r *pipelines.Refusal) worker.Verdict
}

func (l *layer) Name() messages.LayerName { return messages.LayerAI }

func (l *layer) Handle(ctx context.Context, tasks []*worker.Task) []worker.Verdict {
	return l.handle(ctx, tasks)
}

func (l *layer) End(_ context.Context, t *worker.Task, r *pipelines.Refusal) worker.Verdict {
	if l.end != nil {
		return l.end(t, r)
	}
	pipelines.End(t.Envelope, messages.LayerAI, r, time.Now())
	return advance(t, messages.StateDone)
}

// advancing hands every task on to a state.
func advancing(s messages.State) func(context.Context, []*worker.Task) []worker.Verdict {
	return func(_ context.Context, tasks []*worker.Task) []worker.Verdict {
		verdicts := make([]worker.Verdict, len(tasks))
		for i, t := range tasks {
			verdicts[i] = advance(t, s)
		}
		return verdicts
	}
}

func advance(t *worker.Task, s messages.State) worker.Verdict {
	data, err := messages.EncodeEnvelope(t.Envelope)
	if err != nil {
		return worker.Park(time.Now(), err)
	}
	return worker.Verdict{Action: worker.ActionAdvance, Next: t.Publication(s, t.Envelope, data)}
}

// bundle is a broker with the topology, and what was said on its wire.
type bundle struct {
	t    *testing.T
	conn *nats.Conn
	js   jetstream.JetStream
	hop  *worker.Hop
	lead *worker.Leader
	said chan *nats.Msg // acks and states, in the order in which the broker saw them
}

func setup(t *testing.T) *bundle {
	t.Helper()
	return setupFor(t, ackWait)
}

// setupFor is setup with consumers of another AckWait.
func setupFor(t *testing.T, wait time.Duration) *bundle {
	t.Helper()
	srv := workertest.Server(t)
	conn, js := workertest.Conn(t, srv)
	var queues []broker.LayerQueue
	for _, l := range pipelines.Chain() {
		for _, q := range l.Queues {
			queues = append(queues, broker.LayerQueue{Name: q.Name, State: q.State})
		}
	}
	workertest.Topology(t, js, queues, func(o *broker.TopologyOptions) { o.AckWait = wait })
	b := &bundle{t: t, conn: conn, js: js, lead: &worker.Leader{JS: js}, said: make(chan *nats.Msg, 4096)}
	b.hop = &worker.Hop{JS: js, Leader: b.lead, Backoff: worker.DefaultDelays()}
	for _, subject := range []string{"$JS.ACK.>", "flowgate.work.>", "flowgate.event.>"} {
		sub, err := conn.ChanSubscribe(subject, b.said)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = sub.Unsubscribe() })
	}
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
	return b
}

// start runs a runtime over the ai queue of class std until the test ends, or stop is called.
func (b *bundle) start(l *layer, change ...func(*worker.Options)) (stop func()) {
	b.t.Helper()
	o := worker.Options{
		Conn: b.conn, JS: b.js, Leader: b.lead, Hop: b.hop, Worker: "w1", AckWait: ackWait, Grace: time.Second,
		Queues: []worker.Queue{{Name: "ai-std-0", Stream: worker.WorkStream(0), Layer: l, Batch: 10, Lanes: 1}},
	}
	for _, c := range change {
		c(&o)
	}
	r, err := worker.NewRuntime(o)
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := r.Run(ctx); err != nil {
			b.t.Error(err)
		}
	})
	stop = sync.OnceFunc(func() { cancel(); wg.Wait() })
	b.t.Cleanup(stop)
	return stop
}

func key(id string) messages.Key { return messages.Key{Tenant: "acme", ID: id} }

func address(id string, s messages.State) messages.Address {
	return messages.Address{Key: key(id), Class: messages.ClassStd, State: s}
}

// put publishes a state by the law and returns its sequence.
func (b *bundle) put(id string, s messages.State, expect uint64, body any) uint64 {
	b.t.Helper()
	data, ok := body.([]byte)
	if !ok {
		var err error
		if data, err = json.Marshal(body); err != nil {
			b.t.Fatal(err)
		}
	}
	r := b.hop.Publish(b.t.Context(), []*worker.Publication{{Address: address(id, s), Data: data, Expect: expect}})[0]
	if r.Fate != worker.FateStored {
		b.t.Fatalf("publishing %s of %s: %+v", s, id, r)
	}
	return r.Seq
}

func envelope() *messages.Envelope {
	return &messages.Envelope{V: messages.Version, Kind: messages.KindPrompt, Request: json.RawMessage(`{}`)}
}

// word is one thing said on the wire: "state done", "ack 7 +ACK", "event attempt_end".
func word(m *nats.Msg) string {
	switch t := strings.Split(m.Subject, "."); t[0] {
	case "$JS":
		return "ack " + t[len(t)-4] + " " + string(m.Data)
	default:
		if t[1] == "event" {
			return "event " + t[3]
		}
		return "state " + t[3] + " expects " + m.Header.Get("Nats-Expected-Last-Subject-Sequence")
	}
}

// hears waits until something is said that begins with want and returns it with what was said before it.
func (b *bundle) hears(want string) (heard *nats.Msg, before []string) {
	b.t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		select {
		case m := <-b.said:
			if strings.HasPrefix(word(m), want) {
				return m, before
			}
			before = append(before, word(m))
		case <-deadline:
			b.t.Fatalf("%q was never said; heard %q", want, before)
		}
	}
}

func (b *bundle) newest(id string) *worker.Newest {
	b.t.Helper()
	n, found, err := b.lead.Newest(b.t.Context(), 0, key(id))
	if err != nil || !found {
		b.t.Fatalf("newest of %s: found %t, %v", id, found, err)
	}
	return n
}

func TestTheNextStateIsStoredBeforeTheInputIsAcknowledged(t *testing.T) {
	b := setup(t)
	b.start(&layer{handle: advancing(messages.StateOptimizer)})
	seq := b.put("r1", messages.StateAI, 0, envelope())
	state, before := b.hears(fmt.Sprintf("state optimizer expects %d", seq))
	for _, w := range before {
		if strings.Contains(w, "+ACK") {
			t.Errorf("said %q before", w)
		}
	}
	if got, want := state.Header.Get("Nats-Expected-Last-Subject-Sequence-Subject"), "flowgate.work.0.*.*.acme.r1"; got != want {
		t.Errorf("family %q, want %q", got, want)
	}
	if state.Header.Get(messages.HeaderToken) == "" {
		t.Error("no token")
	}
	b.hears(fmt.Sprintf("ack %d +ACK", seq))
}

func TestNothingIsAcknowledgedWhoseNextStateWasRefused(t *testing.T) {
	b := setup(t)
	seq := b.put("r1", messages.StateAI, 0, envelope())
	b.limitWork(1) // the broker has no room for any state
	b.start(&layer{handle: advancing(messages.StateOptimizer)})
	_, before := b.hears(fmt.Sprintf("ack %d -NAK", seq))
	for _, w := range before {
		if strings.Contains(w, "+ACK") {
			t.Errorf("said %q before", w)
		}
	}
	b.limitWork(-1)
	_, before = b.hears(fmt.Sprintf("ack %d +ACK", seq))
	if n := b.newest("r1"); n.State != messages.StateOptimizer {
		t.Errorf("acknowledged in state %s, after %q", n.State, before)
	}
}

// limitWork sets how many bytes a message of the WORK stream may have; -1 is no limit.
func (b *bundle) limitWork(bytes int32) {
	b.t.Helper()
	stream, err := b.js.Stream(b.t.Context(), worker.WorkStream(0))
	if err != nil {
		b.t.Fatal(err)
	}
	config := stream.CachedInfo().Config
	config.MaxMsgSize = bytes
	if _, err := b.js.UpdateStream(b.t.Context(), config); err != nil {
		b.t.Fatal(err)
	}
}

func TestWhoeverLosesTheComparisonAcknowledgesAndReportsWhatItSpent(t *testing.T) {
	b := setup(t)
	b.start(&layer{handle: func(_ context.Context, tasks []*worker.Task) []worker.Verdict {
		task := tasks[0]
		b.put(task.ID, messages.StateDone, task.Expect, envelope()) // somebody was faster
		v := advance(task, messages.StateOptimizer)
		v.Spent = []messages.Attempt{{K: 1, CostMicroUSD: 7, BoundMicroUSD: 9}}
		return []worker.Verdict{v}
	}})
	seq := b.put("r1", messages.StateAI, 0, envelope())
	event, _ := b.hears("event attempt_end")
	var e messages.Event
	if err := json.Unmarshal(event.Data, &e); err != nil || e.Attempt == nil || e.Attempt.CostMicroUSD != 7 {
		t.Errorf("event %s: %v", event.Data, err)
	}
	b.hears(fmt.Sprintf("ack %d +ACK", seq))
	if n := b.newest("r1"); n.State != messages.StateDone {
		t.Errorf("newest state %s", n.State)
	}
}

func TestALoserToAnotherCallDoesNotAcknowledge(t *testing.T) {
	b := setup(t)
	var calls int
	b.start(&layer{handle: func(_ context.Context, tasks []*worker.Task) []worker.Verdict {
		task := tasks[0]
		if calls++; calls == 1 {
			b.put(task.ID, messages.StateCalling, task.Expect, &messages.Calling{V: 1, InputSeq: task.Seq, Worker: "w2"})
		}
		return []worker.Verdict{advance(task, messages.StateOptimizer)}
	}})
	seq := b.put("r1", messages.StateAI, 0, envelope())
	_, before := b.hears(fmt.Sprintf(`ack %d -NAK {"delay": %d}`, seq, ackWait.Nanoseconds()))
	for _, w := range before {
		if strings.Contains(w, "+ACK") {
			t.Errorf("said %q before", w)
		}
	}
	// Its heartbeats are silent: the second delivery takes over, with the call's sequence as S.
	b.hears("state optimizer expects 2")
	b.hears(fmt.Sprintf("ack %d +ACK", seq))
}

func TestATakeOverKnowsTheCallInDoubt(t *testing.T) {
	b := setup(t)
	doubts := make(chan *messages.Calling, 8)
	first := true
	b.start(&layer{handle: func(_ context.Context, tasks []*worker.Task) []worker.Verdict {
		task := tasks[0]
		if first {
			first = false
			b.put(task.ID, messages.StateCalling, task.Expect, &messages.Calling{V: 1, InputSeq: task.Seq, Worker: "w2", Attempt: messages.Attempt{K: 1}})
			return []worker.Verdict{{Action: worker.ActionLeave}} // as a killed process does
		}
		doubts <- task.Doubt
		return []worker.Verdict{advance(task, messages.StateOptimizer)}
	}})
	b.put("r1", messages.StateAI, 0, envelope())
	if d := <-doubts; d == nil || d.Worker != "w2" || d.Attempt.K != 1 {
		t.Errorf("doubt %+v", d)
	}
	b.hears("state optimizer")
}

func TestWhatWaitsIsHandedBackUntilItsTime(t *testing.T) {
	b := setup(t)
	b.start(&layer{handle: advancing(messages.StateOptimizer)})
	e := envelope()
	e.NotBefore = time.Now().Add(1500 * time.Millisecond)
	seq := b.put("r1", messages.StateAI, 0, e)
	nak, _ := b.hears(fmt.Sprintf("ack %d -NAK", seq))
	if !strings.Contains(string(nak.Data), "delay") {
		t.Errorf("said %s", nak.Data)
	}
	b.hears("state optimizer")
	if time.Now().Before(e.NotBefore) {
		t.Error("handed on before its time")
	}
	b.hears(fmt.Sprintf("ack %d +ACK", seq))
}

func TestAnExpiredRequestEndsAsTimeout(t *testing.T) {
	b := setup(t)
	b.start(&layer{handle: advancing(messages.StateOptimizer)})
	e := envelope()
	e.NotAfter = time.Now().Add(-time.Second)
	b.put("r1", messages.StateAI, 0, e)
	done, _ := b.hears("state done")
	if done.Header.Get(messages.HeaderStatus) != "timeout" || done.Header.Get(messages.HeaderReason) != "deadline_passed" {
		t.Errorf("header %v", done.Header)
	}
}

func TestAStateThatIsNoEnvelopeEndsAsMalformed(t *testing.T) {
	b := setup(t)
	b.start(&layer{handle: advancing(messages.StateOptimizer)})
	b.put("r1", messages.StateAI, 0, []byte("{not json"))
	done, _ := b.hears("state done")
	e, err := messages.DecodeEnvelope(done.Data)
	if err != nil || e.End.Reason != messages.ReasonMalformed || e.Malformed == nil || e.Malformed.Length != 9 {
		t.Errorf("%s: %v", done.Data, err)
	}
}

func TestAPanicCostsNobodyButItsTaskWhichEndsAfterThree(t *testing.T) {
	b := setup(t)
	b.start(&layer{
		handle: func(_ context.Context, tasks []*worker.Task) []worker.Verdict {
			for _, task := range tasks {
				if task.ID == "bad" {
					panic("secret of a request")
				}
			}
			return advancing(messages.StateOptimizer)(t.Context(), tasks)
		},
		end: func(task *worker.Task, r *pipelines.Refusal) worker.Verdict {
			where := r.Detail
			if strings.Contains(where, "secret") || !strings.Contains(where, "runtime_test") && !strings.Contains(where, "worker") {
				t.Errorf("where: %s", where)
			}
			pipelines.End(task.Envelope, messages.LayerAI, r, time.Now())
			return advance(task, messages.StateDone)
		},
	})
	b.put("bad", messages.StateAI, 0, envelope())
	b.put("good", messages.StateAI, 0, envelope())
	b.hears("state optimizer")
	done, _ := b.hears("state done")
	e, err := messages.DecodeEnvelope(done.Data)
	if err != nil || len(e.History) != 3 || e.End.Reason != messages.ReasonCrash {
		t.Errorf("%s: %v", done.Data, err)
	}
}

func TestWorkInHandIsHeartbeaten(t *testing.T) {
	b := setup(t)
	release := make(chan struct{})
	var deliveries int
	b.start(&layer{handle: func(ctx context.Context, tasks []*worker.Task) []worker.Verdict {
		deliveries++
		<-release
		return advancing(messages.StateOptimizer)(ctx, tasks)
	}})
	seq := b.put("r1", messages.StateAI, 0, envelope())
	for range 5 { // longer than AckWait
		beat, _ := b.hears(fmt.Sprintf("ack %d +WPI", seq))
		if beat.Reply == "" {
			t.Error("a heartbeat is not a request")
		}
	}
	close(release)
	b.hears("state optimizer")
	b.hears(fmt.Sprintf("ack %d +ACK", seq))
	if deliveries != 1 {
		t.Errorf("%d deliveries", deliveries)
	}
}

func TestADrainHandsBackWhatNobodyBegan(t *testing.T) {
	b := setup(t)
	began, release := make(chan struct{}), make(chan struct{})
	stop := b.start(&layer{handle: func(ctx context.Context, tasks []*worker.Task) []worker.Verdict {
		began <- struct{}{}
		<-release
		return advancing(messages.StateOptimizer)(ctx, tasks)
	}}, func(o *worker.Options) { o.Queues[0].Batch = 1 })
	b.put("r1", messages.StateAI, 0, envelope())
	<-began
	seq := b.put("r2", messages.StateAI, 0, envelope())
	go close(release)
	stop()
	b.hears("state optimizer expects 1")
	// r2 was not begun: whoever comes next has it at once.
	other := make(chan struct{}, 1)
	b.start(&layer{handle: func(ctx context.Context, tasks []*worker.Task) []worker.Verdict {
		other <- struct{}{}
		return advancing(messages.StateOptimizer)(ctx, tasks)
	}})
	<-other
	b.hears(fmt.Sprintf("state optimizer expects %d", seq))
}

// purged purges what another worker had done with a request meanwhile, and others: a writer whose base is 1 slept through it.
func (b *bundle) purged() {
	b.t.Helper()
	for i := range 4 {
		b.put(fmt.Sprintf("o%d", i), messages.StateDone, 0, envelope())
	}
	stream, err := b.js.Stream(b.t.Context(), worker.WorkStream(0))
	if err != nil {
		b.t.Fatal(err)
	}
	if err := stream.Purge(b.t.Context(), jetstream.WithPurgeSequence(4)); err != nil {
		b.t.Fatal(err)
	}
}

func TestAWriterThatSleptThroughAPurgeIsDecidedOnceMore(t *testing.T) {
	b := setup(t)
	b.purged()
	b.start(&layer{handle: advancing(messages.StateOptimizer)})
	e := envelope()
	e.Base = 1
	b.put("r1", messages.StateAI, 0, e)
	hold, _ := b.hears("state hold")
	got, err := messages.DecodeEnvelope(hold.Data)
	if err != nil || got.Slept == nil || got.Slept.State != messages.StateAI || got.Wait != messages.ReasonBaseTooOld {
		t.Errorf("%s: %v", hold.Data, err)
	}
}

func TestNoPullSizeStalls(t *testing.T) {
	for _, size := range []int{1, 2, 7, 100, 500} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			b := setup(t)
			b.start(&layer{handle: advancing(messages.StateDone)}, func(o *worker.Options) {
				o.Queues[0].Batch, o.Queues[0].Single = size, size%2 == 1
			})
			const n = 300
			ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second) // less than a pull waits
			defer cancel()
			wake := make(chan *nats.Msg, 2*n)
			sub, err := b.conn.ChanSubscribe("flowgate.result.acme.*", wake)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = sub.Unsubscribe() }()
			for i := range n {
				b.put(fmt.Sprintf("r%d", i), messages.StateAI, 0, envelope())
			}
			for i := range n {
				select {
				case <-wake:
				case <-ctx.Done():
					t.Fatalf("%d of %d ended", i, n)
				}
			}
		})
	}
}
