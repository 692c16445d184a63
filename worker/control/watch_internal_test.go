package control

import (
	"fmt"
	"testing"
	"time"

	"flowgate/worker/workertest"
)

// TestAnAbandonedWatchLeavesNobodyBehind: more is told than the channel takes, and nobody listens. Who is left behind fails the
// package.
func TestAnAbandonedWatchLeavesNobodyBehind(t *testing.T) {
	_, js := workertest.Conn(t, workertest.Server(t))
	workertest.Topology(t, js, nil)
	kv, err := open(t.Context(), js)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 400 {
		if _, err := kv.PutString(t.Context(), fmt.Sprintf("pause.tenant.t%d", i), "{}"); err != nil {
			t.Fatal(err)
		}
	}
	watch, err := kv.WatchAll(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for len(watch.Updates()) < cap(watch.Updates()) && t.Context().Err() == nil {
		<-tick.C
	}
	if err := stop(watch); err != nil {
		t.Error(err)
	}
}
