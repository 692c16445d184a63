package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"flowgate/messages"
	"flowgate/pipelines/corporate"
	"flowgate/worker/control"
	"flowgate/worker/postgres"
	"flowgate/worker/workertest"
)

func TestLimitsBoundHowOftenSomebodyAsks(t *testing.T) {
	t.Parallel()
	database := workertest.Database(t)
	g := newGround(t, quickSettings, "DATABASE_URL="+database)
	up := g.up()
	up.ready()
	moment, pass := ledgerClock(t, database)
	submit := func(id, user string, more ...string) messages.Result {
		t.Helper()
		var r messages.Result
		args := append([]string{"submit", "--id", id, "--reason", "a test of limits", "--model", "claude-3-haiku", "--max-tokens", "100", "--user", user, "--wait", "--json"}, more...)
		g.say(append(args, "Say OK")...).read(t, &r)
		return r
	}
	g.say("limit", "set", "user", "anna", "--requests-minute", "5", "--reason", "a loop", "--by", "ops").wants(t, exitDone, "user anna may ask 5 request(s) a minute, without limit an hour: a loop")
	set := time.Now()
	g.say("limit", "set", "user", "probe", "--requests-hour", "1", "--reason", "it is heard after the one before").wants(t, exitDone)
	tries := 0
	eventually(t, "it holds", func() bool {
		tries++
		return submit(fmt.Sprintf("probe-%d", tries), "probe").Status == messages.StatusRateLimited
	})
	t.Logf("it held %s after it was set, with %d requests in between", time.Since(set), tries)

	statuses := map[messages.Status]int{}
	for i := range 8 {
		r := submit(fmt.Sprintf("anna-%d", i), "anna")
		statuses[r.Status]++
		if r.Status != messages.StatusRateLimited {
			continue
		}
		if wait := r.RetryAt.Sub(moment); r.Reason != messages.ReasonLimitRateUser || !r.Retry || wait != 72*time.Second {
			t.Errorf("refused with %s, to come back %s after the minute began", r.Reason, wait)
		}
	}
	if statuses[messages.StatusSuccess] != 5 || statuses[messages.StatusRateLimited] != 3 {
		t.Fatalf("of 8 requests %v", statuses)
	}
	g.say("result", "anna-7").wants(t, exitFailed, "rate_limited (limit_rate_user)", "retry at")
	g.say("explain", "anna-7").wants(t, exitDone, "no room   1 request", "rate:default/user/anna:minute", "room at")
	g.say("explain", "anna-0").wants(t, exitDone, "counted   1 request")

	// A batch request waits instead, as long as it takes.
	waiting := g.begin(g.command("submit", "--id", "anna-batch", "--reason", "a test of limits", "--model", "claude-3-haiku", "--user", "anna", "--priority", "low", "--wait", "--json", "Say OK"), "")
	eventually(t, "it waits", func() bool {
		var r messages.Result
		g.say("result", "anna-batch", "--json").read(t, &r)
		return r.Reason == messages.ReasonWaitingRate && !r.RetryAt.IsZero()
	})
	var windows []limitWindow
	g.say("limit", "show", "user", "anna", "--json").read(t, &windows)
	if len(windows) != 1 || windows[0].Requests != 5 || windows[0].RequestsUsed == 0 || windows[0].Waiting != 1 || windows[0].RoomAt == nil || windows[0].FreeAt == nil {
		t.Errorf("shown %+v", windows)
	}
	t.Run("tokens that were not used let the next go on", func(t *testing.T) {
		g.say("limit", "set", "department", "it", "--tokens-hour", "2000", "--excess", "wait", "--reason", "a test").wants(t, exitDone)
		g.say("limit", "set", "user", "probe2", "--requests-hour", "1", "--reason", "it is heard after the one before").wants(t, exitDone)
		tries := 0
		eventually(t, "it holds", func() bool {
			tries++
			return submit(fmt.Sprintf("probe2-%d", tries), "probe2").Status == messages.StatusRateLimited
		})
		for i := range 4 { // each is bounded at some 900 tokens and uses few
			if r := submit(fmt.Sprintf("it-%d", i), "bob", "--department", "it", "--max-tokens", "900"); r.Status != messages.StatusSuccess {
				t.Errorf("ended as %s: %s", r.Status, r.Message)
			}
		}
		if r := submit("it-large", "bob", "--department", "it", "--max-tokens", "2100"); r.Status != messages.StatusDenied || r.Reason != messages.ReasonLimitRateRequest {
			t.Errorf("what never has room ended as %s (%s)", r.Status, r.Reason)
		}
	})
	t.Run("bad limits", func(t *testing.T) {
		for _, bad := range []string{
			"user anna --requests-minute -1", "user anna --requests-minute NaN", "user anna --requests-hour 1e9", "user anna --tokens-hour 9223372036854775808",
			"user anna --tokens-minute 1000000000001", "user anna --requests-minute 0", "user anna", "team x --requests-minute 1", "user --requests-minute 1",
			"tenant other --requests-minute 1", "user anna --requests-minute 1 --excess maybe", "user anna --requests-minute 1.5",
		} {
			g.say(append(append([]string{"limit", "set"}, strings.Fields(bad)...), "--reason", "a test")...).wants(t, exitUsage)
		}
		g.say("limit", "set", "user", "anna", "--requests-minute", "5").wants(t, exitUsage, "reason is missing")
	})
	pass(2 * time.Minute)
	var r messages.Result
	waiting.endedWithin(2*time.Minute).read(t, &r)
	if r.Status != messages.StatusSuccess {
		t.Errorf("what waited ended as %s: %s", r.Status, r.Message)
	}
	before := time.Now()
	g.say("limit", "clear", "user", "probe", "--reason", "a test").wants(t, exitDone, "has no limit any more")
	eventually(t, "it is lifted", func() bool {
		tries++
		return submit(fmt.Sprintf("probe-%d", tries), "probe").Status == messages.StatusSuccess
	})
	t.Logf("it was lifted within %s", time.Since(before))
	g.say("limit", "clear", "user", "probe", "--reason", "a test", "--json").wants(t, exitDone, `"cleared": false`)
	eventually(t, "it is recorded", func() bool { return g.say("audit", "check").code == exitDone })
	up.stop()
}

