package broker_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"

	"flowgate/worker/broker"
	"flowgate/worker/link"
	"flowgate/worker/workertest"
)

func writeFile(t *testing.T, name string, data []byte, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// stranger is a server that somebody else runs, with a configuration of theirs; the first address is 127.0.0.1.
func stranger(t *testing.T, config string) (url string) {
	t.Helper()
	opts := &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true, StoreDir: t.TempDir()}
	if err := opts.ProcessConfigString(config); err != nil {
		t.Fatal(err)
	}
	ns, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	ns.Start()
	t.Cleanup(func() { ns.Shutdown(); ns.WaitForShutdown() })
	if !ns.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server is not ready")
	}
	return "nats://" + ns.Addr().String()
}

// wantConn connects and asks something.
func wantConn(t *testing.T, a broker.Access) {
	t.Helper()
	conn, err := broker.Connect(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.FlushTimeout(10 * time.Second); err != nil {
		t.Error(err)
	}
}

// wantFault connects in vain; the error is one line with these words and without the secret.
func wantFault(t *testing.T, a broker.Access, words ...string) {
	t.Helper()
	conn, err := broker.Connect(t.Context(), a)
	if err == nil {
		conn.Close()
		t.Fatal("no error")
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%q is not said: %v", w, err)
		}
	}
	if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "\n") {
		t.Errorf("a secret or a second line: %v", err)
	}
}

func TestConnectByPassword(t *testing.T) {
	url := stranger(t, `authorization { user: flow, password: hunter2 }`)
	wantConn(t, broker.Access{URL: url, User: "flow", Password: "hunter2"})
	wantConn(t, broker.Access{URL: strings.Replace(url, "nats://", "nats://flow:hunter2@", 1)})
	wantConn(t, broker.Access{URL: "nats://127.0.0.1:1 , " + url, User: "flow", Password: "hunter2"})
	wantFault(t, broker.Access{URL: strings.Replace(url, "nats://", "nats://flow:hunter22@", 1)}, url, "refuses user and password")
	wantFault(t, broker.Access{URL: url, Wait: time.Minute}, "refuses user and password") // at once
}

func TestConnectByNKey(t *testing.T) {
	pair, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	public, err := pair.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	seed, err := pair.Seed()
	if err != nil {
		t.Fatal(err)
	}
	url := stranger(t, fmt.Sprintf("authorization { users: [ { nkey: %s } ] }", public))
	wantConn(t, broker.Access{URL: url, NKeyFile: writeFile(t, "seed", seed, 0o600)})
	wantFault(t, broker.Access{URL: url, NKeyFile: writeFile(t, "seed", []byte("hunter2"), 0o600)}, "seed")
	wantFault(t, broker.Access{URL: url, NKeyFile: t.TempDir()}, "is a directory")
	wantFault(t, broker.Access{URL: url, NKeyFile: "/nowhere/seed"}, "/nowhere/seed")
}

