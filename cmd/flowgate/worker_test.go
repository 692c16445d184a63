package main

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"flowgate/worker/broker"
	"flowgate/worker/workertest"
)

// workers starts one worker for each list of layers and returns them when they are ready.
func (g *ground) workers(layers ...string) []*process {
	g.t.Helper()
	all := make([]*process, len(layers))
	for i, list := range layers {
		all[i] = g.begin(g.command("worker", "--layer", list, "--json"), "")
	}
	for _, p := range all {
		p.ready()
	}
	return all
}

// theirBroker is a broker that is not the product's own, and nothing is in it; the URL has an administrator's password.
func theirBroker(t *testing.T) (url string) {
	t.Helper()
	server := workertest.Server(t)
	return strings.Replace(server.URL(), "nats://", "nats://"+broker.OperatorUser+":"+workertest.OperatorPassword+"@", 1)
}

// outside is a ground against a broker and a database that are not the product's own, both ready for work.
func outside(t *testing.T) *ground {
	t.Helper()
	g := newGround(t, quickSettings, "NATS_URL="+theirBroker(t), "DATABASE_URL="+workertest.Database(t))
	g.say("topology", "apply").wants(t, exitDone)
	return g
}

func TestALayerAProcess(t *testing.T) {
	t.Parallel()
	g := outside(t)
	// The third has no way to the database at all.
	away := *g
	away.env = append(slices.Clone(g.env), "DATABASE_URL=")
	all := append(g.workers("corporate", "recorder"), away.workers("ai_processing", "optimizer")...)
	for n := range all {
		g.say("submit", "--id", "of-"+strconv.Itoa(n), "--wait", "--reason", "a test of workers", "x").wants(t, exitDone, "success (ok)")
		if _, err := os.Stat(filepath.Join(g.state, "workers", strconv.Itoa(n+1), "run.json")); err != nil {
			t.Error(err)
		}
	}
	var outcomes []struct{ ID string }
	eventually(t, "everything is recorded", func() bool {
		g.say("audit", "list", "--json").read(t, &outcomes)
		return len(outcomes) >= len(all)
	})
	g.say("audit", "check").wants(t, exitDone)
	for _, p := range all {
		p.stop()
	}
}

func TestWorkersSayWhatTheyMiss(t *testing.T) {
	t.Parallel()
	url := theirBroker(t)
	ready := []string{"NATS_URL=" + theirBroker(t), "DATABASE_URL=" + workertest.EmptyDatabase(t)} // the first fault is told, not every one
	newGround(t, quickSettings, ready...).say("topology", "apply").wants(t, exitDone)
	for _, c := range []struct {
		name  string
		env   []string
		args  []string
		code  int
		words []string
	}{
		{"no layer", nil, nil, exitUsage, []string{"--layer", "corporate, ai, optimizer, recorder"}},
		{"an unknown layer", nil, []string{"--layer", "ai,coffee"}, exitUsage, []string{`"coffee"`, "corporate, ai, optimizer, recorder"}},
		{"no broker", nil, []string{"--layer", "ai"}, exitEnvironment, []string{"NATS_URL"}},
		{"no database", []string{"NATS_URL=" + url}, []string{"--layer", "recorder"}, exitEnvironment, []string{"DATABASE_URL", "recorder"}},
		{"no schema", ready, []string{"--layer", "recorder"}, exitEnvironment, []string{"flowgate migrate"}},
		{"no streams", []string{"NATS_URL=" + url}, []string{"--layer", "ai"}, exitEnvironment, []string{"FLOWGATE_INGRESS is missing"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newGround(t, quickSettings, c.env...)
			g.say(append([]string{"worker"}, c.args...)...).wants(t, c.code, c.words...)
		})
	}
}

func TestRolesAreThoseOfTheChain(t *testing.T) {
	got, err := parseRoles([]string{"recorder", "actions", "corporate_llm", "AI", "ai"})
	if err != nil || !slices.Equal(got, allRoles()) {
		t.Errorf("got %v, %v", got, err)
	}
	for list, want := range map[string]bool{"ai": false, "ai,optimizer": false, "actions": true, "corporate": true, "recorder": true} {
		got, err := parseRoles(strings.Split(list, ","))
		if err != nil || got.database() != want {
			t.Errorf("%s needs a database: %t, %v", list, got.database(), err)
		}
	}
}

func TestServersThatDoNotFitAreNamed(t *testing.T) {
	t.Parallel()
	plain, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	plain.Start()
	t.Cleanup(func() { plain.Shutdown(); plain.WaitForShutdown() })
	if !plain.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server is not ready")
	}
	const secret = "hunter2-of-the-test"
	g := newGround(t, quickSettings)
	open := g.file("open.creds", []byte(secret))
	if err := os.Chmod(open, 0o644); err != nil { //nolint:gosec // that is what is wrong
		t.Fatal(err)
	}
	ours := theirBroker(t)
	for _, c := range []struct {
		name  string
		env   []string
		code  int
		words []string
	}{
		{"a broker without JetStream", []string{"NATS_URL=nats://" + plain.Addr().String()}, exitEnvironment, []string{"has no JetStream", "switch it on"}},
		{"a wrong password", []string{"NATS_URL=" + strings.Replace(ours, workertest.OperatorPassword, secret, 1)}, exitEnvironment, []string{"Authorization Violation", "refuses user and password"}},
		{"credentials that everybody can read", []string{"NATS_URL=" + ours, "NATS_CREDS=" + open}, exitEnvironment, []string{open, "0644", "chmod 600"}},
		{"two ways to log in", []string{"NATS_URL=" + ours, "NATS_CREDS=" + open, "NATS_NKEY=" + open}, exitUsage, []string{"one way to log in"}},
		{"an IPv6 address where nobody is", []string{"NATS_URL=nats://u:" + secret + "@[::1]:1"}, exitEnvironment, []string{"nats://[::1]:1", "nobody accepts connections"}},
		{"a folder as database", []string{"DATABASE_URL=/var/lib/postgresql/" + secret}, exitUsage, []string{"DATABASE_URL", "must be postgres://"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			of := *g
			of.t, of.env = t, c.env
			s := of.say("worker", "--layer", "ai")
			s.wants(t, c.code, c.words...)
			if strings.Contains(s.stdout+s.stderr, secret) {
				t.Errorf("the secret is told: %s", s.stderr)
			}
		})
	}
}
