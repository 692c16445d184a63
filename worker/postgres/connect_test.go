package postgres_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"flowgate/worker/postgres"
	"flowgate/worker/workertest"
)

// relay is a way to a database over TCP, with TLS as Postgres does it or without; it can fall silent.
type relay struct {
	database string
	tls      *tls.Config
	l        net.Listener
	work     sync.WaitGroup

	mu     sync.Mutex
	silent bool
	conns  []net.Conn
}

func newRelay(t *testing.T, database string, tls *tls.Config) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{database: database, tls: tls, l: l}
	r.work.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			r.work.Go(func() { r.serve(conn) })
		}
	})
	t.Cleanup(r.close)
	return r
}

func (r *relay) close() {
	_ = r.l.Close()
	r.mu.Lock()
	for _, conn := range r.conns {
		_ = conn.Close()
	}
	r.conns = nil
	r.mu.Unlock()
	r.work.Wait()
}

// silence lets nothing through any more, and closes nothing.
func (r *relay) silence() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.silent = true
}

func (r *relay) keep(conn net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.conns = append(r.conns, conn)
}

// url is the database's URL by way of the relay.
func (r *relay) url(t *testing.T, query string) string {
	t.Helper()
	u, err := url.Parse(r.database)
	if err != nil {
		t.Fatal(err)
	}
	u.Host, u.RawQuery = r.l.Addr().String(), query
	return u.String()
}

// sslRequest asks for TLS in the protocol of Postgres; one byte answers.
const sslRequest = "\x00\x00\x00\x08\x04\xd2\x16\x2f"

func (r *relay) serve(conn net.Conn) {
	r.keep(conn)
	if r.tls != nil {
		var asked [len(sslRequest)]byte
		if _, err := io.ReadFull(conn, asked[:]); err != nil || string(asked[:]) != sslRequest {
			return
		}
		if _, err := conn.Write([]byte("S")); err != nil {
			return
		}
		conn = tls.Server(conn, r.tls)
	}
	config, err := pgx.ParseConfig(r.database)
	if err != nil {
		return
	}
	network, address := pgconn.NetworkAddress(config.Host, config.Port)
	server, err := net.Dial(network, address)
	if err != nil {
		return
	}
	r.keep(server)
	r.work.Go(func() { r.copy(server, conn) })
	r.copy(conn, server)
	_ = conn.Close()
	_ = server.Close()
}

func (r *relay) copy(to, from net.Conn) {
	data := make([]byte, 32<<10)
	for {
		n, err := from.Read(data)
		r.mu.Lock()
		silent := r.silent
		r.mu.Unlock()
		if !silent && n > 0 {
			_, err = to.Write(data[:n])
		}
		if err != nil {
			return
		}
	}
}

