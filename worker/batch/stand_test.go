package batch_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"flowgate/worker/batch"
	"flowgate/worker/broker"
	"flowgate/worker/workertest"
)

const tenant = "acme"

// stand is a broker with the topology, a gateway, and a folder for files.
type stand struct {
	srv     *broker.Server
	options broker.Options
	conn    *nats.Conn
	js      jetstream.JetStream
	gateway *gateway
	folder  string
}

// setup starts everything but the gateway's work.
func setup(t *testing.T) *stand {
	t.Helper()
	s := &stand{folder: t.TempDir(), options: broker.Options{
		Dir: t.TempDir(), Listen: "127.0.0.1:0", Operator: broker.Credentials{Password: workertest.OperatorPassword},
	}}
	s.start(t)
	s.options.Listen = strings.TrimPrefix(s.srv.URL(), "nats://")
	t.Cleanup(func() { s.srv.Shutdown() })
	conn, js := s.connect(t)
	workertest.Topology(t, js, nil)
	s.gateway = newGateway(conn, js)
	s.conn, s.js = s.connect(t)
	return s
}

func (s *stand) start(t *testing.T) {
	t.Helper()
	var err error
	if s.srv, err = broker.Start(t.Context(), s.options); err != nil {
		t.Fatalf("starting a server: %v", err)
	}
}

// connect connects over the network, so that the connection outlives the server.
func (s *stand) connect(t *testing.T) (*nats.Conn, jetstream.JetStream) {
	t.Helper()
	conn, err := nats.Connect(s.srv.URL(), s.srv.Operator(), nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond))
	if err != nil {
		t.Fatalf("connecting: %v", err)
	}
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatalf("making a JetStream context: %v", err)
	}
	return conn, js
}

// job is a job over the lines, which are written to a file first.
func (s *stand) job(t *testing.T, lines ...string) batch.Job {
	t.Helper()
	path := filepath.Join(s.folder, "input.jsonl")
	write(t, path, strings.Join(lines, "\n")+"\n")
	f, err := batch.Open(path, batch.Options{Tenant: tenant})
	if err != nil {
		t.Fatalf("opening the batch: %v", err)
	}
	t.Cleanup(func() { closed(t, f) })
	return s.jobOf(f)
}

func (s *stand) jobOf(f *batch.File) batch.Job {
	return batch.Hurry(batch.Job{
		Conn: s.conn, JS: s.js, File: f, BatchID: "b-" + f.Digest()[:12], Tenant: tenant,
		Output: filepath.Join(s.folder, "out.jsonl"), Errors: filepath.Join(s.folder, "err.jsonl"),
	})
}

func closed(t *testing.T, f *batch.File) {
	t.Helper()
	if err := f.Close(); err != nil {
		t.Errorf("closing the batch: %v", err)
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return string(data)
}

// run runs a job that must end well.
func run(t *testing.T, job batch.Job) batch.Summary {
	t.Helper()
	sum, err := batch.Run(t.Context(), job)
	if err != nil {
		t.Fatalf("running the batch: %v", err)
	}
	if !sum.Complete() {
		t.Fatalf("the summary says that the batch is not complete: %+v", sum)
	}
	checkFiles(t, job)
	return sum
}

// checkFiles fails unless the two files have exactly one line for each line of the job, and nothing is left beside them.
func checkFiles(t *testing.T, job batch.Job) {
	t.Helper()
	seen := map[string]int{}
	for _, path := range []string{job.Output, job.Errors} {
		for _, line := range lines(t, path) {
			var v struct {
				ID       string  `json:"id"`
				CustomID *string `json:"custom_id"`
			}
			if err := json.Unmarshal([]byte(line), &v); err != nil {
				t.Fatalf("%s has a line that is no JSON: %q", path, line)
			}
			seen[strings.TrimPrefix(v.ID, "batch_req_")]++
		}
		if _, err := os.Stat(path + batch.Partial); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s was left behind: %v", path+batch.Partial, err)
		}
	}
	for i := range job.File.Len() {
		id := batch.RequestID(job.BatchID, job.File.Line(i).Number)
		if seen[id] != 1 {
			t.Errorf("%s has %d result lines, must have 1", id, seen[id])
		}
		delete(seen, id)
	}
	if len(seen) > 0 {
		t.Errorf("result lines of nothing that was asked: %v", seen)
	}
}

func lines(t *testing.T, path string) []string {
	t.Helper()
	content := strings.TrimSuffix(read(t, path), "\n")
	if content == "" {
		return nil
	}
	return strings.Split(content, "\n")
}

// stored is how many requests the broker ever took.
func (s *stand) stored(t *testing.T) uint64 {
	t.Helper()
	stream, err := s.js.Stream(t.Context(), broker.StreamIngress)
	if err != nil {
		t.Fatal(err)
	}
	return stream.CachedInfo().State.LastSeq
}

// openAI is a line of an OpenAI batch file.
func openAI(id, content string) string {
	return fmt.Sprintf(`{"custom_id":%q,"method":"POST","url":"/v1/chat/completions","body":{"model":"m-1","max_tokens":9,`+
		`"messages":[{"role":"user","content":%q}],"metadata":{"audit_reason":"a test","purpose":"none"}}}`, id, content)
}

// many is n lines, of which some are denied, fail or are partial.
func many(n int) []string {
	all := make([]string, n)
	for i := range all {
		content := "hello"
		switch i % 10 {
		case 3:
			content = "please deny"
		case 6:
			content = "please fail"
		case 9:
			content = "be partial"
		}
		all[i] = openAI(fmt.Sprintf("c-%d", i), content)
	}
	return all
}

// compact is JSON without its spaces.
func compact(t *testing.T, s string) string {
	t.Helper()
	var b bytes.Buffer
	if err := json.Compact(&b, []byte(s)); err != nil {
		t.Fatalf("compacting %q: %v", s, err)
	}
	return b.String()
}
