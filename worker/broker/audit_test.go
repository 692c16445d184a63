package broker_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"flowgate/worker/broker"
	"flowgate/worker/workertest"
)

// said is a breach in words.
func said(all []broker.Breach) string {
	var words []string
	for _, b := range all {
		words = append(words, strings.TrimSpace(fmt.Sprint(b.Who, " of ", b.Account, " ", b.Does, " ", strings.Join(b.Subjects, " "))))
	}
	return strings.Join(words, "; ")
}

func TestTheDoorsOfTheEmbeddedServerAreWalls(t *testing.T) {
	srv := workertest.Server(t)
	doors, err := srv.Doors()
	if err != nil || !doors.Open || doors.OpenTo != "PRODUCERS" || doors.NoListener || doors.Host != "127.0.0.1" {
		t.Errorf("without tenants: %+v, %v", doors, err)
	}
	if all := (broker.Walls{}).Breaches(doors); len(all) > 0 {
		t.Errorf("without tenants: %s", said(all))
	}
	w := newWalled(t)
	w.walls.Anonymous = "acme"
	if err := w.srv.Rebuild(w.walls); err != nil {
		t.Fatal(err)
	}
	doors, err = w.srv.Doors()
	users := 0
	for _, a := range doors.Accounts {
		users += len(a.Users)
	}
	if err != nil || !doors.Open || doors.OpenTo != "TENANT_acme" || users != 4 {
		t.Errorf("with tenants: %+v, %v", doors, err)
	}
	if all := w.walls.Breaches(doors); len(all) > 0 {
		t.Errorf("with tenants: %s", said(all))
	}
}

func TestHolesInTheConfigurationOfAServerAreFound(t *testing.T) {
	w := tenantsOf(t)
	acme := w.walls.Tenants[0].Keys[0]
	good := w.walls.Config("users: [ { user: admin, password: secret } ]")
	for name, c := range map[string]struct {
		from, to string
		want     string
	}{
		"as it is printed":                  {},
		"no permissions":                    {"# acme.loader\n", "{ user: anna, password: secret }\n", "anna of TENANT_acme subscribe >; anna of TENANT_acme publish >"},
		"everything":                        {"# acme.loader\n", "{ user: anna, password: secret, permissions: { publish: \"flowgate.request.*.acme.*\", subscribe: \">\" } }\n", "anna of TENANT_acme subscribe >"},
		"a deny list is no allow list":      {"# acme.loader\n", "{ user: anna, password: secret, permissions: { publish: \"flowgate.request.*.acme.*\", subscribe: { deny: \"x\" } } }\n", "anna of TENANT_acme subscribe >"},
		"narrower than what it is given":    {"# acme.loader\n", "{ user: anna, password: secret, permissions: { publish: \"flowgate.request.rt.acme.*\", subscribe: \"_INBOX.anna.> q\" } }\n", ""},
		"a neighbour's results":             {`"flowgate.result.acme.>", "_INBOX.>"] } }`, `"flowgate.result.acme.>", "flowgate.result.*.>"] } }`, "acme.loader of TENANT_acme subscribe flowgate.result.*.>"},
		"a tenant in flowgate's account":    {"users: [ { user: admin", "users: [ { nkey: " + acme.Public + " }, { user: admin", "acme.loader of FLOWGATE account"},
		"a neighbour's results, imported":   {`{ stream: { account: FLOWGATE, subject: "flowgate.result.acme.*" } }`, `{ stream: { account: FLOWGATE, subject: "flowgate.result.globex.*" } }`, "TENANT_acme of TENANT_acme import flowgate.result.globex.*"},
		"an export to every account":        {", accounts: [TENANT_acme] }", " }", "FLOWGATE of FLOWGATE export flowgate.request.*.acme.*"},
		"somebody who is of no tenant":      {"user: admin", "user: anna, password: x }, { user: admin", ""},
		"a user of the account of nobody's": {"accounts {\n", "accounts {\n OTHER { users: [ { user: o, password: o } ] }\n", ""},
	} {
		text := good
		if c.from != "" {
			if text = strings.Replace(good, c.from, c.to, 1); text == good {
				t.Fatalf("%s: the configuration has no %q:\n%s", name, c.from, good)
			}
		}
		if strings.Contains(name, "neighbour's results, imported") { // it must be one that the server takes
			text = strings.Replace(text, `"flowgate.result.globex.*", accounts: [TENANT_globex]`, `"flowgate.result.globex.*", accounts: [TENANT_globex, TENANT_acme]`, 1)
		}
		if strings.Contains(name, "flowgate's account") { // a key stands once
			at := strings.LastIndex(text, "{ nkey: "+acme.Public)
			end := at + strings.Index(text[at:], "] } } }") + len("] } } }")
			text = text[:at] + text[end:]
		}
		doors, err := broker.ReadDoors(write(t, text))
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, text)
			continue
		}
		if got := said(w.walls.Breaches(doors)); got != c.want || doors.Open {
			t.Errorf("%s: found %q, want %q; open: %t", name, got, c.want, doors.Open)
		}
	}
}

func TestAnOpenServerIsSeenByItsConfiguration(t *testing.T) {
	for text, want := range map[string]string{
		"listen: 127.0.0.1:-1": "open to $G at 127.0.0.1", "listen: 0.0.0.0:4222": "open to $G at ", "authorization { user: a, password: b }": "closed at ",
		"authorization { token: b }": "closed at ",
		"accounts { A { users: [ {user: a, password: b} ] } }\nno_auth_user: a": "open to A at ",
	} {
		d, err := broker.ReadDoors(write(t, text))
		got := "closed at " + d.Host
		if d.Open {
			got = "open to " + d.OpenTo + " at " + d.Host
		}
		if err != nil || got != want || d.Encrypted {
			t.Errorf("%q: %s, want %s: %v", text, got, want, err)
		}
	}
	for _, text := range []string{"authorization { token: $A_SECRET_THAT_IS_NOT_SET }", "jetstream { secret-word", "tls { cert_file: nowhere }"} {
		if _, err := broker.ReadDoors(write(t, text)); !errors.Is(err, broker.ErrConfigUnread) || strings.Contains(err.Error(), "secret-word") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "nats.conf")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
