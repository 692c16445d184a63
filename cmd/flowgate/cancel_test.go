package main

import (
	"fmt"
	"strings"
	"testing"

	"flowgate/messages"
	"flowgate/worker/postgres"
	"flowgate/worker/workertest"
)

// TestCancelEndsWhatHasNotEnded: held, submitted and queued requests, by id and by conditions; what ended before says so.
func TestCancelEndsWhatHasNotEnded(t *testing.T) {
	t.Parallel()
	g := newGround(t, quickSettings)
	up := g.up()
	up.ready()
	submit := func(id string, more ...string) {
		t.Helper()
		g.say(append([]string{"submit", "--id", id, "--reason", "a drill of cancelling", "Say OK"}, more...)...).wants(t, exitDone)
	}
	submit("good", "--wait")
	g.say("cancel", "good").wants(t, exitFailed, "had ended before: success (ok)")
	g.say("cancel", "nobody").wants(t, exitFailed, "no such request")
	g.say("cancel").wants(t, exitUsage, "name one request")
	g.say("cancel", "x", "--where", "class = rt").wants(t, exitUsage, "name one request")
	g.say("cancel", "--where", "colour = red").wants(t, exitUsage, "is no field")
	g.say("cancel", "--batch", "nobody", "--yes").wants(t, exitFailed, "no batch")

	submit("later", "--run-at", "2099-01-01T00:00:00Z")
	g.say("cancel", "later", "--reason", "sent by mistake", "--by", "ops").wants(t, exitDone, "cancelled (was ")
	if r := g.result("later"); r.Reason != messages.ReasonCancelled || r.Status != messages.StatusFailure || !strings.Contains(r.Message, "by ops: sent by mistake") {
		t.Errorf("%+v", r)
	}
	g.say("cancel", "later").wants(t, exitFailed, "had ended before: failure (cancelled)")

	g.say("pause", "layer", "corporate", "--reason", "a drill").wants(t, exitDone)
	submit("new")
	var said cancelled
	g.say("cancel", "new", "--json").read(t, &said)
	if !said.Cancelled || said.Pending || said.Was != "taken up" {
		t.Errorf("%+v", said)
	}
	g.say("resume", "layer", "corporate").wants(t, exitDone)

	g.say("pause", "tenant", "default", "--reason", "a drill").wants(t, exitDone)
	for i := range 5 {
		submit(fmt.Sprintf("w-%d", i+1), "--user", "alice")
	}
	submit("other", "--user", "bob")
	var list cancelledAll
	eventually(t, "all of them wait", func() bool {
		s := g.say("cancel", "--where", "user = alice and waits_for = paused", "--json")
		s.wants(t, exitUsage, "--yes")
		s.read(t, &list)
		return list.Selected == 5
	})
	if list.Done || list.Requests[0].Cancelled {
		t.Errorf("%+v", list)
	}
	g.say("cancel", "--where", "id = w-* and user = alice", "--yes", "--json").read(t, &list)
	if list.Selected != 5 || list.Cancelled != 5 || !list.Done {
		t.Errorf("%+v", list)
	}
	eventually(t, "the record knows that they have ended", func() bool {
		s := g.say("cancel", "--where", "user = alice", "--yes", "--json")
		s.read(t, &list)
		if list.Cancelled > 0 {
			t.Errorf("ended twice: %+v", list)
		}
		return list.Done && list.Selected == 0
	})
	g.say("resume", "tenant", "default").wants(t, exitDone)
	if r := g.result("other"); r.Status != messages.StatusSuccess {
		t.Errorf("%+v", r)
	}
	g.say("audit", "check").wants(t, exitDone)
	up.stop()
}

// TestACancelledBatchEndsWhileItIsSubmitted: its lines on the way, and those that are submitted later.
func TestACancelledBatchEndsWhileItIsSubmitted(t *testing.T) {
	t.Parallel()
	g := newGround(t, quickSettings)
	up := g.up()
	up.ready()
	const n = 300
	var file strings.Builder
	for i := range n { // the first ones end, the others would take their time
		fmt.Fprintf(&file, `{"prompt":"Say OK","audit_reason":"a drill of cancelling","metadata":{"offline_latency_ms":%d}}`+"\n", min(i/5, 1)*10_000)
	}
	g.file("drill.jsonl", []byte(file.String()))
	batch := g.begin(g.command("batch", "submit", "drill.jsonl", "--window", "8", "--json"), "")
	eventually(t, "some lines have ended", func() bool {
		var all []struct {
			Counts postgres.BatchCounts `json:"counts"`
		}
		g.say("batch", "status", "--json").read(t, &all)
		return len(all) > 0 && all[0].Counts.Ended > 0
	})
	g.say("cancel", "--batch", "drill.jsonl").wants(t, exitUsage, "would be cancelled", "--yes")
	g.say("cancel", "--batch", "drill.jsonl", "--yes").wants(t, exitDone, "is cancelled")
	batch.ended().wants(t, exitFailed)
	ended, cancelled := len(g.lines("drill.output.jsonl")), 0
	for _, line := range g.lines("drill.errors.jsonl") {
		ended++
		if line["reason"] == string(messages.ReasonCancelled) {
			cancelled++
		}
	}
	if ended != n || cancelled == 0 || cancelled == n {
		t.Errorf("%d lines ended, %d of them cancelled", ended, cancelled)
	}
	eventually(t, "the record is complete", func() bool { return g.say("audit", "check").code == exitDone })
	up.kill() // calls are under way whose answers nobody wants
}

// TestACancelOfWhatIsPurgedMeanwhileTellsHowItEnded: it ends, and its states are purged, between the first look and the word.
func TestACancelOfWhatIsPurgedMeanwhileTellsHowItEnded(t *testing.T) {
	t.Parallel()
	conn, js := alone(t)
	workertest.Topology(t, js, nil)
	key := messages.Key{Tenant: "default", ID: "quick"}
	if _, _, err := publishRequest(t.Context(), js, messages.ClassStd, key, []byte(`{}`)); err != nil {
		t.Fatal(err)
	}
	const head = `{"v":1,"tenant":"default","id":"quick","epoch":0,"retry":false,`
	left := answers(t, conn, messages.GetResultSubject(key), head+`"state":"pending"}`, head+`"state":"pending"}`, head+`"state":"done","status":"success","reason":"ok"}`)
	e, err := (&client{conn: conn, js: js}).ender(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	f := &cancelling{reason: "a drill", by: "ops", timeout: patience}
	said, err := f.cancel(t.Context(), e, key)
	if err != nil || said.Cancelled || said.Pending || said.Status != messages.StatusSuccess || said.Was != "done" || len(left) != 0 {
		t.Errorf("said %+v (%v), %d answers are left", said, err, len(left))
	}
}
