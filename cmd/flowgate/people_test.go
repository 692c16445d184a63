package main

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"flowgate/messages"
	"flowgate/worker/postgres"
	"flowgate/worker/postgres/private"
	"flowgate/worker/results"
)

// asks publishes a request of the default tenant as a producer does, and waits for its end.
func asks(t *testing.T, conn *nats.Conn, id, document string) messages.Result {
	t.Helper()
	return asksFor(t, conn, id, document, patience)
}

// asksFor is asks for a request that may take longer than other waits.
func asksFor(t *testing.T, conn *nats.Conn, id, document string, longest time.Duration) messages.Result {
	t.Helper()
	key := messages.Key{Tenant: "default", ID: id}
	if _, err := conn.Request(messages.RequestSubject(messages.ClassRT, key), []byte(document), patience); err != nil {
		t.Fatal(err)
	}
	var r messages.Result
	eventuallyWithin(t, longest, id+" ends", func() bool {
		var err error
		r, err = results.Get(t.Context(), conn, key)
		return err == nil && r.State == messages.ResultDone
	})
	return r
}

func annas(more string) string {
	return `{"prompt":"Say OK","audit_reason":"a test of people","user_id":"anna","model":"claude-3-haiku"` + more + `}`
}

// suspendedAt is when the directory says that somebody was suspended.
func (g *ground) suspendedAt(name string) time.Time {
	g.t.Helper()
	var e postgres.DirectoryEntry
	g.say("people", "show", name, "--json").read(g.t, &e)
	if e.Person == nil || e.Person.State != messages.PersonSuspended {
		g.t.Fatalf("%s is %+v", name, e.Person)
	}
	return e.At
}

// streaming asks for anna without a pause, until stop, which returns the ids.
func streaming(t *testing.T, conn *nats.Conn, round string) (stop func() []string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	sent := make(chan []string, 1)
	go func() {
		var ids []string
		for ctx.Err() == nil {
			id := fmt.Sprintf("%s-%d", round, len(ids))
			if _, err := conn.RequestWithContext(ctx, messages.RequestSubject(messages.ClassRT, messages.Key{Tenant: "default", ID: id}), []byte(annas(""))); err == nil {
				ids = append(ids, id)
			}
		}
		sent <- ids
	}()
	return func() []string { cancel(); return <-sent }
}

// suspendedUnderLoad suspends anna while requests of hers come in without a pause, and wants none to pass that layer 1 took up more
// than a second after.
func (g *ground) suspendedUnderLoad(db *postgres.DB, conn *nats.Conn, round string) {
	g.t.Helper()
	stop := streaming(g.t, conn, round)
	eventually(g.t, "the first have ended", func() bool {
		r, err := results.Get(g.t.Context(), conn, messages.Key{Tenant: "default", ID: round + "-3"})
		return err == nil && r.Status == messages.StatusSuccess
	})
	g.say("people", "suspend", "anna", "--reason", "ticket 1").wants(g.t, exitDone, "suspended")
	at := g.suspendedAt("anna")
	tries := 0
	eventually(g.t, "one is refused while they come", func() bool { // where all were quick, those of the first second are let through
		tries++
		return asks(g.t, conn, fmt.Sprint(round, "-late-", tries), annas("")).Reason == messages.ReasonUserSuspended
	})
	ids := stop()
	passed, refused, last := 0, 0, time.Duration(0)
	for _, id := range ids {
		key := messages.Key{Tenant: "default", ID: id}
		var section messages.CorporateSection
		eventually(g.t, id+" is recorded", func() bool {
			story, err := db.Timeline(g.t.Context(), key)
			return err == nil && len(story.Epochs) > 0 && len(story.Epochs[0].Layers) > 0 && json.Unmarshal(story.Epochs[0].Layers[0].Section, &section) == nil
		})
		late := section.StartedAt.Sub(at)
		switch {
		case section.Reason == messages.ReasonUserSuspended:
			refused++
			continue
		case late > time.Second:
			g.t.Errorf("%s was let through %s after the suspension", id, late)
		}
		passed, last = passed+1, max(last, late)
	}
	g.t.Logf("%d passed, the last %s after the suspension; %d were refused", passed, last, refused)
}

