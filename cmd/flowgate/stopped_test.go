package main

import (
	"context"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"flowgate/messages"
)

// TestAWorkerStoppedInsideTheStatement freezes a worker while its admission waits for a lock in the database: the statement is done
// there, and nobody reads what was granted. Another worker acts on what is stored; the first one wakes up and changes nothing.
func TestAWorkerStoppedInsideTheStatement(t *testing.T) {
	t.Parallel()
	g := outside(t)
	all := g.workers("corporate", "ai", "optimizer", "recorder")
	first := all[0]
	g.say("submit", "--id", "before", "--wait", "--reason", "a drill of sleep", "--max-tokens", "16", "Say OK").wants(t, exitDone)
	var url string
	for _, e := range g.env {
		if after, is := strings.CutPrefix(e, "DATABASE_URL="); is {
			url = after
		}
	}
	var connections [2]*pgx.Conn
	for i := range connections {
		c, err := pgx.Connect(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close(context.WithoutCancel(t.Context())) })
		connections[i] = c
	}
	raw, holder := connections[0], connections[1]
	number := func(sql string) (n int64) {
		if err := raw.QueryRow(t.Context(), sql).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	tx, err := holder.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "SELECT FROM flowgate.scope ORDER BY name FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	g.say("submit", "--id", "held", "--wait=false", "--reason", "a drill of sleep", "--max-tokens", "16", "Say OK").wants(t, exitDone)
	// Frozen at a moment at which the server has the statement, and will have it for a while: it waits for the lock still when the
	// process sleeps.
	const waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND " +
		"query LIKE '%FROM admit(%' AND query_start > clock_timestamp() - interval '1 second'"
	eventually(t, "it sleeps inside of the statement", func() bool {
		if number(waits) == 0 {
			return false
		}
		first.signal(syscall.SIGSTOP)
		if number(waits) > 0 {
			return true
		}
		first.signal(syscall.SIGCONT)
		return false
	})
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the money is reserved", func() bool {
		return number("SELECT count(*) FROM flowgate.admission WHERE id = 'held' AND state = 'approved' AND reserved > 0") == 1
	})
	second := g.workers("corporate")[0]
	if r := g.result("held"); r.Status != messages.StatusSuccess {
		t.Errorf("it ended as %+v", r)
	}
	first.signal(syscall.SIGCONT)
	g.say("submit", "--id", "after", "--wait", "--reason", "a drill of sleep", "--max-tokens", "16", "Say OK").wants(t, exitDone)
	eventually(t, "all is recorded", func() bool { return number("SELECT count(*) FROM flowgate.outcome") == 3 })
	for _, p := range append(all, second) {
		p.stop()
	}
	if n := number("SELECT count(*) FROM flowgate.outcome WHERE status = 'success'"); n != 3 {
		t.Errorf("%d of 3 ended well", n)
	}
	if n := number("SELECT count(*) FROM flowgate.scope WHERE reserved <> 0 OR settled <> (SELECT sum(cost_microusd) FROM flowgate.outcome)"); n != 0 {
		t.Errorf("%d scopes of money do not agree with what the requests cost", n)
	}
	g.say("audit", "check").wants(t, exitDone)
}
