package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"flowgate/worker/postgres/private"
	"flowgate/worker/workertest"
)

// patience bounds every wait of these tests; no wait that succeeds takes nearly as long.
const patience = 2 * time.Minute

// testsAtOnce is how many tests run at the same time where -parallel says nothing: nearly all of them wait, for deadlines, dead workers'
// messages and processes, and hardly any is busy.
const testsAtOnce = 6

func TestMain(m *testing.M) {
	if err := runMore(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := workertest.Main(m)
	if err := removeBinary(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// runMore lets more tests run at the same time than there are cores.
func runMore() error {
	flag.Parse()
	told := false
	flag.Visit(func(f *flag.Flag) { told = told || f.Name == "test.parallel" })
	if told {
		return nil
	}
	return flag.Set("test.parallel", strconv.Itoa(testsAtOnce))
}

// built is the program under test, built once when first asked for.
var built struct {
	sync.Once

	dir string
	err error
}

// binary returns the path of the program under test.
func binary(t testing.TB) string {
	t.Helper()
	built.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "flowgate-bin-"); built.err != nil { //nolint:usetesting // it outlives the test
			return
		}
		out, err := exec.Command("go", "build", "-ldflags", "-w", "-o", built.dir, ".").CombinedOutput()
		if err != nil {
			built.err = fmt.Errorf("%w: %s", err, out)
		}
	})
	if built.err != nil {
		t.Fatalf("building flowgate: %v", built.err)
	}
	return filepath.Join(built.dir, "flowgate")
}

func removeBinary() error {
	if built.dir == "" {
		return nil
	}
	return os.RemoveAll(built.dir)
}

// stateFolder returns a fresh state folder that Postgres can reach under another user. It is removed after the test, once
// the Postgres in it has ended.
func stateFolder(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "flowgate-test-") //nolint:usetesting // another user cannot reach that of the test
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // Postgres runs under another user
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for deadline := time.Now().Add(patience); postgresIn(dir) && time.Now().Before(deadline); {
			<-time.After(20 * time.Millisecond)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("removing the state folder: %v", err)
		}
	})
	return dir
}

// postgresIn tells whether a Postgres runs in a state folder.
func postgresIn(dir string) bool {
	data, err := os.ReadFile(filepath.Join(dir, "postgres", "data", "postmaster.pid"))
	if err != nil {
		return false
	}
	line, _, _ := strings.Cut(string(data), "\n")
	pid, err := strconv.Atoi(line)
	return err == nil && pid > 0 && !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
}

// environ is this process's environment without what steers flowgate and nats, and with more: KEY=VALUE each.
func environ(more ...string) []string {
	steering := []string{"FLOWGATE_", "NATS_", "DATABASE_URL=", "ANTHROPIC_", "OPENAI_", "AWS_", "MLFLOW_", "XDG_STATE_HOME="}
	kept := slices.DeleteFunc(os.Environ(), func(entry string) bool {
		return slices.ContainsFunc(steering, func(prefix string) bool { return strings.HasPrefix(entry, prefix) })
	})
	if cache, err := private.CacheDir(); err == nil { // with the Postgres that was fetched, also where a test has a home of its own
		kept = append(kept, "FLOWGATE_CACHE="+cache)
	}
	return append(append(kept, "FLOWGATE_HTTP=127.0.0.1:0"), more...)
}

// instance is a running `flowgate up`.
type instance struct {
	// URL is that of the broker's listener; anybody may publish requests there.
	URL string
	// State is the state folder.
	State string
	// PID is that of the process.
	PID int

	cmd    *exec.Cmd
	stderr *printed
	done   chan struct{} // closed when the process has been waited for
	err    error         // how it ended; valid after done
}

