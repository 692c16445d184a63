package worker_test

import (
	"errors"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"flowgate/worker"
	"flowgate/worker/workertest"
)

// TestBoundsAreTheLeadersOrNone: between two leaders of a cluster a server that lags answers for itself. A recorder that
// believed it would take the stream for one that was set back.
func TestBoundsAreTheLeadersOrNone(t *testing.T) {
	conn, _ := workertest.Conn(t, workertest.Server(t))
	answer := func(cluster string) (worker.Bounds, error) {
		sub, err := conn.Subscribe("said.STREAM.INFO.S", func(m *nats.Msg) {
			if err := m.Respond([]byte(`{"created":"2026-01-02T03:04:05Z","state":{"first_seq":3,"last_seq":82}` + cluster + `}`)); err != nil {
				t.Error(err)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = sub.Unsubscribe() }()
		js, err := jetstream.NewWithAPIPrefix(conn, "said")
		if err != nil {
			t.Fatal(err)
		}
		return (&worker.Leader{JS: js}).Bounds(t.Context(), "S")
	}
	if b, err := answer(`,"cluster":{"name":"c","replicas":[{"name":"b"}]}`); !errors.Is(err, worker.ErrLeaderless) {
		t.Errorf("without a leader: %+v, %v", b, err)
	}
	for _, cluster := range []string{`,"cluster":{"name":"c","leader":"a"}`, ``} {
		if b, err := answer(cluster); err != nil || b.First != 3 || b.Last != 82 {
			t.Errorf("%q: %+v, %v", cluster, b, err)
		}
	}
}
