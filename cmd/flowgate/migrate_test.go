package main

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"flowgate/worker/workertest"
)

func TestMigrateByItsPlan(t *testing.T) {
	t.Parallel()
	url := workertest.EmptyDatabase(t)
	owner := workertest.OrdinaryRole(t, url)
	role, as := workertest.Role(t, url, "worker")
	server := theirBroker(t)
	g := newGround(t, quickSettings, "DATABASE_URL="+owner, "NATS_URL="+server)
	g.say("topology", "apply").wants(t, exitDone)
	var plan struct {
		Version, Latest int
		Pending         []struct{ Name, SQL string }
		Grants          []string
	}
	g.say("migrate", "--plan", "--grants", role, "--json").read(t, &plan)
	if plan.Version != 0 || plan.Latest < 6 || len(plan.Pending) != plan.Latest || len(plan.Grants) == 0 || !strings.Contains(plan.Pending[0].SQL, "CREATE TABLE") {
		t.Errorf("%+v", plan)
	}
	g.say("migrate", "--plan").wants(t, exitDone, "001_tables.sql", "is at version 0", "migrations to run")
	g.say("migrate", "--plan", "--sql", "--grants", role).wants(t, exitDone, "CREATE TABLE flowgate.scope", "GRANT USAGE ON SCHEMA", role)
	g.say("worker", "--layer", "recorder").wants(t, exitEnvironment, "version 0", "flowgate migrate")
	g.say("migrate", "--grants", role).wants(t, exitDone, "from version 0", "may work in it")
	g.say("migrate", "--plan").wants(t, exitDone, ": 0 migrations to run")
	g.say("migrate").wants(t, exitDone, "nothing to do")

	other := newGround(t, strings.Replace(quickSettings, "flowgate:\n", "flowgate:\n  database_schema: gate_two\n", 1), "DATABASE_URL="+owner)
	other.say("migrate", "--plan", "--sql").wants(t, exitDone, "schema gate_two is at version 0", "CREATE TABLE gate_two.scope")

	// A later build was here: migrate says so, and a worker of this build goes on.
	sql(t, url, "UPDATE flowgate.schema_version SET version = 99")
	g.say("migrate").wants(t, exitDone, "version 99", "newer build")
	worker := newGround(t, quickSettings, "DATABASE_URL="+as, "NATS_URL="+server)
	w := worker.begin(worker.command("worker", "--layer", "corporate,recorder", "--json"), "")
	w.ready()
	w.stop()
	sql(t, url, "UPDATE flowgate.schema_version SET version = 3")
	worker.say("worker", "--layer", "recorder").wants(t, exitEnvironment, "version 3", "flowgate migrate")
}

// sql runs a statement in a database.
func sql(t *testing.T, url, statement string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}
