package main

import (
	"fmt"
	"strings"
	"testing"

	"flowgate/messages"
	"flowgate/worker/control"
)

const policyFile = `name: corporate
rules:
  - id: no-cards-without-purpose
    effect: deny
    when: '"payment" in data && purpose != "fraud_review"'
    because: cards may be used for fraud_review alone
  - id: nobody
    effect: flag
    when: user == "unknown"
cases:
  - {name: a card without a purpose, facts: {user: anna, data: [payment]}, denied: no-cards-without-purpose}
  - {name: a card for a review, facts: {user: anna, data: [payment], purpose: fraud_review}}
  - {name: a question of nobody, facts: {user: unknown}, flagged: [nobody]}
`

func TestPolicyFilesAreCheckedTestedAndCompared(t *testing.T) {
	t.Parallel()
	g := newGround(t, quickSettings)
	g.file("good.yaml", []byte(policyFile))
	g.file("other.yaml", []byte(strings.Replace(strings.Replace(policyFile, `purpose != "fraud_review"`, `purpose == ""`, 1), "id: nobody\n    effect: flag", "id: nobody\n    effect: flag\n    because: x", 1)))
	g.file("wrong.yaml", []byte(strings.Replace(policyFile, "denied: no-cards-without-purpose", "flagged: [nobody]", 1)))
	g.file("bad.yaml", []byte(strings.Replace(strings.Replace(policyFile, `user == "unknown"`, `usr == "unknown"`, 1), "effect: deny", "effect: forbid", 1)))
	g.file("typo.yaml", []byte(strings.Replace(policyFile, "because:", "becauze:", 1)))

	g.say("policy", "check", "good.yaml").wants(t, exitDone, "corporate: good, 2 rules, 3 cases, version ")
	g.say("policy", "check", "wrong.yaml").wants(t, exitFailed, "FAIL  a card without a purpose: denied by no-cards-without-purpose, must be passed, flagged by nobody")
	g.say("policy", "check", "bad.yaml").wants(t, exitUsage, "bad.yaml:4: rules[0].effect: must be deny or flag", "bad.yaml:9: rules[1].when: ", "undeclared reference to 'usr'")
	g.say("policy", "check", "typo.yaml").wants(t, exitUsage, "typo.yaml:6: rules[0].becauze: is not a known key; did you mean because?")
	g.say("policy", "check", "nowhere.yaml").wants(t, exitUsage, "nowhere.yaml")
	g.say("policy", "test", "good.yaml").wants(t, exitDone, "ok    a card for a review")
	g.say("policy", "test", "wrong.yaml", "--json").wants(t, exitFailed, `"ok": false`)
	g.say("policy", "diff", "good.yaml", "--against", "good.yaml").wants(t, exitDone, "nothing differs")
	g.say("policy", "diff", "other.yaml", "--against", "good.yaml").wants(t, exitFailed,
		`- deny no-cards-without-purpose: "payment" in data && purpose != "fraud_review"`, `+ deny no-cards-without-purpose: "payment" in data && purpose == ""`)
	var facts []struct{ Name, Type string }
	g.say("policy", "facts", "--json").read(t, &facts)
	if len(facts) < 15 {
		t.Errorf("facts are %+v", facts)
	}
}

