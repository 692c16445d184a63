package security_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"flowgate/worker/broker"
	"flowgate/worker/postgres"
	"flowgate/worker/security"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// told is a check in words: state, how much was looked at, and severity with subject of each finding.
func told(c security.Check) string {
	words := []string{fmt.Sprint(c.State, " ", c.LookedAt)}
	for _, f := range c.Findings {
		words = append(words, fmt.Sprint(f.Severity, " ", f.Subject))
	}
	return strings.Join(words, "; ")
}

// wants compares a look with words, and wants every finding to say what it is and what helps.
func wants(t *testing.T, name string, l *security.Look, want string) security.Check {
	t.Helper()
	c := l.Conclude(name)
	if got := told(c); got != want {
		t.Errorf("%s: %q, want %q", name, got, want)
	}
	for _, f := range c.Findings {
		if f.What == "" || f.NextStep == "" {
			t.Errorf("%s: %+v lacks something", name, f)
		}
	}
	return c
}

func TestACheckPassesOnlyWhereEverythingWasLookedAt(t *testing.T) {
	wants(t, "nothing was done", &security.Look{}, "not_looked_at 0")
	l := &security.Look{}
	l.Nothing("there is none")
	if c := wants(t, "there is nothing", l, "not_applicable 0"); c.Why != "there is none" {
		t.Errorf("%+v", c)
	}
	l.Saw(3)
	wants(t, "something", l, "pass 3")
	for i := range 5 {
		l.Unseen("file %d", i)
	}
	if c := wants(t, "not all", l, "not_looked_at 3"); c.Why != "file 0; file 1; file 2; and 2 more" {
		t.Errorf("%+v", c)
	}
	l.Find(security.Low, "b", "what", "next")
	wants(t, "a low one", l, "warn 3; low b")
	l.Find(security.High, "c", "what", "next")
	l.Find(security.Critical, "z", strings.Repeat("é", 500), "next")
	c := wants(t, "the worst first", l, "fail 3; critical z; high c; low b")
	if what := c.Findings[0].What; len(what) > 310 || !strings.HasSuffix(what, "é…") || c.Why == "" {
		t.Errorf("%+v", c)
	}
	for i := range 20 {
		l.Find(security.Medium, fmt.Sprintf("m%02d", i), "what", "next")
	}
	counts := map[security.Severity]int{}
	if n := l.Count(counts); n != 23 || counts[security.Medium] != 20 || counts[security.Low] != 1 {
		t.Errorf("%d: %v", n, counts)
	}
	if c = l.Conclude("many"); len(c.Findings) != security.MostFindings || c.More != 13 || c.Findings[2].Subject != "m00" {
		t.Errorf("%+v", c)
	}
	if c.Cut(1); len(c.Findings) != 1 || c.More != 22 {
		t.Errorf("%+v", c)
	}
}

func TestTheDatabaseIsJudged(t *testing.T) {
	wants(t, "roles", security.Roles([]postgres.Changer{
		{Role: "bob", Logins: true, Privileges: []string{"UPDATE"}, Tables: []string{"outcome"}, Reaches: true},
		{Role: "far", Logins: true, Privileges: []string{"UPDATE"}, Tables: []string{"outcome"}},
		{Role: "group", Privileges: []string{"UPDATE"}, Tables: []string{"outcome"}, Reaches: true},
		{Role: "PUBLIC", Logins: true, Privileges: []string{"DELETE"}, Tables: []string{"event"}, Reaches: true},
		{Role: "kin", Logins: true, Privileges: []string{"DELETE"}, Tables: []string{"event"}, Reaches: true, Via: []string{"owner"}},
	}, 9), "fail 9; critical role PUBLIC; high role bob; high role kin; medium role far; medium role group")
	wants(t, "no roles", security.Roles(nil, 2), "pass 2")

	private := postgres.Login{Role: "postgres", Superuser: true, Owner: "postgres", Owns: true, Superusers: []string{"postgres"}, Bootstrap: "postgres"}
	wants(t, "a server of our own", security.Superusers(private, true, true), "pass 1")
	wants(t, "the same of somebody else", security.Superusers(private, false, true), "fail 1; high role postgres")
	private.Superusers = append(private.Superusers, "mallory")
	wants(t, "somebody in ours", security.Superusers(private, true, true), "fail 2; high role mallory")
	plain := postgres.Login{Role: "worker", Owner: "owner", Superusers: []string{"admin", "postgres"}, Bootstrap: "postgres"}
	wants(t, "a worker", security.Superusers(plain, false, false), "warn 2; medium role admin; low role postgres")
	plain.Owns, plain.Superusers = true, nil
	wants(t, "a worker that owns", security.Superusers(plain, false, false), "warn 1; low role worker")
	wants(t, "up owns", security.Superusers(plain, false, true), "pass 1")

	wants(t, "triggers", security.Triggers([]postgres.Guard{{Table: "a", Name: "x"}, {Table: "b", Name: "y", Fault: "is disabled", Off: true}}), "fail 2; high trigger y on b")
	wants(t, "no triggers", security.Triggers(nil), "not_looked_at 0")
	c := wants(t, "record", security.Record([]postgres.Finding{{Name: "gaps", OK: true}, {Name: "cost", Count: 3, Detail: "a rule", Examples: []string{"acme/secret-id"}}}), "fail 2; high record: cost")
	if strings.Contains(fmt.Sprint(c), "secret-id") {
		t.Errorf("a request of some tenant is named: %+v", c)
	}
}

