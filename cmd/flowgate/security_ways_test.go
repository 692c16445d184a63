package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"flowgate/configs"
	"flowgate/messages"
	"flowgate/worker/actions"
	"flowgate/worker/security"
	"flowgate/worker/tenants"
	"flowgate/worker/workertest"
)

// creds is a file of JWT credentials that ends at a moment.
func creds(t *testing.T, ends time.Time) []byte {
	t.Helper()
	account, err := nkeys.CreateAccount()
	if err != nil {
		t.Fatal(err)
	}
	user, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	public, _ := user.PublicKey()
	seed, _ := user.Seed()
	claims := jwt.NewUserClaims(public)
	claims.Expires = ends.Unix()
	token, err := claims.Encode(account)
	if err != nil {
		t.Fatal(err)
	}
	data, err := jwt.FormatUserConfig(token, seed)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestWhatOpensABrokerOfYoursIsLookedAt: files and addresses as a worker has them, at a server that it did not start.
func TestWhatOpensABrokerOfYoursIsLookedAt(t *testing.T) {
	t.Parallel()
	g := newGround(t, quickSettings)
	now := time.Now()
	certificate, private := workertest.NewAuthority(t).Issue(t, "flowgate") // for an hour
	key, err := tenants.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := nats.Connect(workertest.Server(t).URL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	s := configs.Default()
	s.Flowgate.NATS.CredentialsFile = g.file("worker.creds", creds(t, now.Add(-time.Hour)))
	s.Flowgate.NATS.CertFile, s.Flowgate.NATS.NKeyFile = certificate, g.file("worker.nk", []byte(key.Seed+"\n"))
	s.S3.Endpoint, s.Flowgate.Backends.OpenAI.BaseURL, s.AWS.Bedrock.Endpoint = "http://s3.example:9000", "http://127.0.0.1:11434/v1", "https://bedrock.example"
	n := &node{settings: s, conn: conn, dbURL: "postgres://u:p@db.example/flowgate?sslmode=require&sslcert=" + certificate + "&sslkey=" + private}
	a := &audited{node: n, env: func(name string) (string, bool) {
		if name != "MLFLOW_TRACKING_TOKEN" {
			return "", false
		}
		return "a.token.b", true
	}}

	l := &security.Look{}
	ends := security.Expiry(append(a.brokerKeys(l), a.tokens()...), now)
	ends.Add(l)
	c := ends.Conclude("ends")
	if said := fmt.Sprint(c); c.State != security.Fail || len(c.Findings) != 2 || c.LookedAt != 3 || !strings.Contains(said, "credentials file "+s.Flowgate.NATS.CredentialsFile) || !strings.Contains(said, certificate) {
		t.Errorf("%+v", c)
	}
	ways := a.lookAtTransport(t.Context(), now).Conclude("ways")
	if said := fmt.Sprint(ways.Findings); ways.LookedAt != 5 || len(ways.Findings) != 2 || !strings.Contains(said, "S3") || !strings.Contains(said, "who answers at db.example is not verified") {
		t.Errorf("%+v", ways)
	}
	if k := a.keepers(tenants.Book{Tenants: []tenants.Tenant{{Name: "acme", Suspended: &tenants.Suspension{}, Credentials: []tenants.Credential{{Name: "x", PublicKey: key.Public}}}}}); k.Own != key.Public || len(k.Shut) != 1 || k.Shut[0].Name != "acme.x" {
		t.Errorf("%+v", k)
	}
	if files := fmt.Sprint(a.files()); !strings.Contains(files, private) || !strings.Contains(files, "worker.nk") || strings.Contains(files, certificate) {
		t.Error(files)
	}
	n.root = g.state
	for tenant, told := range map[string]bool{"default": true, "acme": false} {
		o := actions.Order{Key: messages.Key{Tenant: tenant, ID: "x"}}
		if err := a.tells(o); (err == nil) != told {
			t.Errorf("%s: %v", tenant, err)
		}
		o.Agreement.Tenants = []string{tenant}
		if err := a.tells(o); err != nil {
			t.Errorf("%s, named by the agreement: %v", tenant, err)
		}
	}
	g.say("tenants", "add", "default").wants(t, exitDone)
	if err := a.tells(actions.Order{Key: messages.Key{Tenant: "default", ID: "x"}}); err == nil {
		t.Error("a tenant with credentials is told")
	}
	n.settings.Flowgate.NATS.CredentialsFile, n.settings.Flowgate.NATS.CertFile = g.file("no.creds", []byte("none")), g.file("no.pem", nil)
	l = &security.Look{}
	if found := a.brokerKeys(l); len(found) != 0 || l.Conclude("unread").State != security.NotLookedAt {
		t.Errorf("%+v", found)
	}
}
