package results_test

import (
	"context"
	"encoding/json"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap/zaptest"

	"flowgate/messages"
	"flowgate/worker"
	"flowgate/worker/broker"
	"flowgate/worker/postgres"
	"flowgate/worker/results"
	"flowgate/worker/workertest"
)

func TestMain(m *testing.M) { os.Exit(workertest.Main(m)) }

// TestAResultThatANewerVersionWroteIsPendingForWhoCannotReadIt: a service of that version tells it, or the record.
func TestAResultThatANewerVersionWroteIsPendingForWhoCannotReadIt(t *testing.T) {
	conn, js := workertest.Conn(t, workertest.Server(t))
	workertest.Topology(t, js, nil)
	db, err := postgres.Open(t.Context(), workertest.Database(t), postgres.Options{MaxConns: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	claims, err := broker.OpenClaims(t.Context(), js)
	if err != nil {
		t.Fatal(err)
	}
	leader := &worker.Leader{JS: js}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		err := results.Run(ctx, results.Options{Conn: conn, Leader: leader, Store: db, Claims: claims, Partitions: 1, Logger: zaptest.NewLogger(t)})
		if err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); running.Wait() })
	hop := &worker.Hop{JS: js, Leader: leader, Backoff: worker.DefaultDelays()}
	for _, state := range []messages.State{messages.StateDone, messages.StateCalling} {
		key := messages.Key{Tenant: "acme", ID: string(state)}
		data, err := json.Marshal(map[string]any{"v": messages.Version + 1, "epoch": 3, "end": map[string]any{"status": "success"}})
		if err != nil {
			t.Fatal(err)
		}
		receipt := hop.Publish(ctx, []*worker.Publication{{Address: messages.Address{Key: key, Class: messages.ClassStd, State: state}, Data: data}})[0]
		if receipt.Fate != worker.FateStored {
			t.Fatalf("publishing: %+v", receipt)
		}
		var got messages.Result
		for deadline := time.Now().Add(20 * time.Second); ; {
			if got, err = results.Get(ctx, conn, key); err == nil || time.Now().After(deadline) {
				break // the service may not have been there yet
			}
		}
		if err != nil || got.State != messages.ResultPending || got.At != string(state) || got.Epoch != 3 {
			t.Errorf("%s: %+v, %v", state, got, err)
		}
	}
}
