package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"flowgate/messages"
	"flowgate/worker/tenants"
)

// newTenant is what `tenants add` and `tenants rotate` say.
type newTenant struct {
	Seed    string `json:"seed"`
	File    string `json:"file"`
	Public  string `json:"public_key"`
	InForce bool   `json:"in_force"`
	Version uint64 `json:"version"`
}

// login is the option that logs a client in with a seed.
func (n newTenant) login(t *testing.T, g *ground) nats.Option {
	t.Helper()
	path := n.File
	if path == "" {
		path = g.file(n.Public+".nk", []byte(n.Seed))
	}
	option, err := nats.NkeyOptionFromSeed(path)
	if err != nil {
		t.Fatal(err)
	}
	return option
}

// with is the ground of somebody who has a credential.
func (g *ground) with(n newTenant) *ground {
	of := *g
	path := n.File
	if path == "" {
		path = g.file(n.Public+".nk", []byte(n.Seed))
	}
	of.env = append(append([]string{}, g.env...), "NATS_NKEY="+path)
	return &of
}

func TestTenantsHaveTheirOwnWayIn(t *testing.T) {
	t.Parallel()
	g := newGround(t, quickSettings)
	up := g.up()
	url := up.ready().NATSURL
	stranger := producer(t, url)
	lost := stranger.StatusChanged(nats.RECONNECTING, nats.CLOSED)

	var acme, globex newTenant
	g.say("tenants", "list").wants(t, exitDone, "everybody who reaches the listener is a producer of every tenant")
	g.say("tenants", "add", "acme", "--credential", "loader", "--out", filepath.Join(g.dir, "acme.nk"), "--json").read(t, &acme)
	g.say("tenants", "add", "globex", "--json").read(t, &globex)
	if !acme.InForce || acme.Seed != "" || globex.File != "" || !strings.HasPrefix(globex.Seed, "SU") {
		t.Errorf("%+v, %+v", acme, globex)
	}
	if info, err := os.Stat(acme.File); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the seed's file: %v %v", info, err)
	}
	<-lost
	if conn, err := nats.Connect(url); !errors.Is(err, nats.ErrAuthorization) {
		conn.Close()
		t.Errorf("without a credential: %v", err)
	}

	// The whole path as a tenant: submit, wait, result, the same again, a batch; the same id of two tenants.
	a, b := g.with(acme), g.with(globex)
	request := []string{"submit", "--id", "same", "--wait", "--reason", "a test of walls"}
	a.say(append(request, "--tenant", "acme", "from acme")...).wants(t, exitDone, "success (ok)")
	b.say(append(request, "--tenant", "globex", "from globex")...).wants(t, exitDone, "success (ok)")
	a.say(append(request, "--tenant", "acme", "again")...).wants(t, exitDone, "success (ok)", "was submitted before")
	a.say("result", "same", "--tenant", "acme").wants(t, exitDone, "success (ok)")
	a.file("lines.jsonl", []byte(`{"id":"l1","prompt":"one","audit_reason":"a test of walls"}`+"\n"+`{"id":"l2","prompt":"two","audit_reason":"a test of walls"}`+"\n"))
	a.say("batch", "submit", "lines.jsonl", "--tenant", "acme").wants(t, exitDone)
	if n := len(a.lines("lines.output.jsonl")); n != 2 {
		t.Errorf("the batch has %d results", n)
	}
	large := a.file("large.json", sized(t, 300_000))
	a.say("submit", "--id", "large", "--tenant", "acme", "--wait", "-f", large).wants(t, exitDone, "success (ok)")
	// A neighbour's: nothing is published, nothing is answered.
	a.say("submit", "--id", "forged", "--tenant", "globex", "--reason", "a test of walls", "x").wants(t, exitEnvironment, "refuses this login", "--tenant")
	a.say("result", "same", "--tenant", "globex").wants(t, exitFailed)
	g.say("result", "forged", "--tenant", "globex").wants(t, exitFailed, "no such request is known")

	up.stop()
	up = g.up() // the walls stand from the start on
	url = up.ready().NATSURL
	if conn, err := nats.Connect(url); !errors.Is(err, nats.ErrAuthorization) {
		conn.Close()
		t.Errorf("without a credential, after another start: %v", err)
	}
	a.say("result", "same", "--tenant", "acme").wants(t, exitDone, "success (ok)")
	up.stop()
}