func TestWhoIsSuspendedIsRefusedWithinASecond(t *testing.T) {
	t.Parallel()
	dir := stateFolder(t)
	begin := func() *private.Server {
		t.Helper()
		server, err := private.Start(t.Context(), private.Options{Dir: filepath.Join(dir, "database"), Database: databaseName, Templates: private.TemplateDir()})
		if err != nil {
			t.Fatal(err)
		}
		return server
	}
	server := begin()
	defer func() { _ = server.Stop() }() // the last one
	g := newGround(t, quickSettings, "DATABASE_URL="+server.URL(databaseName))
	up := g.up()
	conn := producer(t, up.ready().NATSURL)
	g.say("people", "add", "anna", "--department", "research", "--cost-centre", "cc-17", "--reason", "a test", "--by", "ops").wants(t, exitDone, "anna: active, department research, cost centre cc-17, roles producer")
	if r := asks(t, conn, "first", annas("")); r.Status != messages.StatusSuccess {
		t.Fatalf("got %+v", r)
	}
	db, err := postgres.Open(t.Context(), server.URL(databaseName), postgres.DefaultOptions())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	g.suspendedUnderLoad(db, conn, "first")

	// A request that waits is judged again when it goes on.
	g.say("people", "resume", "anna", "--reason", "ticket 2").wants(t, exitDone, "active")
	tries := 0
	eventually(t, "anna may ask again", func() bool {
		tries++
		return asks(t, conn, fmt.Sprint("again-", tries), annas("")).Status == messages.StatusSuccess
	})
	g.say("pause", "tenant", "default", "--reason", "a test").wants(t, exitDone)
	key := messages.Key{Tenant: "default", ID: "held"}
	if _, err := conn.Request(messages.RequestSubject(messages.ClassRT, key), []byte(annas("")), patience); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is held", func() bool {
		r, err := results.Get(t.Context(), conn, key)
		return err == nil && r.State == messages.ResultPending && r.At == string(messages.StateHold)
	})
	g.say("people", "suspend", "anna", "--reason", "ticket 3").wants(t, exitDone)
	g.say("resume", "tenant", "default").wants(t, exitDone)
	if r := g.result("held"); r.Reason != messages.ReasonUserSuspended {
		t.Errorf("the one that was held ended as %+v", r)
	}

	// Postgres goes and comes: nobody is let through meanwhile, and nothing is forgotten.
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	away := messages.Key{Tenant: "default", ID: "away"}
	if _, err := conn.Request(messages.RequestSubject(messages.ClassRT, away), []byte(annas("")), patience); err != nil {
		t.Fatal(err)
	}
	server = begin()
	if r := g.result("away"); r.Reason != messages.ReasonUserSuspended {
		t.Errorf("sent while Postgres was away it ended as %+v", r)
	}
	g.say("people", "resume", "anna", "--reason", "ticket 4").wants(t, exitDone)
	eventually(t, "anna may ask after the restart", func() bool {
		tries++
		return asks(t, conn, fmt.Sprint("again-", tries), annas("")).Status == messages.StatusSuccess
	})
	g.suspendedUnderLoad(db, conn, "restarted")
	up.stop()
}

