package broker_test

import (
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"flowgate/messages"
	"flowgate/worker"
	"flowgate/worker/broker"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// queues are those of the three layers.
func queues() []broker.LayerQueue {
	return []broker.LayerQueue{
		{Name: "corporate"},
		{Name: "corporate-hold", State: messages.StateHold},
		{Name: "ai", State: messages.StateAI},
		{Name: "optimizer", State: messages.StateOptimizer},
	}
}

// nothingStored fails where a stream that no producer may reach has a message.
func nothingStored(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	for _, stream := range []string{broker.WorkStream(0), broker.StreamEvents, "KV_" + broker.BucketControl} {
		bounds, err := leader(js).Bounds(t.Context(), stream)
		if err != nil || bounds.Last != 0 {
			t.Errorf("%s has %d messages: %v", stream, bounds.Last, err)
		}
	}
	_, found, err := leader(js).Last(t.Context(), broker.StreamIngress, "flowgate.replay.>")
	if err != nil || found {
		t.Errorf("a replay was stored: %v", err)
	}
}

// leader reads streams from their leader.
func leader(js jetstream.JetStream) *worker.Leader { return &worker.Leader{JS: js} }