// start runs `flowgate up` on a free port in a state folder (see stateFolder) and returns when it is ready. Further
// arguments follow; KEY=VALUE ones go to its environment. It is stopped after the test, unless the test ended it before. The
// test may start another in the same folder after Kill or Stop.
func start(t testing.TB, dir string, args ...string) *instance {
	t.Helper()
	var env, flags []string
	for _, arg := range args {
		if name, _, found := strings.Cut(arg, "="); found && !strings.HasPrefix(name, "-") {
			env = append(env, arg)
		} else {
			flags = append(flags, arg)
		}
	}
	stdout := &printed{whole: make(chan struct{})}
	i := &instance{State: dir, stderr: &printed{}, done: make(chan struct{})}
	i.cmd = exec.Command(binary(t), append([]string{"up", "--json", "--state", dir, "--listen", "127.0.0.1:0"}, flags...)...) //nolint:gosec // the program under test
	i.cmd.Env, i.cmd.Stdout, i.cmd.Stderr, i.cmd.WaitDelay = environ(env...), stdout, i.stderr, patience
	if err := i.cmd.Start(); err != nil {
		t.Fatalf("starting flowgate: %v", err)
	}
	i.PID = i.cmd.Process.Pid
	go func() {
		i.err = i.cmd.Wait()
		close(i.done)
	}()
	t.Cleanup(func() { i.end(t) })
	select {
	case <-stdout.whole:
	case <-i.done:
		t.Fatalf("flowgate up ended before it was ready: %v\n%s", i.err, i.stderr)
	case <-time.After(patience):
		t.Fatalf("flowgate up is not ready after %s\n%s", patience, i.stderr)
	}
	var ready struct {
		URL string `json:"nats_url"`
	}
	if err := json.Unmarshal([]byte(stdout.String()), &ready); err != nil {
		t.Fatalf("reading what flowgate up printed: %v", err)
	}
	i.URL = ready.URL
	return i
}

// end is the cleanup: nothing is left running.
func (i *instance) end(t testing.TB) {
	t.Helper()
	select {
	case <-i.done:
	default:
		i.Stop(t)
	}
	if t.Failed() {
		t.Logf("standard error of flowgate up:\n%s", i.stderr)
	}
}

// Kill ends the process as kill -9 does and returns when it is gone. Its Postgres shuts down by itself then.
func (i *instance) Kill(t testing.TB) {
	t.Helper()
	if err := i.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatalf("killing flowgate: %v", err)
	}
	<-i.done
}

// Stop asks the process to drain and returns when it is gone; anything but exit code 0 is a fault.
func (i *instance) Stop(t testing.TB) {
	t.Helper()
	if err := i.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatalf("stopping flowgate: %v", err)
	}
	select {
	case <-i.done:
		if i.err != nil {
			t.Errorf("flowgate up ended with %v\n%s", i.err, i.stderr)
		}
	case <-time.After(patience):
		_ = i.cmd.Process.Kill()
		t.Errorf("flowgate up did not drain within %s\n%s", patience, i.stderr)
	}
}

// Conn connects to the listener as anybody may: without credentials.
func (i *instance) Conn(t testing.TB, options ...nats.Option) *nats.Conn {
	t.Helper()
	conn, err := nats.Connect(i.URL, append([]nats.Option{nats.MaxReconnects(-1), nats.ReconnectWait(50 * time.Millisecond)}, options...)...)
	if err != nil {
		t.Fatalf("connecting to flowgate: %v", err)
	}
	t.Cleanup(conn.Close)
	return conn
}

// ran is how a command ended.
type ran struct {
	stdout, stderr string
	code           int
}

// flowgate runs a command of the program on a state folder to its end, whatever its exit code.
func flowgate(t testing.TB, dir string, args ...string) ran {
	t.Helper()
	return flowgateIn(t, dir, nil, args...)
}

// flowgateIn is flowgate with an environment: KEY=VALUE each.
func flowgateIn(t testing.TB, dir string, env []string, args ...string) ran {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary(t), args...) //nolint:gosec // the program under test
	cmd.Env = environ(append([]string{"FLOWGATE_STATE=" + dir}, env...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("running flowgate %s: %v", strings.Join(args, " "), err)
	}
	return ran{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// printed collects what a process prints; reading while it prints is safe.
type printed struct {
	// whole, where it is not nil, is closed when the text is one whole JSON document.
	whole chan struct{}

	mu     sync.Mutex
	text   bytes.Buffer
	closed bool
}

func (p *printed) Write(data []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.text.Write(data)
	if p.whole != nil && !p.closed && json.Valid(p.text.Bytes()) {
		p.closed = true
		close(p.whole)
	}
	return len(data), nil
}

func (p *printed) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}
