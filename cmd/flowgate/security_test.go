package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"go.uber.org/zap"

	"flowgate/messages"
	"flowgate/worker/actions"
	"flowgate/worker/broker"
	"flowgate/worker/link"
	"flowgate/worker/security"
	"flowgate/worker/state"
)

// securityTest asks for the action by its trigger, through all layers.
func (g *ground) securityTest() (actions.SecurityReport, string) {
	g.t.Helper()
	var r messages.Result
	s := g.say("submit", "--trigger", "[Security Test]", "--reason", "a test of security", "--wait", "--json")
	s.read(g.t, &r)
	var report actions.SecurityReport
	x := r.Execution
	if r.Status != messages.StatusSuccess || x == nil || x.Mode != messages.ExecutionReal || x.Samples < 10 || x.Confidence <= 0.5 {
		g.t.Fatalf("the action was not carried out: %s", s.stdout)
	}
	if err := json.Unmarshal(x.Result, &report); err != nil {
		g.t.Fatal(err)
	}
	return report, s.stdout
}

// guarded is a server of somebody else's with tenants in it, whose configuration file can be changed.
type guarded struct {
	t      *testing.T
	file   string
	text   string
	member *broker.Member
}

func newGuarded(t *testing.T, g *ground, accounts string) *guarded {
	t.Helper()
	s := &guarded{t: t}
	ports, err := link.FreePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	s.text = fmt.Sprintf("listen: \"127.0.0.1:%d\"\njetstream { store_dir: %q }\n%s", ports[0], t.TempDir(), accounts)
	s.file = g.file("nats.conf", []byte(s.text))
	s.start()
	t.Cleanup(func() { s.member.Shutdown() })
	return s
}

func (s *guarded) start() {
	s.t.Helper()
	var err error
	if s.member, err = broker.StartMember(s.file, zap.NewNop()); err != nil {
		s.t.Fatal(err)
	}
}

