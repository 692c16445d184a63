package main

import (
	"fmt"
	"strings"
	"testing"

	"flowgate/messages"
)

// decidingSettings have a limit that a few requests reach, and a rule on personal data that denies.
const decidingSettings = quickSettings + "  admission: {min_audit_reason: 5, allow_unknown_department: false}\n" +
	"  privacy: {request: {secret: deny}}\n" +
	"cost_optimization:\n  limits: {request_limit: 0.05, daily_limit: 1, monthly_limit: none}\n"

const decidingPolicy = `name: deciding
rules:
  - {id: no-cards, effect: deny, when: '"payment" in data && purpose != "fraud_review"', because: cards may be used for fraud_review alone}
  - {id: nobody, effect: flag, when: user == "unknown" || now - submitted > duration("1h")}
`

// TestEveryDecisionOnRecordIsReproduced: of requests of every kind, through a change of policy, of budgets and of settings.
func TestEveryDecisionOnRecordIsReproduced(t *testing.T) {
	t.Parallel()
	g := newGround(t, decidingSettings)
	up := g.up()
	up.ready()
	submit := func(id string, args ...string) {
		t.Helper()
		g.say(append([]string{"submit", "--id", id, "--reason", "a test of deciding", "--department", "it"}, args...)...)
	}
	const card, mail = "Is card 4111 1111 1111 1111 stolen?", "Write to anna@example.com and bob@example.com, please"
	submit("plain", "--wait", "Say OK")
	submit("masked", "--wait", "--user", "anna", "--max-tokens", "50", "--temperature", "0", mail)
	submit("secret", "--wait", "The key is AKIAIOSFODNN7EXAMPLQ, is it not?")
	submit("no-model", "--wait", "--model", "gpt-none", "Say OK")
	submit("dear", "--wait", "--max-tokens", "100000", "Say OK")
	submit("unagreed", "--wait", "--trigger", "[Nobody's]", "Say OK")
	submit("agreed", "--wait", "--trigger", "[Cost Analysis]", "Say OK")
	submit("named", "--wait", "--user", "4111 1111 1111 1111", "--purpose", "for anna@example.com", "Say OK")
	g.say("submit", "--id", "short", "--reason", "no", "--department", "it", "--wait", "Say OK")
	g.say("submit", "--id", "nowhere", "--reason", "a test of deciding", "--wait", "Say OK")
	g.tell(`{"prompt":"Say OK","audit_reason":"a test of deciding","department":"it","not_after":"2020-01-01T00:00:00Z"}`, "submit", "--id", "late", "--wait", "-f", "-")
	submit("later", "--run-at", "+2s", "Say OK")
	submit("never", "--run-at", "2099-01-01T00:00:00Z", "Say OK")
	g.say("cancel", "never", "--reason", "a test of deciding").wants(t, exitDone)
	g.say("pause", "tenant", "default", "--reason", "a test of deciding").wants(t, exitDone)
	submit("paused", "Say OK")
	g.say("resume", "tenant", "default").wants(t, exitDone)
	g.say("budget", "set", "department", "it", "--day", "0.9", "--month", "20", "--reason", "a test of deciding").wants(t, exitDone)
	g.say("budget", "set", "user", "poor", "--day", "0.000001", "--reason", "a test of deciding").wants(t, exitDone)
	g.file("policy.yaml", []byte(decidingPolicy))
	g.say("policy", "activate", "policy.yaml", "--reason", "a test of deciding").wants(t, exitDone)
	tries := 0
	eventually(t, "policy and budget decide", func() bool {
		tries++
		submit(fmt.Sprintf("card-%d", tries), "--wait", card)
		submit(fmt.Sprintf("poor-%d", tries), "--wait", "--user", "poor", "Say OK")
		return g.result(fmt.Sprintf("card-%d", tries)).Reason == messages.ReasonPolicyDenied && g.result(fmt.Sprintf("poor-%d", tries)).Reason == messages.ReasonLimitUser
	})
	submit("review", "--wait", "--purpose", "fraud_review", card)
	for _, id := range []string{"later", "paused"} {
		if r := g.result(id); r.Status != messages.StatusSuccess {
			t.Errorf("%s: %+v", id, r)
		}
	}
	eventually(t, "the record is complete", func() bool { return g.say("audit", "check").code == exitDone })

	same := func(word string) redecision {
		t.Helper()
		var r redecision
		said := g.say("audit", "redecide", "--since", "1h", "--json")
		said.read(t, &r)
		if said.code != exitDone || r.Requests < 17 || r.Same != r.Requests || r.NotReproduced+r.NotRecomputable != 0 || len(r.Examples) != 0 {
			t.Errorf("%s: %s", word, said.stdout+said.stderr)
		}
		return r
	}
	before := same("as it was")
	g.say("audit", "redecide", "--since", "1h").wants(t, exitDone, "requests of tenant default: ", "decided the same again, 0 not, 0 not recomputable")
	g.say("audit", "redecide", "masked").wants(t, exitDone, "masked of tenant default, epoch 0: was passed", "(same)", "personal_data", "cost")
	g.say("audit", "redecide", "poor-1", "--json").wants(t, exitDone, `"decided": "same"`)
	g.proposals()
	up.stop()

	// Under other settings the old decisions are still what they were.
	g.file("settings.yaml", []byte(strings.Replace(decidingSettings, "min_audit_reason: 5", "min_audit_reason: 2", 1)))
	up = g.up()
	up.ready()
	g.say("submit", "--id", "short-2", "--reason", "no", "--department", "it", "--wait", "Say OK").wants(t, exitDone)
	eventually(t, "the record is complete", func() bool {
		return g.say("audit", "show", "short-2").code == exitDone && g.say("audit", "check").code == exitDone
	})
	if after := same("after a change of settings"); after.Requests != before.Requests+1 {
		t.Errorf("%d and then %d", before.Requests, after.Requests)
	}
	if n := g.number(`SELECT count(*) FROM flowgate.decision_settings`); n != 4 { // settings twice, one policy, the terms of one agreement
		t.Errorf("%d versions are kept", n)
	}
	up.stop()
}