func TestTenantsAreSuspendedAndRotatedWithinASecond(t *testing.T) {
	t.Parallel()
	g := newGround(t, quickSettings)
	var first, second newTenant
	g.say("tenants", "add", "acme", "--json").read(t, &first) // before anything runs
	if first.InForce || first.Version != 1 {
		t.Errorf("%+v", first)
	}
	up := g.up()
	url := up.ready().NATSURL
	dial := func(n newTenant) (*nats.Conn, error) {
		return nats.Connect(url, n.login(t, g), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond), nats.IgnoreAuthErrorAbort())
	}
	conn, err := dial(first)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	cut := func(what string, verb ...string) {
		t.Helper()
		lost := conn.StatusChanged(nats.RECONNECTING)
		began := time.Now()
		p := g.begin(g.command(verb...), "")
		select {
		case <-lost:
		case <-time.After(patience):
			t.Fatalf("%s: the connection is not cut", what)
		}
		took := time.Since(began) // of the command too
		p.ended().wants(t, exitDone, "in force")
		t.Logf("%s: cut after %s", what, took)
		if again, err := dial(first); !errors.Is(err, nats.ErrAuthorization) {
			again.Close()
			t.Errorf("%s: it comes in again: %v", what, err)
		}
	}
	cut("suspended", "tenants", "suspend", "acme", "--reason", "a test of walls")
	g.say("tenants", "list").wants(t, exitDone, "suspended", "0 of 1")
	g.say("tenants", "show", "acme").wants(t, exitDone, "a test of walls", first.Public)
	g.say("tenants", "resume", "acme").wants(t, exitDone, "in force")
	eventually(t, "it is back", func() bool { return conn.Status() == nats.CONNECTED })
	cut("one credential suspended", "tenants", "suspend", "acme", "--credential", "default", "--reason", "a test of walls")
	g.say("tenants", "resume", "acme", "--credential", "default").wants(t, exitDone, "in force")
	eventually(t, "it is back", func() bool { return conn.Status() == nats.CONNECTED })
	out := filepath.Join(g.dir, "second.nk")
	cut("rotated", "tenants", "rotate", "acme", "--out", out)
	second.File = out
	next, err := dial(second)
	if err != nil {
		t.Fatal(err)
	}
	next.Close()
	// Who waits with a credential that is taken away is told, and does not knock for ever.
	waiting := g.with(second)
	p := waiting.begin(waiting.command("submit", "--tenant", "acme", "--id", "held", "--run-at", "+1h", "--reason", "a test of walls", "--wait", "Say OK"), "")
	g.eventuallyAt("acme", "held", "hold")
	g.say("tenants", "suspend", "acme", "--reason", "a test of walls").wants(t, exitDone, "in force")
	p.ended().wants(t, exitFailed, "the broker takes this login no more")
	up.stop()
}

// eventuallyAt waits until a request stands in a state.
func (g *ground) eventuallyAt(tenant, id, state string) {
	g.t.Helper()
	eventually(g.t, id+" is at "+state, func() bool {
		return strings.Contains(g.say("result", id, "--tenant", tenant).stdout, "at "+state)
	})
}

func TestAnonymousProducersAreKeptForOneTenantAlone(t *testing.T) {
	t.Parallel()
	g := newGround(t, quickSettings)
	up := g.up()
	url := up.ready().NATSURL
	var acme newTenant
	g.say("tenants", "add", "acme", "--keep-anonymous", "--json").read(t, &acme)
	g.say("tenants", "list").wants(t, exitDone, "producers of the tenant default alone")
	ask := func(tenant string) error {
		conn, err := nats.Connect(url)
		if err != nil {
			return err
		}
		defer conn.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		subject := messages.RequestSubject(messages.ClassStd, messages.Key{Tenant: tenant, ID: "x-" + nats.NewInbox()[7:]})
		answer, err := conn.RequestWithContext(ctx, subject, []byte(`{"prompt":"x","audit_reason":"a test of walls"}`))
		if err == nil && !strings.Contains(string(answer.Data), "FLOWGATE_INGRESS") {
			err = errors.New(string(answer.Data))
		}
		return err
	}
	if err := ask(anonymousTenant); err != nil {
		t.Error(err)
	}
	for _, tenant := range []string{"acme", "other"} {
		if ask(tenant) == nil {
			t.Errorf("a stranger is a producer of %s", tenant)
		}
	}
	g.say("tenants", "anonymous", "refuse").wants(t, exitDone, "connections without a credential are refused", "in force")
	if err := ask(anonymousTenant); !errors.Is(err, nats.ErrAuthorization) {
		t.Error(err)
	}
	g.say("tenants", "anonymous", "keep").wants(t, exitDone, "in force")
	if err := ask(anonymousTenant); err != nil {
		t.Error(err)
	}
	up.stop()
}