// change starts the server again with another configuration, at the same address and with the same store.
func (s *guarded) change(from, to string) {
	s.t.Helper()
	text := strings.Replace(s.text, from, to, 1)
	if text == s.text {
		s.t.Fatalf("the configuration has no %q", from)
	}
	s.member.Shutdown()
	if err := os.WriteFile(s.file, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.start()
}

// as is the server's address for a user.
func (s *guarded) as(user string) string {
	return strings.Replace(s.member.URL(), "nats://", "nats://"+user+":secret@", 1)
}

// bearer is a token that ends at a moment.
func bearer(ends time.Time) []byte {
	return fmt.Appendf(nil, "eyJhbGciOiJub25lIn0.%s.c2lnbmF0dXJl", base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"exp":%d}`, ends.Unix())))
}

// TestSecurityTestFindsWhatIsPlanted plants five holes in one running deployment, each of which it must find by its name.
func TestSecurityTestFindsWhatIsPlanted(t *testing.T) {
	t.Parallel()
	g := newGround(t, quickSettings)
	home := filepath.Join(g.dir, "home")                                                                                                            // the tester's own has files that this test does not know
	if err := errors.Join(os.Mkdir(home, 0o700), os.Chmod(home, 0o700), os.Chmod(g.dir, 0o755), os.Chmod(filepath.Dir(g.dir), 0o755)); err != nil { //nolint:gosec // whatever the umask is
		t.Fatal(err)
	}
	var acme newTenant
	g.say("tenants", "add", "acme", "--json").read(t, &acme)
	printed := g.say("tenants", "config", "--users", "users.conf")
	printed.wants(t, exitDone, "TENANT_acme")
	g.file("users.conf", []byte("users: [ { user: admin, password: secret } ]\n"))
	server := newGuarded(t, g, printed.stdout)
	g.env = []string{"NATS_URL=" + server.as("admin"), "HOME=" + home}
	key, token := g.file("cache.key", []byte("a-key-of-a-cache\n")), g.file("openai.token", bearer(time.Now().Add(1000*time.Hour)))
	of := *g
	of.settings = g.file("closed.yaml", fmt.Appendf(nil, "%s  nats: {connect_wait: 1s, server_config: %q}\n  backends: {allowed: [offline], openai: {api_key_file: %q}}\ncache: {encryption_key_file: %q}\n",
		strings.Replace(quickSettings, "  nats: {connect_wait: 1s}\n", "", 1), server.file, token, key))
	up := of.up()
	up.ready()

	before, _ := g.securityTest()
	for _, c := range before.Checks {
		if c.State != security.Pass || c.LookedAt == 0 {
			t.Errorf("before anything was planted: %+v", c)
		}
	}
	if !before.OK || len(before.Checks) != 9 {
		t.Errorf("before anything was planted: %+v", before)
	}

	role := g.plantInDatabase()
	if err := os.Chmod(key, 0o644); err != nil { //nolint:gosec // it is planted
		t.Fatal(err)
	}
	g.file("openai.token", bearer(time.Now().Add(-time.Hour)))
	server.change("# acme.default", "{ user: eve, password: secret, permissions: { publish: \"flowgate.request.*.acme.*\", subscribe: \">\" } }")
	g.mayHearEverything(server.as("eve"))

	after, said := g.securityTest()
	for _, want := range []struct{ check, subject, what string }{
		{"file_modes", "secret file of cache.encryption_key " + key, "mode 0644"},
		{"database_roles", "role " + role, "may UPDATE rows of outcome"},
		{"append_only_triggers", "trigger agreement_change_added on agreement_change", "is disabled"},
		{"broker_credentials", "credential eve", "may subscribe to everything in account TENANT_acme"},
		{"credential_expiry", "setting flowgate.backends.openai.api_key", "ended at"},
	} {
		i := slices.IndexFunc(after.Checks, func(c security.Check) bool { return c.Check == want.check })
		if i < 0 || after.Checks[i].State != security.Fail || len(after.Checks[i].Findings) != 1 {
			t.Errorf("%s: %+v", want.check, after.Checks)
			continue
		}
		if f := after.Checks[i].Findings[0]; f.Severity != security.High || f.Subject != want.subject || !strings.Contains(f.What, want.what) || f.NextStep == "" {
			t.Errorf("%s: %+v", want.check, f)
		}
		after.Checks = slices.Delete(after.Checks, i, i+1)
	}
	for _, c := range after.Checks {
		if c.State != security.Pass {
			t.Errorf("nothing was planted there: %+v", c)
		}
	}
	if after.OK || after.Counts[security.High] != 5 {
		t.Errorf("%+v", after)
	}
	for _, secret := range []string{"a-key-of-a-cache", "eyJ", "secret@"} {
		if strings.Contains(said, secret) {
			t.Errorf("%q is told: %s", secret, said)
		}
	}

	// Whoever stands outside of the walls is told nothing.
	g.env = []string{"NATS_URL=" + server.member.URL()}
	g.with(acme).say("submit", "--tenant", "acme", "--trigger", "[Security Test]", "--reason", "a test of security", "--wait").
		wants(t, exitFailed, "failed", "name the tenant in the agreement's `tenants`")
	up.stop()
}

// securityIsLookedAtFromAWorker: what a worker with few rights cannot look at is said, and the record is verified all the same.
func (g *ground) securityIsLookedAtFromAWorker() {
	g.t.Helper()
	report, _ := g.securityTest()
	for _, want := range []struct {
		check, says string
		state       security.State
	}{
		{"log_verification", "", security.Pass},
		{"append_only_triggers", "", security.Pass},
		{"broker_credentials", "flowgate.nats.server_config", security.NotLookedAt},
		{"database_superusers", "", security.Fail}, // the tests' own role
	} {
		i := slices.IndexFunc(report.Checks, func(c security.Check) bool { return c.Check == want.check })
		if i < 0 || report.Checks[i].State != want.state || !strings.Contains(report.Checks[i].Why, want.says) {
			g.t.Errorf("want %+v: %+v", want, report.Checks)
		}
	}
	if report.OK {
		g.t.Errorf("what was not looked at is no health: %+v", report)
	}
}

// plantInDatabase makes a role that may change audit rows, and disables a trigger.
func (g *ground) plantInDatabase() (role string) {
	g.t.Helper()
	info, err := state.Read(g.state)
	if err != nil {
		g.t.Fatal(err)
	}
	conn, err := pgx.Connect(g.t.Context(), info.DatabaseURL)
	if err != nil {
		g.t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(g.t.Context())) }() // the statements are through
	for _, sql := range []string{
		"CREATE ROLE mallory LOGIN", "GRANT USAGE ON SCHEMA flowgate TO mallory", "GRANT SELECT, UPDATE ON flowgate.outcome TO mallory",
		"ALTER TABLE flowgate.agreement_change DISABLE TRIGGER agreement_change_added",
	} {
		if _, err := conn.Exec(g.t.Context(), sql); err != nil {
			g.t.Fatalf("%s: %v", sql, err)
		}
	}
	return "mallory"
}

// mayHearEverything proves that what is planted is a hole.
func (g *ground) mayHearEverything(url string) {
	g.t.Helper()
	conn, err := nats.Connect(url, nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		g.t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.SubscribeSync(">"); err != nil {
		g.t.Fatal(err)
	}
	if err := conn.Flush(); err != nil {
		g.t.Fatal(err)
	}
	if err := conn.LastError(); err != nil { // a refusal comes before the answer to the flush
		g.t.Fatalf("it may not: %v", err)
	}
}