func TestTheDirectoryGovernsARunningGateway(t *testing.T) {
	t.Parallel()
	g := newGround(t, quickSettings)
	up := g.up()
	conn := producer(t, up.ready().NATSURL)
	n := 0
	becomes := func(what, document, want string) {
		t.Helper()
		got := ""
		eventually(t, what+" is "+want+", not "+got, func() bool {
			n++
			got = string(asks(t, conn, fmt.Sprint("r", n), document).Reason)
			return got == want
		})
	}
	do := func(args ...string) {
		t.Helper()
		g.say(append(args, "--reason", "a test", "--by", "ops")...).wants(t, exitDone)
	}
	do("departments", "set", "research", "--cost-centre", "cc-9", "--models", "claude-3-haiku", "--purposes", "research,teaching")
	do("people", "add", "anna", "--department", "research")
	becomes("without a purpose", annas(""), "purpose_missing")
	becomes("another purpose", annas(`,"purpose":"sport"`), "purpose_not_allowed")
	becomes("another department", annas(`,"purpose":"research","department":"hr"`), "department_mismatch")
	becomes("another model", `{"prompt":"Say OK","audit_reason":"a test of people","user_id":"anna","purpose":"research","model":"claude-3-sonnet"}`, "model_not_allowed")
	becomes("a stranger", `{"prompt":"Say OK","audit_reason":"a test of people","user_id":"eve"}`, "ok")
	do("departments", "everyone", "--people", "known", "--data", "contact")
	becomes("a stranger", `{"prompt":"Say OK","audit_reason":"a test of people","user_id":"eve"}`, "user_unknown")
	becomes("a card", `{"prompt":"card 4111 1111 1111 1111","audit_reason":"a test of people","user_id":"anna","purpose":"research","model":"claude-3-haiku"}`, "data_not_allowed")
	becomes("an address", `{"prompt":"write to a.b@example.com","audit_reason":"a test of people","user_id":"anna","purpose":"research","model":"claude-3-haiku"}`, "ok")
	do("departments", "everyone", "--backends", "openai")
	becomes("by another backend", annas(`,"purpose":"research"`), "backend_not_allowed")
	do("departments", "everyone", "--backends", "", "--regions", "eu-central-1")
	becomes("in another region", annas(`,"purpose":"research"`), "region_not_allowed")
	do("departments", "everyone", "--regions", "local")
	becomes("in an allowed region", annas(`,"purpose":"research"`), "ok")
	var e explanation
	id := fmt.Sprint("r", n)
	eventually(t, "it is explained", func() bool {
		g.say("explain", id, "--json").read(t, &e)
		return e.Decided != nil && e.Decided.Directory != nil
	})
	d := e.Decided
	if d.Department != "research" || d.Directory.Person.State != messages.PersonActive || d.Directory.Department.CostCentre != "cc-9" || strings.Join(d.AllowedRegions, "") != "local" {
		t.Errorf("the record has %+v, %+v", d, d.Directory)
	}
	do("people", "credential", "set", "*", "--user", "anna", "--purpose", "research", "--audit-reason", "what the credential says")
	becomes("who says nothing", `{"prompt":"Say OK","model":"claude-3-haiku"}`, "ok")
	g.say("explain", fmt.Sprint("r", n)).wants(t, exitDone, "user anna, department research, for research", "what the credential says", "user_id, purpose, audit_reason", "cost centre cc-9")
	do("people", "set", "anna", "--roles", "auditor")
	becomes("without the role", annas(`,"purpose":"research"`), "role_missing")
	g.say("people", "history", "anna").wants(t, exitDone, "roles auditor", "roles producer", "a test", "ops")
	g.say("departments", "list").wants(t, exitDone, "known people alone", "purposes research teaching")
	g.rolesAreEnforced()
	up.stop()
}

// rolesAreEnforced wants who approves and activates to have the role, where the directory has people.
func (g *ground) rolesAreEnforced() {
	g.t.Helper()
	raise := func(approver string) ran {
		return g.say("budget", "raise", "user", "anna", "--day", "15", "--until", "+1h", "--approver", approver, "--by", "ops", "--reason", "a test")
	}
	g.say("budget", "set", "user", "anna", "--day", "5", "--reason", "a test", "--by", "ops").wants(g.t, exitDone)
	raise("maria").wants(g.t, exitFailed, `"maria" is not in the directory`, "--role approver")
	raise("anna").wants(g.t, exitFailed, `"anna" has not the role approver`)
	g.say("people", "add", "maria", "--roles", "approver", "--reason", "a test").wants(g.t, exitDone)
	raise("maria").wants(g.t, exitDone)
	policy := g.file("policy.yaml", []byte("name: none\nrules:\n  - {id: dear, effect: flag, when: bound_microusd > 500000}\n"))
	g.say("policy", "activate", policy, "--reason", "a test", "--by", "anna").wants(g.t, exitFailed, "has not the role approver or admin")
	g.say("policy", "activate", policy, "--reason", "a test", "--by", "maria", "--tenant", "empty").wants(g.t, exitUsage, "tenant empty has no people")
	g.say("people", "suspend", "maria", "--reason", "a test").wants(g.t, exitDone)
	g.say("policy", "activate", policy, "--reason", "a test", "--by", "maria").wants(g.t, exitFailed, "is suspended")
	g.say("people", "resume", "maria", "--reason", "a test").wants(g.t, exitDone)
	g.say("policy", "activate", policy, "--reason", "a test", "--by", "maria").wants(g.t, exitDone)
}

func TestPeopleAreImportedWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	g := newGround(t, quickSettings)
	up := g.up()
	up.ready()
	load := func(name, text string) ran {
		t.Helper()
		return g.say("people", "import", g.file(name, []byte(text)), "--reason", "from HR", "--by", "ops")
	}
	load("good.csv", "\ufeffuser,department,roles,state\nanna,research,producer approver,\nben, hr ,,suspended\n\"cleo, dr.\",,auditor,active\n").wants(t, exitDone, "3 people: 3 added, 0 changed, 0 as before")
	load("good.csv", "user,cost_centre\nanna,cc-1\nben,\n").wants(t, exitDone, "2 people: 0 added, 1 changed, 1 as before")
	load("good.jsonl", `{"user":"dora","roles":["admin","producer"]}`+"\n\n"+`{"user":"ben","state":"active"}`+"\n").wants(t, exitDone, "2 people: 1 added, 1 changed")
	for name, c := range map[string]struct{ text, want string }{
		"nothing": {"", "header"}, "a header alone": {"user\n", "names nobody"}, "no user column": {"department\nhr\n", "no column user"},
		"another column": {"user,salary\nanna,1\n", "column \"salary\""}, "a column twice": {"user,user\na,b\n", "each once"},
		"too few cells": {"user,roles\nanna\n", "line 2"}, "an open quote": {"user\n\"anna\n", "line"},
		"nobody": {"user,roles\neve,producer\n,producer\n", "line 3"}, "another role": {"user,roles\neve,king\n", "line 2: \"king\" is no role"},
		"another state": {"user,state\neve,asleep\n", "line 2: state is"}, "a user twice": {"user\neve\nfay\neve\n", "line 4: names the same user as line 2"},
		"unknown":     {"user\neve\nunknown\n", "line 3"},
		"a card":      {"user\neve\n4111111111111111\n", "line 3: a name must have no number"},
		"no UTF-8":    {"user\neve\n\xff\xfe\n", "line 3"},
		"a binary":    {"\x00\x01\x02", "line 1"},
		"a JSON list": {"{\"user\":\"eve\"}\n[1]\n", "line 2"}, "another key": {"{\"user\":\"eve\",\"boss\":true}\n", "boss"},
		"two on a line": {"{\"user\":\"eve\"} {\"user\":\"fay\"}\n", "more than one document"}, "half a document": {"{\"user\":\"eve\"", "line 1"},
		"a long name": {"user\n" + strings.Repeat("x", 300) + "\n", "line 2"},
		"too many":    {"user\n" + strings.Repeat("x\n", 1) + many(20_001), "may have 20000"},
		"too much":    {"user\n" + strings.Repeat("x", 11<<20), "more than 10485760 bytes"},
	} {
		t.Run(name, func(t *testing.T) { load("bad", c.text).wants(t, exitUsage, c.want) })
	}
	g.say("people", "import", filepath.Join(g.dir, "none.csv"), "--reason", "x").wants(t, exitUsage)
	g.say("people", "import", g.file("good.csv", []byte("user\nanna\n"))).wants(t, exitUsage, "--reason")
	var all []postgres.DirectoryEntry
	g.say("people", "list", "--json").read(t, &all)
	var got []string
	for _, e := range all {
		got = append(got, e.Name+" "+entryText(e.Entry))
	}
	want := []string{
		"anna active, department research, cost centre cc-1, roles approver producer", "ben active, department hr, cost centre -, roles -",
		"cleo, dr. active, department -, cost centre -, roles auditor", "dora active, department -, cost centre -, roles admin producer",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("the directory has\n%s", strings.Join(got, "\n"))
	}
	for _, bad := range []string{
		"people add anna", "people set eve --roles producer", "people suspend eve", "people remove eve", "people show eve", "people credential remove eve",
		"departments remove none", "departments show none",
	} {
		args := strings.Fields(bad)
		if args[len(args)-2] != "show" {
			args = append(args, "--reason", "a test")
		}
		g.say(args...).wants(t, exitFailed)
	}
	for _, bad := range []string{
		"people add unknown", "people add eve --roles king", "people list --role king", "people credential set *", "people credential set nightly --user anna", "departments everyone --people some",
		"departments set hr --data cards", "departments set hr --data none,contact", "departments set *", "people add 4111111111111111",
	} {
		args := strings.Fields(bad)
		if args[1] != "list" {
			args = append(args, "--reason", "a test")
		}
		g.say(args...).wants(t, exitUsage)
	}
	g.say("people", "credential", "set", "*", "--user", "anna", "--purpose", "reports", "--audit-reason", "nightly reports", "--reason", "a test").wants(t, exitDone, "user anna")
	g.say("people", "credential", "list").wants(t, exitDone, "anna", "nightly reports")
	g.say("people", "credential", "remove", "*", "--reason", "a test").wants(t, exitDone, "removed")
	up.stop()
}

// many are lines of so many people.
func many(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "p%d\n", i)
	}
	return b.String()
}
