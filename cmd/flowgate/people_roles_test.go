package main

import "testing"

// What must be in force at once does not wait for Postgres, nor for a login to it; that nobody was looked up is on record.
func TestRolesAreLookedUpUnlessTheOperatorSaysWithout(t *testing.T) {
	t.Parallel()
	server := theirBroker(t)
	away := newGround(t, quickSettings, "NATS_URL="+server, "DATABASE_URL=postgres://flowgate@127.0.0.1:1/flowgate")
	none := newGround(t, quickSettings, "NATS_URL="+server)
	away.say("topology", "apply").wants(t, exitDone)
	away.say("budget", "set", "user", "anna", "--day", "5", "--reason", "a test", "--by", "ops").wants(t, exitDone)
	for by, g := range map[string]*ground{"ops": away, "night": none} {
		policy := g.file("policy.yaml", []byte("name: "+by+"\nrules:\n  - {id: dear, effect: flag, when: bound_microusd > 500000}\n"))
		activate := []string{"policy", "activate", policy, "--reason", "an emergency", "--by", by}
		raise := []string{"budget", "raise", "user", "anna", "--day", "15", "--until", "+1h", "--approver", "maria", "--by", by, "--reason", "an emergency", "--json"}
		g.say(activate...).wants(t, exitEnvironment, "directory of people", "--without-directory")
		g.say(raise...).wants(t, exitEnvironment, "directory of people", "--without-directory")
		g.say(append(activate, "--without-directory")...).wants(t, exitDone, "is in force: an emergency")
		g.say("policy", "show").wants(t, exitDone, by+" (unverified)")
		g.say(append(raise, "--without-directory")...).wants(t, exitDone, `"approver": "maria (unverified)"`)
	}
	away.say("budget", "raise", "user", "anna", "--day", "20", "--until", "+1h", "--approver", "ops", "--by", "ops", "--reason", "x", "--without-directory").
		wants(t, exitUsage, "another person")
}
