package main

import (
	"testing"

	"flowgate/messages"
)

func TestExplainTellsWhyAndWhatForItWaits(t *testing.T) {
	t.Parallel()
	g := newGround(t, quickSettings)
	up := g.up()
	up.ready()
	g.file("policy.yaml", []byte(policyFile))
	g.say("policy", "activate", "policy.yaml", "--reason", "a test").wants(t, exitDone)
	const card = "Write to anna@example.com about card 4111 1111 1111 1111"
	for id, purpose := range map[string]string{"ok": "fraud_review", "denied": "support"} {
		g.say("submit", "--id", id, "--reason", "a test of explaining", "--purpose", purpose, "--department", "it", "--wait", card)
	}
	g.say("submit", "--id", "later", "--reason", "a test of explaining", "--run-at", "2099-01-01T00:00:00Z", "Say OK").wants(t, exitDone)
	eventually(t, "the record is complete", func() bool { return g.say("audit", "check").code == exitDone })

	g.say("explain", "ok").wants(t, exitDone, "ok, epoch 0: success (ok)", `asked by  user unknown, department it, for fraud_review: "a test of explaining"`,
		"flagged   by nobody", "found     CREDIT_CARD 1 (mask), EMAIL_ADDRESS 1 (mask)", "rules     settings ", ", policy ", ", prices ", "bound     $0.", "in tenant:default:day:",
		"charged   $0.", "call 1    offline, known", "personal_data  pass", "policy         pass", "sla            not_applicable")
	g.say("explain", "denied").wants(t, exitDone, "denied (policy_denied)", "rule no-cards-without-purpose: cards may be used for fraud_review alone", "policy         fail")
	var e explanation
	g.say("explain", "later", "--json").read(t, &e)
	if e.State != messages.ResultPending || e.Reason != messages.ReasonNotBefore || e.Decided == nil || len(e.Checks) < 5 || e.Message == "" {
		t.Errorf("got %+v", e)
	}
	g.say("explain", "later").wants(t, exitDone, "pending, at hold", "2099-01-01T00:00:00Z")
	g.say("explain", "nobody").wants(t, exitFailed, "no such request is known")
	g.say("explain", "a.b").wants(t, exitUsage)
	up.stop()
}