// A backend's limit is one for all tenants. What was decided by it is decided the same again out of the record.
func TestLimitsOfABackendHold(t *testing.T) {
	t.Parallel()
	database := workertest.Database(t)
	g := newGround(t, quickSettings, "DATABASE_URL="+database)
	up := g.up()
	up.ready()
	_, pass := ledgerClock(t, database)
	ask := func(id string, more ...string) messages.Result {
		t.Helper()
		var r messages.Result
		args := append([]string{"submit", "--id", id, "--reason", "a test of limits", "--model", "claude-3-haiku", "--wait", "--json"}, more...)
		g.say(append(args, "Say OK")...).read(t, &r)
		return r
	}
	g.say("limit", "set", "backend", "offline", "--requests-minute", "1", "--reason", "a small one", "--by", "ops").wants(t, exitDone)
	tries := 0
	eventually(t, "it holds", func() bool {
		tries++
		return ask(fmt.Sprintf("probe-%d", tries)).Status == messages.StatusRateLimited
	})
	pass(2 * time.Minute)
	if r := ask("first"); r.Status != messages.StatusSuccess {
		t.Errorf("the first ended as %s: %s", r.Status, r.Message)
	}
	if r := ask("second"); r.Status != messages.StatusRateLimited || r.Reason != messages.ReasonLimitRateBackend || r.RetryAt.IsZero() {
		t.Errorf("the second ended as %s (%s), to come back at %s", r.Status, r.Reason, r.RetryAt)
	}
	g.say("explain", "second").wants(t, exitDone, "rate:_system/backend/offline:minute", "room at")
	g.say("limit", "show", "backend", "offline").wants(t, exitDone, "1 of 1")

	waiting := g.begin(g.command("submit", "--id", "batch", "--reason", "a test of limits", "--model", "claude-3-haiku", "--priority", "low", "--wait", "--json", "Say OK"), "")
	var r messages.Result
	eventually(t, "it waits", func() bool {
		g.say("result", "batch", "--json").read(t, &r)
		return r.Reason == messages.ReasonWaitingRate
	})
	pass(2 * time.Minute)
	waiting.endedWithin(2*time.Minute).read(t, &r)
	if r.Status != messages.StatusSuccess {
		t.Errorf("what waited ended as %s: %s", r.Status, r.Message)
	}
	eventually(t, "the record is complete", func() bool { return g.say("audit", "check").code == exitDone })
	var d redecision
	said := g.say("audit", "redecide", "--since", "1h", "--json")
	said.read(t, &d)
	if said.code != exitDone || d.Requests != tries+3 || d.Same != d.Requests {
		t.Errorf("decided again: %s", said.stdout+said.stderr)
	}
	up.stop()
}