func TestAnActivatedPolicyDecidesAndIsInTheRecord(t *testing.T) {
	t.Parallel()
	g := newGround(t, quickSettings)
	up := g.up()
	up.ready()
	g.file("good.yaml", []byte(policyFile))
	const card = "Is card 4111 1111 1111 1111 stolen?"
	submit := func(id string, more ...string) messages.Result {
		t.Helper()
		var r messages.Result
		g.say(append(append([]string{"submit", "--id", id, "--reason", "a test of policies", "--wait", "--json"}, more...), card)...).read(t, &r)
		return r
	}
	g.say("policy", "show").wants(t, exitDone, "no policy is in force")
	if r := submit("before"); r.Status != messages.StatusSuccess {
		t.Errorf("got %+v", r)
	}
	g.say("policy", "diff", "good.yaml").wants(t, exitFailed, "+ deny no-cards-without-purpose", "case a card without a purpose: denied by no-cards-without-purpose, was passed")
	g.say("policy", "activate", "good.yaml").wants(t, exitUsage, "--reason")
	g.say("policy", "activate", "good.yaml", "--reason", "ticket 4711", "--by", "ops").wants(t, exitDone, "is in force: ticket 4711")
	g.say("policy", "activate", "good.yaml", "--reason", "again").wants(t, exitDone, "is in force already")
	tries := 0
	eventually(t, "it decides", func() bool {
		tries++
		r := submit(fmt.Sprintf("denied-%d", tries))
		return r.Status == messages.StatusDenied && r.Reason == messages.ReasonPolicyDenied && strings.Contains(r.Message, "rule no-cards-without-purpose: cards may be used for fraud_review alone")
	})
	if r := submit("review", "--purpose", "fraud_review", "--user", "anna"); r.Status != messages.StatusSuccess {
		t.Errorf("got %+v", r)
	}
	var active struct{ Active control.ActivePolicy }
	g.say("policy", "show", "--json").read(t, &active)
	eventually(t, "the record is complete", func() bool { return g.say("audit", "check").code == exitDone })
	story := g.say("audit", "show", "review", "--json")
	story.wants(t, exitDone, `"bundle_version": "`+active.Active.Version+`"`)
	// The record alone gives the same decisions again, and tells what other rules would have decided.
	var again trial
	g.say("policy", "try", "good.yaml", "--reason", "policy_denied", "--json").read(t, &again)
	if again.Requests == 0 || again.Same != again.Requests {
		t.Errorf("the same rules decide %+v", again)
	}
	g.file("stricter.yaml", []byte(strings.Replace(policyFile, `&& purpose != "fraud_review"`, "", 1)))
	g.say("policy", "check", "stricter.yaml").wants(t, exitFailed)
	try := g.say("policy", "try", "stricter.yaml", "--json")
	try.read(t, &again)
	if try.code != exitFailed || again.Denied < 1 || again.DeniedMicroUSD == 0 || again.Passed != 0 || again.NotRecomputable != 0 || len(again.Examples) == 0 {
		t.Errorf("stricter rules decide %+v", again)
	}
	g.say("policy", "try", "good.yaml", "--since", "x").wants(t, exitUsage)
	g.say("policy", "history").wants(t, exitDone, active.Active.Version, "ticket 4711", "ops")

	// What cannot be used keeps everything waiting, and loses nothing.
	kv, err := g.operator().KeyValue(t.Context(), control.Bucket)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.PutString(t.Context(), "policy.active", `{"v":9}`); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the worker says so", func() bool {
		return strings.Contains(up.err.String(), "no request is decided on until another policy is activated")
	})
	g.say("submit", "--id", "waits", "--reason", "a test of policies", "Say OK").wants(t, exitDone)
	g.say("policy", "activate", "good.yaml", "--reason", "mended").wants(t, exitDone, "is in force")
	if r := g.result("waits"); r.Status != messages.StatusSuccess {
		t.Errorf("got %+v", r)
	}
	up.stop()
}

// TestActivationUnderLoadDropsNothing: every request is decided under one version or the other.
func TestActivationUnderLoadDropsNothing(t *testing.T) {
	t.Parallel()
	g := newGround(t, quickSettings)
	up := g.up()
	up.ready()
	g.file("a.yaml", []byte(policyFile))
	g.file("b.yaml", []byte(strings.Replace(policyFile, "corporate", "corporate-b", 1)))
	const n = 400
	var file strings.Builder
	for range n {
		file.WriteString(`{"prompt":"Say OK","audit_reason":"a test of policies"}` + "\n")
	}
	g.file("load.jsonl", []byte(file.String()))
	batch := g.begin(g.command("batch", "submit", "load.jsonl", "--window", "20", "--json"), "")
	versions := map[string]bool{"": true}
	for i := 0; batch.running() && i < 100; i++ {
		var said struct{ Active checkedPolicy }
		g.say("policy", "activate", []string{"a.yaml", "b.yaml"}[i%2], "--reason", "a drill", "--json").read(t, &said)
		versions[said.Active.Version] = true
	}
	batch.ended().wants(t, exitDone)
	if len(g.lines("load.output.jsonl")) != n || len(versions) != 3 {
		t.Errorf("%d of %d lines, versions %v", len(g.lines("load.output.jsonl")), n, versions)
	}
	eventually(t, "the record is complete", func() bool { return g.say("audit", "check").code == exitDone })
	if got := g.number(`SELECT count(*) FROM flowgate.outcome WHERE status = 'success'`); got != n {
		t.Errorf("%d outcomes", got)
	}
	decided := int64(0)
	for version := range versions {
		if version != "" { // on a slow machine the batch may end before anything is decided under one of them
			decided += g.number(`SELECT count(*) FROM flowgate.outcome WHERE sections->'corporate_llm'->>'bundle_version' = '` + version + `'`)
		}
	}
	if none := g.number(`SELECT count(*) FROM flowgate.outcome WHERE sections->'corporate_llm'->>'bundle_version' IS NULL`); decided == 0 || decided+none != n {
		t.Errorf("%d were decided under the two versions, %d under none, of %d", decided, none, n)
	}
	up.stop()
}