// wantOpenFault opens in vain; the error is one line with these words and without the password.
func wantOpenFault(t *testing.T, url string, options postgres.Options, words ...string) {
	t.Helper()
	began := time.Now()
	_, err := postgres.Open(t.Context(), url, options)
	if err == nil {
		t.Fatal("no error")
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %s", took)
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

func TestOpenByTLS(t *testing.T) {
	t.Parallel()
	ours, theirs := workertest.NewAuthority(t), workertest.NewAuthority(t)
	pair, err := tls.LoadX509KeyPair(ours.Issue(t, "127.0.0.1"))
	if err != nil {
		t.Fatal(err)
	}
	r := newRelay(t, workertest.Database(t), &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12})
	query := func(mode, ca string) string { return url.Values{"sslmode": {mode}, "sslrootcert": {ca}}.Encode() }
	db, err := postgres.Open(t.Context(), r.url(t, query("verify-full", ours.File)), postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if n, err := db.CountOutcomes(t.Context(), "acme"); err != nil || n != 0 {
		t.Error(n, err)
	}
	db.Close()
	patient := postgres.Options{Retries: 1000} // what does not pass is not tried again
	wantOpenFault(t, r.url(t, query("verify-full", theirs.File)), patient, "unknown authority", "sslrootcert")
	named := strings.Replace(r.url(t, query("verify-full", ours.File)), "127.0.0.1", "localhost", 1)
	wantOpenFault(t, named, patient, "localhost", "certificate")
	wantOpenFault(t, r.url(t, query("verify-full", "/nowhere/rds.pem")), patient, "/nowhere/rds.pem")
	plain := newRelay(t, workertest.Database(t), nil)
	wantOpenFault(t, plain.url(t, query("verify-full", ours.File)), patient, "TLS", "sslmode")
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	database := workertest.Database(t)
	_, as := workertest.Role(t, database, "closed")
	u, err := url.Parse(as)
	if err != nil {
		t.Fatal(err)
	}
	missing := *u
	missing.Path += "_missing"
	wantOpenFault(t, missing.String(), postgres.Options{Retries: 1000}, "does not exist", "make the database first")
	wantOpenFault(t, "postgres://u:hunter2@127.0.0.1:1,[::1]:1/x", postgres.Options{Retries: 2, RetryDelay: time.Millisecond}, "127.0.0.1:1", "[::1]:1", "refused")
	wantOpenFault(t, "postgres://u:hunter2@127.0.0.1:port/x", postgres.Options{}, "reading the postgres url")
	wantOpenFault(t, "host=/nowhere password=hunter2 user=u", postgres.Options{}, "/nowhere")
	old := newListener(t, func(conn net.Conn) {
		_, _ = conn.Read(make([]byte, 1024))
		answer := bytes.NewBuffer(nil)
		answer.WriteString("R\x00\x00\x00\x08\x00\x00\x00\x00")                 // welcome
		answer.WriteString("S\x00\x00\x00\x19server_version\x0013.23\x00")      // 4 + 15 + 6
		answer.WriteString("K\x00\x00\x00\x0c\x00\x00\x00\x01\x00\x00\x00\x01") // its key
		answer.WriteString("Z\x00\x00\x00\x05I")                                // ready
		_, _ = conn.Write(answer.Bytes())
		_, _ = io.Copy(io.Discard, conn)
	})
	wantOpenFault(t, "postgres://u@"+old+"/x?sslmode=disable", postgres.Options{Retries: 1000}, "Postgres 13.23", "14 or later")
	if _, err := postgres.MigrationStatus(t.Context(), "postgres://u@"+old+"/x?sslmode=disable", postgres.Options{}); err == nil || !strings.Contains(err.Error(), "13.23") {
		t.Error(err)
	}
}

// newListener accepts connections one by one.
func newListener(t *testing.T, serve func(net.Conn)) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	work.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serve(conn)
			_ = conn.Close()
		}
	})
	t.Cleanup(func() { _ = l.Close(); work.Wait() })
	return l.Addr().String()
}

func TestADatabaseThatNeverAnswers(t *testing.T) {
	t.Parallel()
	silent := newListener(t, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
	wantOpenFault(t, "postgres://u:hunter2@"+silent+"/x", postgres.Options{ConnectTimeout: 100 * time.Millisecond, Retries: 1, RetryDelay: time.Millisecond}, "timeout")

	r := newRelay(t, workertest.Database(t), nil)
	db, err := postgres.Open(t.Context(), r.url(t, "sslmode=disable"), postgres.Options{MaxConns: 1, AnswerTimeout: 5 * time.Second, FreeTimeout: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	r.silence()
	asked, answered := make(chan struct{}), make(chan error, 1)
	go func() {
		close(asked)
		answered <- db.Ping(t.Context())
	}()
	<-asked
	// The only connection is in use: others do not wait for ever.
	for {
		_, err := db.CountOutcomes(t.Context(), "acme")
		if err == nil {
			t.Fatal("a silent database has answered")
		}
		if strings.Contains(err.Error(), "connection_pool_size") {
			break
		}
		if !strings.Contains(err.Error(), "has not answered within 5s") { // it came before the other
			t.Fatal(err)
		}
	}
	if err := <-answered; err == nil || !strings.Contains(err.Error(), "has not answered within 5s") && !strings.Contains(err.Error(), "connection_pool_size") {
		t.Error(err)
	}
	r.close()
	db.Close()
}

func TestADatabaseThatIsStartingIsWaitedFor(t *testing.T) {
	t.Parallel()
	r := newRelay(t, workertest.Database(t), nil)
	tries := 0
	l := newListener(t, func(conn net.Conn) {
		if tries++; tries == 1 {
			_, _ = conn.Write([]byte("E\x00\x00\x00\x30SFATAL\x00C57P03\x00Mthe database is starting up\x00\x00"))
			return
		}
		r.serve(conn)
	})
	at := strings.Replace(r.url(t, "sslmode=disable"), r.l.Addr().String(), l, 1)
	db, err := postgres.Open(t.Context(), at, postgres.Options{MaxConns: 1, Retries: 1, RetryDelay: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Ping(t.Context()); err != nil || tries < 2 {
		t.Error(errors.Join(err), tries)
	}
	db.Close()
	r.close()
}