// ledgerClock stops the ledger's clock at the beginning of this minute, and lets time pass in it.
func ledgerClock(t *testing.T, database string) (stands time.Time, pass func(time.Duration)) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	stands = time.Now().Truncate(time.Minute)
	do := func(sql string) {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	do(fmt.Sprintf(`CREATE TABLE flowgate.test_clock AS SELECT %d::bigint AS ms;
		CREATE OR REPLACE FUNCTION flowgate.rate_now() RETURNS bigint LANGUAGE sql VOLATILE AS 'SELECT ms FROM flowgate.test_clock'`, stands.UnixMilli()))
	return stands, func(d time.Duration) {
		do(fmt.Sprintf("UPDATE flowgate.test_clock SET ms = ms + %d", d.Milliseconds()))
	}
}

func TestLimitsAreShownWithWhatIsUsed(t *testing.T) {
	key := func(kind corporate.RateKind, name string) control.LimitKey {
		return control.LimitKey{Tenant: "acme", Kind: kind, Name: name}
	}
	now := noon.Add(15 * time.Second)
	index := now.UnixMilli() / 60_000
	limits := []control.Limit{
		{LimitKey: key(corporate.RateUser, control.Everybody), RequestsMinute: 4, TokensHour: 100},
		{LimitKey: key(corporate.RateUser, "anna"), RequestsMinute: 9},
		{LimitKey: key(corporate.RateBackend, "openai"), TokensMinute: 5},
	}
	counted := []postgres.Counted{
		{Name: "rate:acme/user/bob:c/d:minute", Index: index, Requests: 3, RequestsBefore: 2, Waiting: 1},
		{Name: "rate:_system/backend/openai:minute", Index: index - 1, Tokens: 4},
		{Name: "rate:acme/department/it:minute", Index: index, Requests: 3},
	}
	var got []string
	for _, w := range limitWindowsOf("acme", limits, corporate.RateLimits{RequestsHour: 7}, counted, now) {
		line := fmt.Sprintf("%s %s %s %s %s %d", w.Kind, w.Name, w.Window, usedText(w.RequestsUsed, w.Requests), usedText(w.TokensUsed, w.Tokens), w.Waiting)
		for _, at := range []*time.Time{w.RoomAt, w.FreeAt} {
			if at != nil {
				line += " " + at.Sub(now).String()
			}
		}
		got = append(got, line)
	}
	want := []string{
		"tenant acme hour 0 of 7 - 0",
		"user * minute 0 of 4 - 0", "user * hour - 0 of 100 0", "user anna minute 0 of 9 - 0",
		"user bob:c/d minute 5 of 4 - 1 45s 1m45s", "user bob:c/d hour - 0 of 100 0",
		"backend openai minute - 3 of 5 0 45s",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