// aSeed is the secret of a credential; a public key can have its first letters anywhere, and is shorter.
var aSeed = regexp.MustCompile(`SU[A-Z2-7]{56}`)

func TestTenantsRefuseWhatIsWrong(t *testing.T) {
	t.Parallel()
	g := newGround(t, quickSettings)
	g.say("tenants", "add", "acme").wants(t, exitDone, "SU", "from the next `flowgate up` on")
	g.say("tenants", "add", "acme").wants(t, exitFailed, "exists already", "rotate acme")
	g.say("tenants", "add", "Acme").wants(t, exitUsage, "tenant")
	g.say("tenants", "add", "acme", "--credential", "a.b").wants(t, exitUsage, "credential")
	g.say("tenants", "add", "globex", "--out", g.file("there", nil)).wants(t, exitEnvironment, "exists already")
	g.say("tenants", "rotate", "globex").wants(t, exitFailed, "there is none of that name")
	g.say("tenants", "rotate", "acme", "--credential", "x").wants(t, exitFailed, "it has default")
	g.say("tenants", "suspend", "acme").wants(t, exitUsage, "--reason")
	g.say("tenants", "suspend", "acme", "--reason", strings.Repeat("x", 300)).wants(t, exitUsage, "200 bytes")
	g.say("tenants", "show", "nobody").wants(t, exitFailed, "there is none of that name")
	g.say("tenants", "anonymous", "perhaps").wants(t, exitUsage, "keep or refuse")
	b, err := tenants.Load(g.state)
	if err != nil || b.Version != 1 || len(b.Tenants) != 1 {
		t.Errorf("%+v: %v", b, err)
	}
	data, err := os.ReadFile(filepath.Join(g.state, "tenants.json"))
	if err != nil || !json.Valid(data) || aSeed.Match(data) {
		t.Errorf("%s: %v", data, err)
	}
	if err := os.WriteFile(filepath.Join(g.state, "tenants.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	g.say("tenants", "list").wants(t, exitEnvironment, "tenants.json")
	g.up().ended().wants(t, exitEnvironment, "tenants.json")
}

// Without its book a broker would let everybody in as a producer of every tenant.
func TestNothingStartsWithoutTheBookThatItHad(t *testing.T) {
	t.Parallel()
	g := newGround(t, quickSettings)
	g.say("tenants", "rotate", "acme").wants(t, exitFailed, "there is none of that name")
	g.say("tenants", "add", "acme").wants(t, exitDone)
	book := filepath.Join(g.state, "tenants.json")
	if err := os.Rename(book, book+".away"); err != nil {
		t.Fatal(err)
	}
	g.up().ended().wants(t, exitEnvironment, "tenants.json is missing", "Restore it", "tenants.lock")
	g.say("tenants", "list").wants(t, exitEnvironment, "tenants.json is missing")
	g.say("tenants", "config").wants(t, exitEnvironment, "tenants.json is missing")
	g.say("tenants", "anonymous", "keep").wants(t, exitEnvironment, "tenants.json is missing")
	if err := os.Rename(book+".away", book); err != nil {
		t.Fatal(err)
	}
	up := g.up()
	if conn, err := nats.Connect(up.ready().NATSURL); !errors.Is(err, nats.ErrAuthorization) {
		conn.Close()
		t.Errorf("without a credential: %v", err)
	}
	up.stop()
}
