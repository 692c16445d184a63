package recorder_test

import (
	"context"
	"strings"
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

// fragile is a claim store whose client panics over one body.
type fragile struct{ *broker.Claims }

func (f fragile) Get(ctx context.Context, claim messages.Claim) ([]byte, error) {
	if strings.Contains(claim.Key, "poison") {
		panic("secret of a body")
	}
	return f.Claims.Get(ctx, claim)
}

// TestAPanicOverOneMessageCostsTheRecordNothingElse: what stands before and behind it is recorded, and its own end too.
func TestAPanicOverOneMessageCostsTheRecordNothingElse(t *testing.T) {
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
	publish := func(id string, body []byte) {
		t.Helper()
		address := messages.Address{Key: messages.Key{Tenant: "acme", ID: id}, Class: messages.ClassStd, State: messages.StateDone}
		if r := hop.Publish(t.Context(), []*worker.Publication{{Address: address, Data: body}})[0]; r.Fate != worker.FateStored {
			t.Fatalf("publishing %s: %+v", id, r)
		}
	}
	for _, id := range []string{"before", "poison", "after"} {
		e := messages.Envelope{V: messages.Version, Kind: messages.KindPrompt, SubmittedAt: time.Now(), End: &messages.End{
			Status: messages.StatusSuccess, Reason: messages.ReasonOK, Layer: messages.LayerOptimizer, FinishedAt: time.Now(),
		}}
		if id == "poison" {
			e.AI = &messages.AISection{AnswerClaim: &messages.Claim{Key: "acme/poison/0/x"}}
		}
		data, err := messages.EncodeEnvelope(&e)
		if err != nil {
			t.Fatal(err)
		}
		publish(id, data)
	}
	publish("bytes", []byte{0xff, 0, '{'})
	core, logs := observer.New(zap.WarnLevel)
	r, err := recorder.New(recorder.Options{
		JS: js, Leader: leader, Hop: hop, Store: db, Claims: fragile{claims}, Stream: worker.WorkStream(0), Worker: "w1", Logger: zap.New(core),
		Lock: func(context.Context, string) (func(), <-chan struct{}, error) {
			return func() {}, make(chan struct{}), nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { r.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	var outcomes []postgres.Outcome
	for late := time.After(60 * time.Second); len(outcomes) < 4; {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-late:
			t.Fatalf("only %+v are recorded", outcomes)
		}
		if outcomes, err = db.ListOutcomes(t.Context(), postgres.Filter{Tenant: "acme", Limit: -1}); err != nil {
			t.Fatal(err)
		}
	}
	for _, o := range outcomes {
		want := messages.ReasonOK
		if o.ID == "bytes" {
			want = messages.ReasonMalformed
		}
		if o.Reason != string(want) {
			t.Errorf("%s ended as %s", o.ID, o.Reason)
		}
	}
	panics := logs.FilterMessageSnippet("panic while reading").All()
	if len(panics) != 1 || panics[0].ContextMap()["type"] != "string" {
		t.Errorf("logged %+v", panics)
	}
	for _, entry := range logs.All() {
		for _, value := range entry.ContextMap() {
			if text, is := value.(string); is && strings.Contains(text, "secret") {
				t.Errorf("told: %s", text)
			}
		}
	}
}
