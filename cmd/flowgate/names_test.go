package main

import "testing"

func TestBudgetsAndLimitsAreOfNamesThatRequestsCanHave(t *testing.T) {
	t.Parallel()
	g := newGround(t, quickSettings)
	up := g.up()
	up.ready()
	for _, name := range []string{"4111111111111111", " anna", "anna\u200b", " "} {
		g.say("budget", "set", "user", name, "--day", "5", "--reason", "a test of names").wants(t, exitUsage, "a name must have no")
		g.say("limit", "set", "user", name, "--requests-minute", "5", "--reason", "a test of names").wants(t, exitUsage, "a name must have no")
	}
	g.say("budget", "set", "user", "anna", "--day", "5", "--reason", "a test of names").wants(t, exitDone)
	for _, approver := range []string{"OPS", "ops\u200b", " ops "} {
		g.say("budget", "raise", "user", "anna", "--day", "6", "--until", "+1h", "--by", "ops", "--approver", approver, "--reason", "a test of names").
			wants(t, exitUsage, "another person")
	}
	g.say("budget", "raise", "user", "anna", "--day", "6", "--until", "9999-01-01T00:00:00Z", "--by", "ops", "--approver", "maria", "--reason", "far").
		wants(t, exitUsage, "within a year")
	up.stop()
}
