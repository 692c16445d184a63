package recorder_test

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"flowgate/messages"
	"flowgate/worker"
	"flowgate/worker/broker"
	"flowgate/worker/postgres"
	"flowgate/worker/recorder"
	"flowgate/worker/workertest"
)

// tape is a broker, a database (at url) and a recorder that a test runs for a while.
type tape struct {
	t    *testing.T
	js   jetstream.JetStream
	db   *postgres.DB
	url  string
	logs *observer.ObservedLogs
	log  *zap.Logger
	n    int
	// believe is the recorder's. then is done by record once the recorder has asked for the bounds of its stream; may be nil.
	believe time.Duration
	then    func()
}

func newTape(t *testing.T) *tape {
	t.Helper()
	_, js := workertest.Conn(t, workertest.Server(t))
	workertest.Topology(t, js, nil)
	url := workertest.Database(t)
	db, err := postgres.Open(t.Context(), url, postgres.Options{MaxConns: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	core, logs := observer.New(zap.ErrorLevel)
	return &tape{t: t, js: js, db: db, url: url, logs: logs, log: zap.New(core), believe: 200 * time.Millisecond}
}

// end stores the ends of n requests, refused ones.
func (b *tape) end(n int) (last uint64) { return b.store(messages.StateDone, n) }

// store stores a state of n requests, as of refused ones.
func (b *tape) store(state messages.State, n int) (last uint64) {
	b.t.Helper()
	for range n {
		now := time.Now()
		last = b.put(state, &messages.Envelope{V: messages.Version, Kind: messages.KindPrompt, SubmittedAt: now, End: &messages.End{
			Status: messages.StatusDenied, Reason: messages.ReasonLimitDay, Layer: messages.LayerCorporate, FinishedAt: now,
		}})
	}
	return last
}

// put stores a state of the next request: its id is the tape's n.
func (b *tape) put(state messages.State, e *messages.Envelope) (seq uint64) {
	b.t.Helper()
	b.n++
	data, err := json.Marshal(e)
	if err != nil {
		b.t.Fatal(err)
	}
	hop := &worker.Hop{JS: b.js, Leader: &worker.Leader{JS: b.js}, Backoff: worker.DefaultDelays()}
	receipt := hop.Publish(b.t.Context(), []*worker.Publication{{
		Address: messages.Address{Key: messages.Key{Tenant: "acme", ID: strconv.Itoa(b.n)}, Class: messages.ClassStd, State: state}, Data: data,
	}})[0]
	if receipt.Fate != worker.FateStored {
		b.t.Fatalf("publishing: %+v", receipt)
	}
	return receipt.Seq
}

// record runs a recorder until so much is recorded.
func (b *tape) record(seq uint64) {
	b.t.Helper()
	leader := &worker.Leader{JS: b.js}
	claims, err := broker.OpenClaims(b.t.Context(), b.js)
	if err != nil {
		b.t.Fatal(err)
	}
	r, err := recorder.New(recorder.Options{
		JS: b.js, Leader: leader, Hop: &worker.Hop{JS: b.js, Leader: leader, Backoff: worker.DefaultDelays()}, Store: b.db, Claims: claims,
		Stream: worker.WorkStream(0), Worker: "w1", Logger: b.log, Believe: b.believe,
		Lock: func(context.Context, string) (func(), <-chan struct{}, error) {
			return func() {}, make(chan struct{}), nil
		},
	})
	if err != nil {
		b.t.Fatal(err)
	}
	asked := make(chan *nats.Msg, 64)
	sub, err := b.js.Conn().ChanSubscribe("$JS.API.STREAM.INFO."+worker.WorkStream(0), asked)
	if err == nil {
		err = b.js.Conn().Flush()
	}
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	ctx, cancel := context.WithCancel(b.t.Context())
	var running sync.WaitGroup
	running.Go(func() { r.Run(ctx) })
	defer func() { cancel(); running.Wait() }()
	for deadline := time.After(60 * time.Second); ; {
		at, err := b.db.Position(b.t.Context(), worker.WorkStream(0))
		if err != nil {
			b.t.Fatal(err)
		}
		if at.Seq == seq && at.Incarnation == b.bounds().Incarnation() {
			return
		}
		select {
		case <-asked:
			if b.then != nil {
				b.then()
				b.then = nil
			}
		case <-time.After(10 * time.Millisecond):
		case <-deadline:
			b.t.Fatalf("recorded up to %+v, want %d", at, seq)
		}
	}
}

func (b *tape) bounds() worker.Bounds {
	b.t.Helper()
	bounds, err := (&worker.Leader{JS: b.js}).Bounds(b.t.Context(), worker.WorkStream(0))
	if err != nil {
		b.t.Fatal(err)
	}
	return bounds
}

// wants: so many outcomes, an alarm with these words (none: no alarm), and a record that says so too.
func (b *tape) wants(outcomes int, alarm string) {
	b.t.Helper()
	all, err := b.db.ListOutcomes(b.t.Context(), postgres.Filter{Limit: -1})
	if err != nil || len(all) != outcomes {
		b.t.Errorf("%d outcomes, want %d: %v", len(all), outcomes, err)
	}
	alarmed := slices.ContainsFunc(b.logs.All(), func(e observer.LoggedEntry) bool { return strings.Contains(e.Message, alarm) })
	if alarmed != (alarm != "") {
		b.t.Errorf("alarms: %v", b.logs.All())
	}
	findings, err := b.db.Check(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	for _, f := range findings {
		if want := f.Name != "gaps" || alarm == ""; f.OK != want {
			b.t.Errorf("check %s: %d, %v", f.Name, f.Count, f.Examples)
		}
	}
}

func TestAStreamThatIsMadeAnewIsReadFromItsBeginningAndAlarmed(t *testing.T) {
	b := newTape(t)
	b.record(b.end(3))
	b.wants(3, "")
	if err := b.js.DeleteStream(t.Context(), worker.WorkStream(0)); err != nil {
		t.Fatal(err)
	}
	workertest.Topology(t, b.js, nil)
	b.record(b.end(2))
	b.wants(5, "the stream is another")
	b.record(b.end(1)) // once is enough
	if n := b.logs.Len(); n != 1 {
		t.Errorf("%d alarms", n)
	}
}

func TestAStreamThatWasSetBackIsReadFromItsBeginningAndAlarmed(t *testing.T) {
	b := newTape(t)
	last := b.end(3)
	b.record(last)
	from, err := b.db.Position(t.Context(), worker.WorkStream(0))
	if err != nil {
		t.Fatal(err)
	}
	to := from
	to.Seq += 100 // recorded, and lost from the stream with the power
	if _, err := b.db.Commit(t.Context(), worker.RecordBatch{From: from, To: to}); err != nil {
		t.Fatal(err)
	}
	b.record(last)
	b.wants(3, "was set back")
}

// TestAStreamThatLostItsEndAndGrewAgainIsReadFromItsBeginningAndAlarmed: by the time the recorder looks, it is longer than what
// was recorded of it, and another message is in that place.
func TestAStreamThatLostItsEndAndGrewAgainIsReadFromItsBeginningAndAlarmed(t *testing.T) {
	b := newTape(t)
	b.record(b.end(3))
	from, err := b.db.Position(t.Context(), worker.WorkStream(0))
	if err != nil {
		t.Fatal(err)
	}
	to := from
	to.Seq, to.StoredNS = from.Seq+2, time.Now().UnixNano() // recorded, and lost from the stream with the power
	if _, err := b.db.Commit(t.Context(), worker.RecordBatch{From: from, To: to}); err != nil {
		t.Fatal(err)
	}
	b.record(b.end(3)) // the first two of them are in the place of what was lost
	b.wants(6, "was set back")
}

// TestWhatIsNotRecordedKeepsNothingFromBeingPurged: only waits are published, and the position moves over them. They are purged, and
// what comes later is recorded without a gap.
func TestWhatIsNotRecordedKeepsNothingFromBeingPurged(t *testing.T) {
	b := newTape(t)
	b.end(2)
	last := b.store(messages.StateHold, 3)
	b.record(last)
	stream, err := b.js.Stream(t.Context(), worker.WorkStream(0))
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Purge(t.Context(), jetstream.WithPurgeSequence(last)); err != nil {
		t.Fatal(err)
	}
	b.store(messages.StateHold, 1)
	b.record(b.end(1))
	b.wants(3, "")
}

// TestALaggingAnswerIsNotTakenForAStreamThatWasSetBack: a leader that was cut off from its cluster answers with less than was
// recorded, and soon with all of it.
func TestALaggingAnswerIsNotTakenForAStreamThatWasSetBack(t *testing.T) {
	b := newTape(t)
	b.record(b.end(3))
	from, err := b.db.Position(t.Context(), worker.WorkStream(0))
	if err != nil {
		t.Fatal(err)
	}
	to := from
	to.Seq, to.StoredNS = from.Seq+2, 0 // when they were stored is not known
	if _, err := b.db.Commit(t.Context(), worker.RecordBatch{From: from, To: to}); err != nil {
		t.Fatal(err)
	}
	b.believe, b.then = time.Hour, func() { b.end(3) } // the first two of them count as recorded
	b.record(to.Seq + 1)
	b.wants(4, "")
}

func TestWhatIsPurgedBeforeItIsRecordedIsAGapAndAlarmed(t *testing.T) {
	for name, recorded := range map[string]bool{"after some were recorded": true, "before any was": false} {
		t.Run(name, func(t *testing.T) {
			b := newTape(t)
			if last := b.end(2); recorded {
				b.record(last)
			}
			last := b.end(3)
			stream, err := b.js.Stream(t.Context(), worker.WorkStream(0))
			if err != nil {
				t.Fatal(err)
			}
			if err := stream.Purge(t.Context(), jetstream.WithPurgeSequence(last)); err != nil {
				t.Fatal(err)
			}
			b.record(last)
			want := 1
			if recorded {
				want = 3
			}
			b.wants(want, "purged before they were recorded")
		})
	}
}