func TestWaysAndEndsAreJudged(t *testing.T) {
	wants(t, "ways", security.Transport([]security.Endpoint{
		{What: "socket", Mend: "mend it", Local: true},
		{What: "loopback", Mend: "mend it", Host: "127.0.0.1"},
		{What: "six", Mend: "mend it", Host: "[::1]"},
		{What: "folder", Mend: "mend it", Host: "/run/postgresql"},
		{What: "name", Mend: "mend it", Host: "localhost"},
		{What: "whole", Mend: "mend it", Host: "db.example", Encrypted: true},
		{What: "plain", Mend: "mend it", Host: "db.example"},
		{What: "anybody", Mend: "mend it", Host: "db.example", Encrypted: true, Unverified: true},
		{What: "listener", Mend: "mend it", Listens: true},
		{What: "address", Mend: "mend it", Host: "10.0.0.1", Listens: true},
	}), "fail 10; high address; high listener; high plain; medium anybody")
	wants(t, "no ways", security.Transport(nil), "not_applicable 0")
	now := time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)
	wants(t, "ends", security.Expiry([]security.Credential{
		{What: "never", Mend: "mend it"},
		{What: "later", Mend: "mend it", Ends: now.Add(15 * 24 * time.Hour)},
		{What: "soon", Mend: "mend it", Ends: now.Add(13 * 24 * time.Hour)},
		{What: "soon, renewed", Mend: "mend it", Ends: now.Add(time.Minute), Renewed: true},
		{What: "now", Mend: "mend it", Ends: now},
		{What: "past, renewed", Mend: "mend it", Ends: now.Add(-time.Hour), Renewed: true},
	}, now), "fail 6; high now; high past, renewed; medium soon")
	wants(t, "no ends", security.Expiry(nil, now), "not_applicable 0")
	wants(t, "literals", security.Literals("s.yaml", []string{"b.key", "a.key", "b.key"}, 7), "warn 7; medium setting a.key; medium setting b.key")
	wants(t, "no file", security.Literals("", nil, 0), "not_applicable 0")

	token := func(payload string) string {
		return "e30." + base64.RawURLEncoding.EncodeToString([]byte(payload)) + ".c2ln"
	}
	if ends, ok := security.EndOfToken(token(`{"exp":1795996800.5,"sub":"x"}`) + "\n"); !ok || !ends.Equal(time.Unix(1795996800, 0)) {
		t.Error(ends, ok)
	}
	for _, text := range []string{"", "sk-ant-xxx", "a.b.c", token(`{"sub":"x"}`), token(`{"exp":"soon"}`), token(`{"exp":1e300}`), token(`{"exp":-5}`), token(`[]`), token("{}") + ".more"} {
		if ends, ok := security.EndOfToken(text); ok {
			t.Errorf("%q ends at %s", text, ends)
		}
	}
}

func TestDoorsAreJudged(t *testing.T) {
	tenants := broker.Walls{Tenants: []broker.Tenant{{Name: "acme", Keys: []broker.Key{{Name: "acme.loader", Public: "UACME"}}}}}
	keepers := security.Keepers{Walls: tenants, Own: "flowgate", Shut: []broker.Key{{Name: "acme.gone", Public: "UGONE"}}}
	may := broker.AuditedUser{Public: "UACME", PublishBounded: true, SubscribeBounded: true, Publish: []string{"flowgate.request.*.acme.*"}, Subscribe: []string{"_INBOX.>"}}
	acme := broker.AuditedAccount{Name: "TENANT_acme", Users: []broker.AuditedUser{may}}
	wants(t, "walls", security.Doors(broker.Doors{Accounts: []broker.AuditedAccount{acme}, Host: "10.0.0.1"}, keepers, "here"), "pass 1")
	wide := may
	wide.Subscribe = []string{">"}
	acme.Users = []broker.AuditedUser{wide, {Name: "bob", PublishBounded: true, SubscribeBounded: true, Subscribe: []string{"flowgate.result.globex.>"}}}
	acme.Imports = []broker.AuditedCrossing{{Subject: "flowgate.request.*.acme.*"}, {Subject: "flowgate.work.>"}}
	flowgate := broker.AuditedAccount{Name: "FLOWGATE", Users: []broker.AuditedUser{may}, Exports: []broker.AuditedCrossing{{Subject: "flowgate.work.>"}}}
	c := wants(t, "holes", security.Doors(broker.Doors{Accounts: []broker.AuditedAccount{flowgate, acme}}, keepers, "here"),
		"fail 3; critical account TENANT_acme; critical credential acme.loader; high account FLOWGATE; high credential acme.loader; medium credential bob")
	if !strings.HasPrefix(c.Findings[3].What, "may subscribe to everything in account TENANT_acme") {
		t.Errorf("%+v", c.Findings[3])
	}
	staff := broker.AuditedAccount{Name: "WORK", Users: []broker.AuditedUser{{Name: "flowgate"}, {Name: "anna"}, {Name: "worker", SubscribeBounded: true, Subscribe: []string{"_INBOX.>"}}}}
	acme.Users, acme.Imports = []broker.AuditedUser{{Public: "UGONE", PublishBounded: true, SubscribeBounded: true}}, nil
	wants(t, "who was suspended, and who is inside", security.Doors(broker.Doors{Accounts: []broker.AuditedAccount{acme, staff}}, keepers, "here"), "fail 4; high credential acme.gone; low user anna")
	wants(t, "a stranger's server", security.Doors(broker.Doors{Open: true, OpenTo: "$G"}, keepers, "here"), "fail 0; critical connections without a credential")
	wants(t, "the same on loopback", security.Doors(broker.Doors{Open: true, OpenTo: "$G", Host: "127.0.0.1"}, keepers, "here"), "warn 0; medium connections without a credential")
	wants(t, "no tenants, on a network", security.Doors(broker.Doors{Open: true, OpenTo: "PRODUCERS"}, security.Keepers{}, "here"), "fail 0; high connections without a credential")
	wants(t, "no tenants, on loopback", security.Doors(broker.Doors{Open: true, OpenTo: "PRODUCERS", Host: "::1", Accounts: []broker.AuditedAccount{{Name: "PRODUCERS"}}}, security.Keepers{}, "here"), "pass 1")
}

