package broker_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"flowgate/messages"
	"flowgate/worker/broker"
)

// external is a server of somebody else, run from a file with the accounts of walls.
type external struct {
	*walled

	ns   *server.Server
	file string
}

// write writes the server's configuration.
func (e *external) write() {
	e.t.Helper()
	dir := filepath.Dir(e.file)
	text := fmt.Sprintf("listen: \"127.0.0.1:-1\"\nserver_name: theirs\njetstream { store_dir: %q }\n", filepath.Join(dir, "store")) +
		e.walls.Config(`users: [ { user: admin, password: admin } ]`)
	if err := os.WriteFile(e.file, []byte(text), 0o600); err != nil {
		e.t.Fatal(err)
	}
}

func newExternal(t *testing.T) *external {
	t.Helper()
	e := &external{walled: tenantsOf(t), file: filepath.Join(t.TempDir(), "nats.conf")}
	e.write()
	opts, err := server.ProcessConfigFile(e.file)
	if err != nil {
		t.Fatal(err)
	}
	opts.NoSigs, opts.NoLog = true, true
	if e.ns, err = server.NewServer(opts); err != nil {
		t.Fatal(err)
	}
	e.ns.Start()
	t.Cleanup(func() { e.ns.Shutdown(); e.ns.WaitForShutdown() })
	if !e.ns.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server is not ready")
	}
	e.url = e.ns.ClientURL()
	e.connect(func() *nats.Conn {
		conn, err := nats.Connect(e.url, nats.UserInfo("admin", "admin"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(conn.Close)
		return conn
	}())
	return e
}

func TestTheSameWallsInTheConfigurationOfAServer(t *testing.T) {
	t.Run("requests and wake-ups cross", func(t *testing.T) {
		e := newExternal(t)
		first, second := e.submit(e.acme, "acme", "same"), e.submit(e.globex, "globex", "same")
		e.stored("acme", "same", first.Sequence)
		e.stored("globex", "same", second.Sequence)
		e.listens("flowgate.result.globex.>", ">")
	})
	t.Run("reply subjects stay outside", func(t *testing.T) {
		newExternal(t).replies(messages.RequestSubject(messages.ClassStd, globexKey()), messages.ResultSubject(globexKey()),
			messages.WorkSubject(0, messages.StateDone, messages.ClassStd, globexKey()), messages.ReplaySubject(messages.ClassStd, globexKey(), 1))
	})
	t.Run("what is not a tenant's is refused", func(t *testing.T) {
		newExternal(t).publishes(messages.RequestSubject(messages.ClassStd, globexKey()), messages.GetResultSubject(globexKey()),
			messages.ReplaySubject(messages.ClassStd, globexKey(), 1), "$JS.API.STREAM.PURGE."+broker.StreamIngress, "$SYS.REQ.SERVER.PING")
	})
	t.Run("nobody comes in without a credential", func(t *testing.T) {
		e := newExternal(t)
		if conn, err := nats.Connect(e.url); !errors.Is(err, nats.ErrAuthorization) {
			conn.Close()
			t.Error(err)
		}
	})
}

func TestAServerFollowsItsConfigurationWhenItReadsItAnew(t *testing.T) {
	e := newExternal(t)
	e.submit(e.acme, "acme", "before")
	public, login := key(t)
	e.walls.Tenants[0].Keys = nil
	e.walls.Tenants = append(e.walls.Tenants, broker.Tenant{Name: "initech", Keys: []broker.Key{{Name: "initech.loader", Public: public}}})
	e.logins["initech.loader"] = login
	e.write()
	for range 2 { // the imports of an account that is new work from the second time on
		if err := e.ns.Reload(); err != nil {
			t.Fatal(err)
		}
	}
	e.closed(e.acme, "acme.loader")
	e.submit(e.as("initech.loader"), "initech", "new")
	e.submit(e.globex, "globex", "still")
	e.stored("acme", "before", 1)
}
