package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"flowgate/messages"
	"flowgate/worker"
)

// refusal is what a refused submission prints with --json.
type refusal struct {
	Accepted   bool                  `json:"accepted"`
	Reason     messages.IntakeReason `json:"reason"`
	Detail     string                `json:"detail"`
	RetryAfter int                   `json:"retry_after_seconds"`
}

// intake asks as any producer may.
func intake(t *testing.T, url string, class messages.Class) (now messages.Intake) {
	t.Helper()
	msg, err := producer(t, url).Request(messages.GetIntakeSubject("default", class), nil, patience)
	if err == nil {
		err = json.Unmarshal(msg.Data, &now)
	}
	if err != nil {
		t.Fatal(err)
	}
	return now
}

// TestOverItsBacklogSubmissionsAreRefusedAndABatchWaits: of that class alone; a batch goes on when there is room again.
func TestOverItsBacklogSubmissionsAreRefusedAndABatchWaits(t *testing.T) {
	t.Parallel()
	g := newGround(t, quickSettings+"  marks: {backlog: 3}\n")
	up := g.up()
	url := up.ready().NATSURL
	g.say("pause", "layer", "corporate", "--reason", "a drill of backlogs").wants(t, exitDone)
	sent := 0
	eventually(t, "the gate closes", func() bool {
		if g.say("submit", "--reason", "a drill of backlogs", "Say OK").code == exitDone {
			sent++
		}
		return sent > 3 && !intake(t, url, messages.ClassStd).Open
	})
	g.say("submit", "--reason", "a drill of backlogs", "Say OK").wants(t, exitEnvironment, "backlog", "requests of class std wait", "come back in 15s")
	var r refusal
	refused := g.say("submit", "--reason", "a drill of backlogs", "Say OK", "--json")
	refused.wants(t, exitEnvironment)
	refused.read(t, &r)
	if r.Accepted || r.Reason != messages.IntakeBacklog || r.RetryAfter != 15 {
		t.Errorf("%+v", r)
	}
	g.say("submit", "--id", "rt", "--class", "rt", "--reason", "a drill of backlogs", "Say OK").wants(t, exitDone)
	var lines strings.Builder
	for i := range 5 {
		fmt.Fprintf(&lines, `{"id":"line-%d","prompt":"Say OK","audit_reason":"a drill of backlogs","priority":"normal"}`+"\n", i)
	}
	submitter := g.begin(g.command("batch", "submit", g.file("drill.jsonl", []byte(lines.String()))), "")
	submitter.until("it says why it waits", func() bool {
		return strings.Contains(submitter.err.String(), "submissions are refused: ")
	})
	g.say("resume", "layer", "corporate").wants(t, exitDone)
	submitter.ended().wants(t, exitDone)
	g.audited(sent + 1 + 5)
	up.stop()
}

// TestOverTheMarkOfTheDiskNothingIsAdmitted: what a plain producer sends all the same is kept until there is room.
func TestOverTheMarkOfTheDiskNothingIsAdmitted(t *testing.T) {
	t.Parallel()
	g := newGround(t, quickSettings+"  marks: {disk_free_mb: 1000000}\n")
	up := g.up()
	url := up.ready().NATSURL
	eventually(t, "the gate closes", func() bool { return intake(t, url, messages.ClassRT).Reason == messages.IntakeDisk })
	js := g.operator()
	eventually(t, "the pulls of the time before have ended", func() bool {
		consumer, err := js.Consumer(t.Context(), worker.IngressStream, "corporate-std")
		return err == nil && consumer.CachedInfo().NumWaiting == 0
	})
	g.say("submit", "--reason", "a drill of full disks", "Say OK").wants(t, exitEnvironment, "disk_full", "MB left", "come back in 5m0s")
	subject := messages.RequestSubject(messages.ClassStd, messages.Key{Tenant: "default", ID: "kept"})
	if _, err := producer(t, url).Request(subject, []byte(`{"prompt":"Say OK","audit_reason":"a drill of full disks"}`), patience); err != nil {
		t.Fatal(err)
	}
	var r messages.Result
	g.say("result", "kept", "--json").read(t, &r)
	if r.State != messages.ResultPending {
		t.Errorf("it is %+v", r)
	}
	up.stop()
	g.file("settings.yaml", []byte(quickSettings))
	up = g.up()
	up.ready()
	if r := g.result("kept"); r.Status != messages.StatusSuccess || r.FinishedAt.Before(time.Now().Add(-patience)) {
		t.Errorf("it ended as %+v", r)
	}
	g.audited(1)
	up.stop()
}