func TestModesOfFilesAreJudged(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // whatever the umask is
		t.Fatal(err)
	}
	made := func(mode os.FileMode, text string, names ...string) string {
		t.Helper()
		path := filepath.Join(append([]string{dir}, names...)...)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.Chmod(filepath.Dir(path), 0o755)); err != nil { //nolint:gosec // what is tested
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, c := range map[string]struct {
		mode   os.FileMode
		secret bool
		want   string
	}{
		"closed": {0o600, true, "pass 1"}, "read by all": {0o644, true, "fail 1; high key PATH"}, "written by all": {0o602, true, "fail 1; high key PATH"},
		"read by the group": {0o640, true, "warn 1; medium key PATH"}, "written by the group": {0o620, true, "warn 1; medium key PATH"},
		"no secret": {0o644, false, "pass 1"}, "no secret, written by all": {0o646, false, "fail 1; high key PATH"},
	} {
		path := made(c.mode, "x", "key")
		if os.Geteuid() == 0 && name == "written by the group" { // of root's group
			c.want = "pass 1"
			if err := os.Chown(path, 0, 7); err == nil {
				c.want = "warn 1; medium key PATH"
			}
		}
		wants(t, name, security.Files(t.Context(), []security.File{{What: "key", Path: path, Secret: c.secret}}, nil), strings.ReplaceAll(c.want, "PATH", path))
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	wants(t, "missing", security.Files(t.Context(), []security.File{{What: "key", Path: dir + "/none"}, {}}, nil), "not_looked_at 0")
	wants(t, "none", security.Files(t.Context(), nil, nil), "not_applicable 0")

	state := filepath.Join(dir, "state")
	made(0o644, "x", "state", "generation")
	run := made(0o644, `{"operator_password":"x"}`, "state", "run.json")
	seed := made(0o644, "SU"+strings.Repeat("A", 56)+"\n", "state", "tenants", "acme.nk")
	pem := made(0o644, "-----BEGIN EC PRIVATE KEY-----\n", "state", "tenants", "any")
	made(0o600, "-----BEGIN EC PRIVATE KEY-----\n", "state", "tenants", "closed")
	made(0o666, "x", "state", "closed", "open-in-a-closed-folder")
	if err := os.Chmod(filepath.Join(state, "closed"), 0o700); err != nil { //nolint:gosec // what is tested
		t.Fatal(err)
	}
	want := fmt.Sprintf("fail 7; high file %s; high file %s; high file %s", run, seed, pem)
	wants(t, "a state folder", security.Files(t.Context(), nil, []string{state}), want)
	if err := os.Chmod(filepath.Join(state, "tenants"), 0o777); err != nil { //nolint:gosec // what is tested
		t.Fatal(err)
	}
	c := security.Files(t.Context(), []security.File{{What: "key", Path: seed, Secret: true}}, []string{state}).Conclude("an open folder")
	if text := told(c); !strings.Contains(text, "high folder "+state+"/tenants") || !strings.Contains(text, "high key "+seed) || strings.Contains(text, "file "+seed) {
		t.Error(text)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if c := security.Files(ended, nil, []string{state}).Conclude("late"); c.State != security.NotLookedAt || !strings.Contains(c.Why, "no time left") {
		t.Errorf("%+v", c)
	}
	if c := security.Files(t.Context(), nil, []string{filepath.Join(state, "none")}).Conclude("gone"); c.State != security.NotLookedAt {
		t.Errorf("%+v", c)
	}
}