func TestConnectByJWT(t *testing.T) {
	pair := func(create func() (nkeys.KeyPair, error)) (nkeys.KeyPair, string) {
		p, err := create()
		if err != nil {
			t.Fatal(err)
		}
		public, err := p.PublicKey()
		if err != nil {
			t.Fatal(err)
		}
		return p, public
	}
	encode := func(claims jwt.Claims, by nkeys.KeyPair) string {
		token, err := claims.Encode(by)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	operator, operatorKey := pair(nkeys.CreateOperator)
	account, accountKey := pair(nkeys.CreateAccount)
	user, userKey := pair(nkeys.CreateUser)
	url := stranger(t, fmt.Sprintf("operator: %q\nresolver: MEMORY\nresolver_preload: { %s: %q }",
		encode(jwt.NewOperatorClaims(operatorKey), operator), accountKey, encode(jwt.NewAccountClaims(accountKey), operator)))
	seed, err := user.Seed()
	if err != nil {
		t.Fatal(err)
	}
	creds, err := jwt.FormatUserConfig(encode(jwt.NewUserClaims(userKey), account), seed)
	if err != nil {
		t.Fatal(err)
	}
	wantConn(t, broker.Access{URL: url, CredentialsFile: writeFile(t, "creds", creds, 0o600)})
	wantFault(t, broker.Access{URL: url}, "refuses user and password")
}

func TestConnectByTLS(t *testing.T) {
	ours, theirs := workertest.NewAuthority(t), workertest.NewAuthority(t)
	cert, key := ours.Issue(t, "127.0.0.1")
	config := func(cert, key string) string {
		return fmt.Sprintf("tls { cert_file: %q, key_file: %q, ca_file: %q, verify: true }", cert, key, ours.File)
	}
	url := strings.Replace(stranger(t, config(cert, key)), "nats://", "tls://", 1)
	mine, secret := ours.Issue(t, "worker")
	all := broker.Access{URL: url, CAFile: ours.File, CertFile: mine, KeyFile: secret}
	wantConn(t, all)
	change := func(by func(*broker.Access)) broker.Access { a := all; by(&a); return a }
	wantFault(t, change(func(a *broker.Access) { a.CAFile = "" }), "unknown authority", "NATS_CA")
	wantFault(t, change(func(a *broker.Access) { a.CAFile = theirs.File }), "unknown authority")
	wantFault(t, change(func(a *broker.Access) { a.CAFile = "/nowhere/ca.pem" }), "/nowhere/ca.pem")
	wantFault(t, change(func(a *broker.Access) { a.CertFile, a.KeyFile = "", "" }), "certificate", "NATS_CERT")
	wantFault(t, change(func(a *broker.Access) { a.URL = strings.Replace(url, "127.0.0.1", "localhost", 1) }), "localhost", "certificate")
	wantFault(t, broker.Access{URL: strings.Replace(stranger(t, "debug: false"), "nats://", "tls://", 1)}, "speaks no TLS")
}

// listener is a server of a protocol of the test's own.
func listener(t *testing.T, serve func(net.Conn)) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serve(conn)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return "nats://" + l.Addr().String()
}

func TestConnectRefusesAnOldServer(t *testing.T) {
	old := func(version string) string {
		return listener(t, func(conn net.Conn) {
			fmt.Fprintf(conn, "INFO {\"server_id\":\"x\",\"version\":%q,\"headers\":true,\"max_payload\":1048576}\r\n", version)
			lines := bufio.NewScanner(conn)
			for lines.Scan() {
				if lines.Text() == "PING" {
					fmt.Fprint(conn, "PONG\r\n")
				}
			}
		})
	}
	wantFault(t, broker.Access{URL: old("2.11.9")}, "2.11.9", "2.12 or later")
	wantFault(t, broker.Access{URL: old("1.4.1")}, "1.4.1", "2.12 or later")
	wantFault(t, broker.Access{URL: old("none")}, `"none"`, "2.12 or later")
	wantConn(t, broker.Access{URL: old("2.12.0-RC.1")})
	wantConn(t, broker.Access{URL: old("3.0.0")})
}

func TestConnectEndsInTime(t *testing.T) {
	t.Parallel()
	silent := listener(t, func(conn net.Conn) { _, _ = bufio.NewReader(conn).ReadByte() })
	wantFault(t, broker.Access{URL: silent, Password: "hunter2"}, silent)
	wantFault(t, broker.Access{URL: listener(t, func(conn net.Conn) { fmt.Fprint(conn, "HTTP/1.1 400 Bad Request\r\n\r\n") })}, "no NATS server")
	wantFault(t, broker.Access{URL: "nats://u:hunter2@127.0.0.1:1,nats://u:hunter2@[::1]:1", Wait: 100 * time.Millisecond},
		"nats://127.0.0.1:1, nats://[::1]:1", "nobody accepts")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := broker.Connect(ctx, broker.Access{URL: "nats://127.0.0.1:1", Wait: time.Hour}); err == nil {
		t.Error("no error")
	}
}

func TestABrokerThatIsStartingIsWaitedFor(t *testing.T) {
	t.Parallel()
	l, err := link.Listen("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	at := l.Addr().String()
	done := make(chan struct{})
	go func() {
		defer close(done)
		wantConn(t, broker.Access{URL: "nats://" + at, Wait: 30 * time.Second})
	}()
	first, err := l.Accept() // the first try is in vain
	if err != nil {
		t.Fatal(err)
	}
	_ = first.Close()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	_, port, _ := strings.Cut(at, ":")
	stranger(t, "port: "+port)
	<-done
}

func TestIPv6(t *testing.T) {
	if l, err := net.Listen("tcp", "[::1]:0"); err != nil {
		t.Skip("this machine has no IPv6: " + err.Error())
	} else if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	url := stranger(t, `host: "::1"`)
	if !strings.HasPrefix(url, "nats://[::1]:") {
		t.Fatal(url)
	}
	wantConn(t, broker.Access{URL: url})
}
