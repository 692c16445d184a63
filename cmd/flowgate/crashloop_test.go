package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"flowgate/messages"
	"flowgate/worker"
)

// inflight is the sequence in the WORK stream that a process says it handles alone; 0: none.
func (g *ground) inflight() uint64 {
	data, err := os.ReadFile(filepath.Join(g.state, "inflight"))
	if err != nil {
		return 0
	}
	var file struct {
		Now struct {
			Stream string `json:"stream"`
			Seq    uint64 `json:"seq"`
		} `json:"now"`
	}
	if json.NewDecoder(strings.NewReader(string(data))).Decode(&file) != nil || file.Now.Stream != worker.WorkStream(0) {
		return 0
	}
	return file.Now.Seq
}

// TestAMessageThatEndsTheProcessIsFoundAndEnded: the process is killed each time it handles the one request, as a bug that
// nothing can catch would; the fourth of its successors ends it, tells why, and lives.
func TestAMessageThatEndsTheProcessIsFoundAndEnded(t *testing.T) {
	t.Parallel()
	g := newGround(t, strings.Replace(quickSettings, "ack_wait: 2s", "ack_wait: 3s", 1))
	up := g.up()
	up.ready()
	poison := g.file("poison.json", []byte(`{"prompt":"Say OK","audit_reason":"a drill of crashes","metadata":{"offline_latency_ms":50000}}`))
	g.say("submit", "--id", "poison", "-f", poison).wants(t, exitDone)
	eventually(t, "it is called", func() bool { return strings.Contains(g.say("result", "poison").stdout, "at ai") })
	up.kill()
	for named := 0; named < 3; {
		up = g.up()
		up.ready()
		late := time.Now().Add(15 * time.Second)
		up.until("the message is named", func() bool { return g.inflight() != 0 || time.Now().After(late) })
		if g.inflight() != 0 {
			named++
		}
		up.kill()
	}
	up = g.up()
	up.ready()
	r := g.result("poison")
	if r.Status != messages.StatusFailure || r.Reason != messages.ReasonCrash || !strings.Contains(r.Message, "3 processes ended") {
		t.Errorf("%+v", r)
	}
	eventually(t, "it is a dead letter", func() bool { return strings.Contains(g.say("dead", "list").stdout, "poison") })
	g.say("dead", "show", "poison").wants(t, exitDone, "failure (crash)", "processes ended without warning")
	g.say("audit", "show", "poison").wants(t, exitDone, "crash")
	g.say("submit", "--id", "good", "--wait", "--reason", "a drill of crashes", "Say OK").wants(t, exitDone, "success (ok)")
	g.say("audit", "check").wants(t, exitDone)
	up.stop()
}
