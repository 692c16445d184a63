package main

import (
	"fmt"
	"net/url"
	"testing"

	"go.uber.org/zap"

	"flowgate/worker/broker"
	"flowgate/worker/workertest"
)

// TestTenantsOnAServerOfYours: the configuration that is printed runs in a real server, and a tenant goes the whole way there.
func TestTenantsOnAServerOfYours(t *testing.T) {
	t.Parallel()
	g := newGround(t, quickSettings)
	g.say("tenants", "config").wants(t, exitFailed, "no tenant was added")
	var acme, globex newTenant
	g.say("tenants", "add", "acme", "--json").read(t, &acme)
	g.say("tenants", "add", "globex", "--json").read(t, &globex)
	g.say("tenants", "config", "--format", "jwt").wants(t, exitUsage, "--format")
	printed := g.say("tenants", "config", "--users", "users.conf")
	printed.wants(t, exitDone, "TENANT_acme", acme.Public, "flowgate.request.*.globex.*")
	g.file("users.conf", []byte("users: [ { user: admin, password: secret } ]\n"))
	file := g.file("nats.conf", fmt.Appendf(nil, "listen: \"127.0.0.1:-1\"\njetstream { store_dir: %q }\n%s", t.TempDir(), printed.stdout))
	member, err := broker.StartMember(file, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(member.Shutdown)
	at, err := url.Parse(member.URL())
	if err != nil {
		t.Fatal(err)
	}
	at.User = url.UserPassword("admin", "secret")
	database := "DATABASE_URL=" + workertest.Database(t)
	g.env = []string{"NATS_URL=" + at.String(), database}
	up := g.up()
	up.ready()
	g.say("tenants", "show", "acme").wants(t, exitDone, acme.Public)
	g.say("tenants", "suspend", "globex", "--reason", "a test of walls").wants(t, exitDone, "flowgate tenants config")
	g.env = []string{"NATS_URL=" + member.URL(), database}
	a := g.with(acme)
	a.say("submit", "--id", "same", "--wait", "--reason", "a test of walls", "--tenant", "acme", "x").wants(t, exitDone, "success (ok)")
	a.say("submit", "--id", "same", "--reason", "a test of walls", "--tenant", "globex", "x").wants(t, exitEnvironment, "refuses this login")
	g.say("submit", "--reason", "a test of walls", "x").wants(t, exitEnvironment)
	up.stop()
}
