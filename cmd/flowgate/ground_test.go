package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"flowgate/messages"
)

// ground is where processes of the product come and go.
type ground struct {
	t *testing.T
	// dir is for files, state is the state folder, settings the settings file.
	dir, state, settings string
	env                  []string
}

// quickSettings take any free port and give a dead worker's messages away soon.
const quickSettings = "flowgate:\n  listen: 127.0.0.1:0\n  nats: {connect_wait: 1s}\n  ack_wait: 2s\n  sync: interval\n"

func newGround(t *testing.T, settings string, env ...string) *ground {
	t.Helper()
	g := &ground{t: t, dir: t.TempDir(), state: stateFolder(t), env: env}
	g.settings = g.file("settings.yaml", []byte(settings))
	t.Cleanup(func() {
		if t.Failed() { // it is evidence, in place of that of the last time
			kept := filepath.Join(os.TempDir(), "flowgate-failed-"+strings.ReplaceAll(t.Name(), "/", "-"))
			t.Logf("the state is kept in %s: %v", kept, errors.Join(os.RemoveAll(kept), os.Rename(g.state, kept)))
		}
	})
	return g
}

// file writes a file of the ground and returns its path.
func (g *ground) file(name string, data []byte) string {
	g.t.Helper()
	path := filepath.Join(g.dir, name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		g.t.Fatal(err)
	}
	return path
}

// command is a process of the product, not yet started.
func (g *ground) command(args ...string) *exec.Cmd {
	g.t.Helper()
	own := []string{"--state", g.state}
	if !slices.Contains(args, "--config") {
		own = append(own, "--config", g.settings)
	}
	cmd := exec.Command(binary(g.t), append(own, args...)...) //nolint:gosec // the program under test
	cmd.Dir, cmd.Env = g.dir, environ(g.env...)
	return cmd
}

// say runs a command to its end.
func (g *ground) say(args ...string) ran { return g.tell("", args...) }

// tell runs a command with a standard input.
func (g *ground) tell(input string, args ...string) ran {
	g.t.Helper()
	return g.begin(g.command(args...), input).ended()
}

// process is a started process of the product.
type process struct {
	t        *testing.T
	cmd      *exec.Cmd
	out, err *printed
	done     chan struct{}
}

// begin starts a command; it does not outlive the test.
func (g *ground) begin(cmd *exec.Cmd, input string) *process {
	g.t.Helper()
	p := &process{t: g.t, cmd: cmd, out: &printed{}, err: &printed{}, done: make(chan struct{})}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), p.out, p.err
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		g.t.Fatal(err)
	}
	go func() {
		_ = cmd.Wait() // its code is read later
		close(p.done)
	}()
	g.t.Cleanup(func() {
		p.signal(syscall.SIGKILL)
		if <-p.done; g.t.Failed() {
			said := p.err.String()
			g.t.Logf("%v ended with code %d and said last:\n%s", cmd.Args[1:], cmd.ProcessState.ExitCode(), said[max(len(said)-4000, 0):])
		}
	})
	return p
}

func (p *process) signal(sig syscall.Signal) {
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Errorf("signalling: %v", err)
	}
}

// kill ends it as a loss of the machine would.
func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.done
}

func (p *process) running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// ended waits for the end.
func (p *process) ended() ran {
	p.t.Helper()
	return p.endedWithin(patience)
}

// endedWithin waits for the end of what takes its time.
func (p *process) endedWithin(most time.Duration) ran {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(most):
		p.t.Fatalf("%v does not end; it said %s%s", p.cmd.Args, p.out, p.err)
	}
	return ran{p.out.String(), p.err.String(), p.cmd.ProcessState.ExitCode()}
}

// until waits for a condition while the process runs; false means that the process ended first.
func (p *process) until(what string, condition func() bool) bool {
	p.t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	late := time.NewTimer(patience)
	defer late.Stop()
	for !condition() {
		select {
		case <-p.done:
			return condition()
		case <-late.C:
			p.t.Fatalf("waited in vain until %s; the process said %s%s", what, p.out, p.err)
		case <-tick.C:
		}
	}
	return true
}

// up starts `flowgate up` and does not wait for it.
func (g *ground) up(args ...string) *process {
	g.t.Helper()
	return g.begin(g.command(append([]string{"up", "--json"}, args...)...), "")
}

// ready is what `flowgate up --json` says when it is up.
type ready struct {
	NATSURL string `json:"nats_url"`
	Worker  string `json:"worker"`
	HTTPURL string `json:"http_url"`
}

// ready waits until it is up. A process that ends first fails the test.
func (p *process) ready() ready {
	p.t.Helper()
	var r ready
	if !p.until("flowgate is up", func() bool { return json.Unmarshal([]byte(p.out.String()), &r) == nil }) {
		p.t.Fatalf("flowgate up ended with code %d: %s", p.cmd.ProcessState.ExitCode(), p.err)
	}
	return r
}

// stop ends `flowgate up` as a supervisor does.
func (p *process) stop() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	if s := p.ended(); s.code != exitDone {
		p.t.Errorf("flowgate up ended with code %d on SIGTERM: %s", s.code, s.stderr)
	}
}

// producer connects as a stranger does: without credentials.
func producer(t *testing.T, url string) *nats.Conn {
	t.Helper()
	conn, err := nats.Connect(url, nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}

// wants checks how a command ended and that its words hold the given ones.
func (s ran) wants(t *testing.T, code int, words ...string) {
	t.Helper()
	if s.code != code {
		t.Errorf("exit code %d, want %d\n%s%s", s.code, code, s.stdout, s.stderr)
	}
	for _, w := range words {
		if !strings.Contains(s.stdout+s.stderr, w) {
			t.Errorf("%q is not said:\n%s%s", w, s.stdout, s.stderr)
		}
	}
}

// read decodes what a command printed with --json.
func (s ran) read(t *testing.T, v any) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(s.stdout))
	if err := d.Decode(v); err != nil {
		t.Fatalf("reading JSON: %v\n%s%s", err, s.stdout, s.stderr)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		t.Errorf("more than one document:\n%s", s.stdout)
	}
}

// result asks for a request's result once it has ended.
func (g *ground) result(id string, args ...string) messages.Result {
	g.t.Helper()
	var r messages.Result
	s := g.say(append([]string{"result", id, "--wait", "--json"}, args...)...)
	s.read(g.t, &r)
	return r
}

// eventually waits for a condition that no signal tells.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	eventuallyWithin(t, patience, what, condition)
}

func eventuallyWithin(t *testing.T, longest time.Duration, what string, condition func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), longest)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-ctx.Done():
			t.Fatal("waited in vain until " + what)
		case <-tick.C:
		}
	}
}

// lines reads a file of JSON lines; one that is not there, or empty, has none.
func (g *ground) lines(name string) []map[string]any {
	g.t.Helper()
	data, err := os.ReadFile(filepath.Join(g.dir, name)) //nolint:gosec // a file of the test
	if errors.Is(err, os.ErrNotExist) || err == nil && len(data) == 0 {
		return nil
	}
	if err != nil {
		g.t.Fatal(err)
	}
	var all []map[string]any
	for i, raw := range bytes.Split(bytes.TrimSuffix(data, []byte("\n")), []byte("\n")) {
		var line map[string]any
		if err := json.Unmarshal(raw, &line); err != nil {
			g.t.Fatal(fmt.Errorf("line %d of %s: %w", i+1, name, err))
		}
		all = append(all, line)
	}
	return all
}
