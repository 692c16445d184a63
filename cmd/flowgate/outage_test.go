package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"flowgate/messages"
	"flowgate/worker/workertest"
)

// postmaster reads the process id of the private Postgres; 0 where there is none yet.
func (g *ground) postmaster() int {
	text, err := os.ReadFile(filepath.Join(g.state, "postgres", "data", "postmaster.pid"))
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(first)
	if err != nil {
		return 0
	}
	return pid
}

func TestKilledWhileItMakesItsDatabaseItStartsAgain(t *testing.T) {
	t.Parallel()
	g := newGround(t, quickSettings)
	exists := func(elem ...string) func() bool {
		path := filepath.Join(append([]string{g.state}, elem...)...)
		return func() bool { _, err := os.Stat(path); return err == nil }
	}
	for _, moment := range []struct {
		what string
		come func() bool
	}{
		{"it has the folder", exists("generation")},
		{"initdb has begun", exists("postgres", "data.new")},
		{"initdb writes", exists("postgres", "data.new", "base", "1")},
		{"the database has its name", exists("postgres", "data")},
		{"the broker has its folder", exists("nats")},
		{"streams are being made", exists("nats", "jetstream")},
	} {
		up := g.up()
		up.until(moment.what, moment.come)
		up.kill()
	}
	up := g.up()
	up.ready()
	g.say("submit", "--reason", "a drill of outages", "--wait", "Say OK").wants(t, exitDone)
	g.audited(1)
	up.stop()
}

func TestInterruptedWhileItStartsItLeavesNothingRunning(t *testing.T) {
	t.Parallel()
	g := newGround(t, quickSettings)
	for _, moment := range []func() bool{
		func() bool {
			_, err := os.Stat(filepath.Join(g.state, "postgres", "data.new", "base", "1"))
			return err == nil
		},
		func() bool { return g.postmaster() != 0 },
	} {
		up := g.up()
		up.until("it is starting", moment)
		pid := g.postmaster()
		up.signal(syscall.SIGTERM)
		up.ended().wants(t, exitFailed, "interrupted while starting")
		if pid != 0 && syscall.Kill(pid, 0) == nil {
			t.Errorf("postgres, pid %d, is left running", pid)
		}
	}
	up := g.up()
	up.ready()
	g.say("submit", "--reason", "a drill of outages", "--wait", "Say OK").wants(t, exitDone)
	up.stop()
}

// TestASecondInterruptDoesNotWaitForCalls gives up on calls that the model server holds back; they are in doubt then.
func TestASecondInterruptDoesNotWaitForCalls(t *testing.T) {
	t.Parallel()
	server := workertest.NewOpenAI(t)
	g := newGround(t, quickSettings, "OPENAI_BASE_URL="+server.URL)
	gate := server.Block("")
	up := g.up()
	up.ready()
	g.say("submit", "--id", "held", "--reason", "a drill of outages", "--model", "claude-3-haiku", "Say OK").wants(t, exitDone)
	<-gate.Arrived()
	up.signal(syscall.SIGTERM)
	up.until("it ends", func() bool { up.signal(syscall.SIGTERM); return !up.running() })
	gate.Release()
	up = g.up()
	up.ready()
	if r := g.result("held"); r.Status != messages.StatusSuccess || server.Calls("default/held") != 2 {
		t.Errorf("it ended as %+v after %d calls", r, server.Calls("default/held"))
	}
	g.audited(1)
	up.stop()
}

func TestWithoutItsDatabaseItEndsAndSaysSo(t *testing.T) {
	t.Parallel()
	g := newGround(t, quickSettings)
	path := mixed(g, 100)
	up := g.up()
	up.ready()
	submitter := g.begin(g.command("batch", "submit", path, "--json"), "")
	submitter.until("it has results", func() bool {
		info, err := os.Stat(filepath.Join(g.dir, "drill.output.jsonl.partial"))
		return err == nil && info.Size() > 0
	})
	if err := syscall.Kill(g.postmaster(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	up.ended().wants(t, exitEnvironment, "private postgres", "ended by itself", filepath.Join(g.state, "postgres", "log"))
	up = g.up()
	up.ready()
	submitter.ended().wants(t, exitFailed)
	g.judge(100)
	up.stop()
}

// TestStoppedUnderLoadItBurnsNoAttempt stops the gateway while calls are in flight, three times.
func TestStoppedUnderLoadItBurnsNoAttempt(t *testing.T) {
	t.Parallel()
	const n = 60
	server := workertest.NewOpenAI(t)
	g := newGround(t, quickSettings+"  concurrency: {ai: 8}\n", "OPENAI_BASE_URL="+server.URL)
	var lines strings.Builder
	for i := range n {
		fmt.Fprintf(&lines, `{"id":"call-%d","prompt":"Say %d","audit_reason":"a drill of outages","model":"claude-3-haiku","max_tokens":24}`+"\n", i, i)
	}
	path := g.file("drill.jsonl", []byte(lines.String()))
	gate := server.Block("")
	up := g.up()
	up.ready()
	submitter := g.begin(g.command("batch", "submit", path, "--json"), "")
	for range 3 {
		for range 8 {
			<-gate.Arrived()
		}
		up.signal(syscall.SIGTERM)
		up.until("it drains", func() bool { return server.Calls("") >= 8 })
		gate.Release()
		up.ended().wants(t, exitDone)
		gate = server.Block("")
		up = g.up()
		up.ready()
	}
	gate.Release()
	submitter.ended().wants(t, exitDone)
	for _, o := range g.audited(n) {
		if calls := server.Calls("default/" + o.ID); calls != 1 || messages.Status(o.Status) != messages.StatusSuccess {
			t.Errorf("%s was called %d times and ended as %s (%s)", o.ID, calls, o.Status, o.Reason)
		}
	}
	up.stop()
}
