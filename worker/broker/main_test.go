package broker_test

import (
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"flowgate/messages"
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
		last, _, _, err := broker.LastSequence(t.Context(), js, stream)
		if err != nil || last != 0 {
			t.Errorf("%s has %d messages: %v", stream, last, err)
		}
	}
	_, found, err := broker.Newest(t.Context(), js, broker.StreamIngress, "flowgate.replay.>")
	if err != nil || found {
		t.Errorf("a replay was stored: %v", err)
	}
}
