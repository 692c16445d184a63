package recorder_test

import (
	"context"
	"encoding/json"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"flowgate/messages"
	"flowgate/worker"
	"flowgate/worker/broker"
	"flowgate/worker/postgres"
	"flowgate/worker/recorder"
	"flowgate/worker/workertest"
)

func TestMain(m *testing.M) { os.Exit(workertest.Main(m)) }

// TestARecorderLeavesWhatANewerVersionWroteToANewerRecorder: recorded by this version, the request would have ended as
// malformed for ever.
func TestARecorderLeavesWhatANewerVersionWroteToANewerRecorder(t *testing.T) {
	_, js := workertest.Conn(t, workertest.Server(t))
	workertest.Topology(t, js, nil)
	db, err := postgres.Open(t.Context(), workertest.Database(t), postgres.Options{MaxConns: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	leader := &worker.Leader{JS: js}
	hop := &worker.Hop{JS: js, Leader: leader, Backoff: worker.DefaultDelays()}
	claims, err := broker.OpenClaims(t.Context(), js)
	if err != nil {
		t.Fatal(err)
	}
	seqs := make(map[string]uint64)
	for _, id := range []string{"before", "newer", "after"} {
		e := messages.Envelope{V: messages.Version, Kind: messages.KindPrompt, SubmittedAt: time.Now(), End: &messages.End{
			Status: messages.StatusDenied, Reason: messages.ReasonLimitDay, Layer: messages.LayerCorporate, FinishedAt: time.Now(),
		}}
		if id == "newer" {
			e.V++
		}
		data, err := json.Marshal(&e)
		if err != nil {
			t.Fatal(err)
		}
		address := messages.Address{Key: messages.Key{Tenant: "acme", ID: id}, Class: messages.ClassStd, State: messages.StateDone}
		receipt := hop.Publish(t.Context(), []*worker.Publication{{Address: address, Data: data}})[0]
		if receipt.Fate != worker.FateStored {
			t.Fatalf("publishing: %+v", receipt)
		}
		seqs[id] = receipt.Seq
	}
	core, logs := observer.New(zap.WarnLevel)
	released := make(chan struct{}, 8)
	r, err := recorder.New(recorder.Options{
		JS: js, Leader: leader, Hop: hop, Store: db, Claims: claims, Stream: worker.WorkStream(0), Worker: "w1", Logger: zap.New(core),
		Lock: func(context.Context, string) (func(), <-chan struct{}, error) {
			return func() { released <- struct{}{} }, make(chan struct{}), nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { r.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	select {
	case <-released:
	case <-time.After(20 * time.Second):
		t.Fatal("the lock was never given up")
	}
	position, err := db.Position(t.Context(), worker.WorkStream(0))
	if err != nil || position.Seq != seqs["before"] {
		t.Errorf("recorded up to %d, want %d: %v", position.Seq, seqs["before"], err)
	}
	outcomes, err := db.ListOutcomes(t.Context(), postgres.Filter{Tenant: "acme", Limit: -1})
	if err != nil || len(outcomes) != 1 || outcomes[0].ID != "before" {
		t.Errorf("outcomes %+v: %v", outcomes, err)
	}
	for deadline := time.After(20 * time.Second); logs.FilterMessage("recording is interrupted").Len() == 0; {
		select {
		case <-time.After(10 * time.Millisecond):
		case <-deadline:
			t.Fatal("nobody is told why recording stands")
		}
	}
}