// proposals asks what other rules, prices, settings and limits would have changed.
func (g *ground) proposals() {
	t := g.t
	t.Helper()
	ask := func(args ...string) (r redecision) {
		t.Helper()
		said := g.say(append([]string{"audit", "redecide", "--since", "1h", "--json"}, args...)...)
		said.read(t, &r)
		if r.NotRecomputable != 0 || (said.code == exitDone) != r.good() {
			t.Errorf("%v: exit code %d, %+v", args, said.code, r)
		}
		return r
	}
	g.file("other.yaml", []byte(strings.Replace(decidingPolicy, `"payment" in data && purpose != "fraud_review"`, `"contact" in data`, 1)))
	if r := ask("--policy", "other.yaml"); r.Denied != 1 || r.DeniedMicroUSD == 0 || r.Passed < 1 || len(r.Examples) == 0 {
		t.Errorf("another policy: %+v", r)
	}
	g.file("prices.json", fmt.Appendf(nil, `{"unit":"micro-dollars per million tokens","rows":[{"model":%q,"effective_from":"2026-09-02","input":6000000,"output":20000000,"source":"a test"}]}`, g.modelOf("plain")))
	if r := ask("--prices", "prices.json"); r.Now.Cost <= r.Was.Cost || r.Was.Cost == 0 || r.Now.Bound <= r.Was.Bound || r.Denied != 0 || r.Unpriced != 0 {
		t.Errorf("other prices: %+v", r)
	}
	g.file("lenient.yaml", []byte(strings.Replace(strings.Replace(decidingSettings, "min_audit_reason: 5", "min_audit_reason: 2", 1), "secret: deny", "secret: mask", 1)))
	if r := ask("--settings", "lenient.yaml"); r.Passed != 2 {
		t.Errorf("lenient settings: %+v", r)
	}
	if r := ask("--limit-request", "none"); r.Passed != 1 {
		t.Errorf("no limit of a request: %+v", r)
	}
	if r := ask("--limit-request", "0.000001"); r.Denied < 5 || r.Passed != 0 {
		t.Errorf("a tiny limit of a request: %+v", r)
	}
	if r := ask("--limit-day", "0.000001"); r.Denied < 5 || r.Passed != 0 || r.DeniedMicroUSD == 0 {
		t.Errorf("a tiny limit of a day: %+v", r)
	}
	if r := ask("--limit-day", "1000"); r.Denied+r.Passed+r.Otherwise != 0 {
		t.Errorf("a large limit of a day: %+v", r)
	}
	g.say("audit", "redecide").wants(t, exitUsage, "--since")
	g.say("audit", "redecide", "--since", "-1h").wants(t, exitUsage, "--since must be in the past")
	g.say("audit", "redecide", "--since", "1h", "--until", "2h").wants(t, exitUsage, "--until must be later than --since")
	g.say("audit", "redecide", "plain", "--since", "1h").wants(t, exitUsage, "--since is for a window")
	g.say("audit", "redecide", "--since", "2h", "--until", "1h").wants(t, exitDone, "0 requests of tenant default ended in this window")
	g.say("audit", "redecide", "--since", "2h", "--until", "1h", "--json").wants(t, exitDone, `"tenant": "default"`, `"requests": 0`)
	g.say("audit", "redecide", "nobody").wants(t, exitFailed, "no end of nobody is recorded for tenant default")
	g.say("audit", "redecide", "--since", "1h", "--limit-day", "x").wants(t, exitUsage, "--limit-day")
}

// modelOf is the exact model that a request was decided to be for.
func (g *ground) modelOf(id string) string {
	g.t.Helper()
	var e explanation
	g.say("explain", id, "--json").read(g.t, &e)
	return e.Decided.Model
}
