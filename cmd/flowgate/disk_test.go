package main

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"flowgate/messages"
)

// TestABrokerThatCannotWriteEndsTheProcess: it would refuse for ever what it once could not write. Started anew it has everything
// that was accepted.
func TestABrokerThatCannotWriteEndsTheProcess(t *testing.T) {
	t.Parallel()
	g := newGround(t, quickSettings)
	up := g.up()
	up.ready()
	found, err := filepath.Glob(filepath.Join(g.state, "nats", "jetstream", "*", "streams", "FLOWGATE_INGRESS", "msgs"))
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	blocks, away := found[0], filepath.Join(g.dir, "away")
	if err := os.Rename(blocks, away); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(blocks, nil, 0o600); err != nil { // the next block cannot be made
		t.Fatal(err)
	}
	large, accepted := g.file("large.json", sized(t, messages.MaxRequestBytes)), 0
	for g.say("submit", "--id", "large-"+strconv.Itoa(accepted), "-f", large).code == exitDone {
		if accepted++; accepted > 100 {
			t.Fatal("it writes all the same")
		}
	}
	up.ended().wants(t, exitEnvironment, "FLOWGATE_INGRESS", "write error", "start flowgate again")
	if err := os.Remove(blocks); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(away, blocks); err != nil {
		t.Fatal(err)
	}
	up = g.up()
	up.ready()
	for i := range accepted {
		if r := g.result("large-" + strconv.Itoa(i)); r.Status != messages.StatusSuccess {
			t.Errorf("%d of %d ended as %+v", i, accepted, r)
		}
	}
	g.audited(accepted)
	up.stop()
}
