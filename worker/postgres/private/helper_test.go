package private

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"
)

// helperMode makes the test binary play another process on the folder in helperDir.
const (
	helperMode = "FLOWGATE_PRIVATE_HELPER"
	helperDir  = "FLOWGATE_PRIVATE_DIR"
)

func TestMain(m *testing.M) {
	switch os.Getenv(helperMode) {
	case "write":
		os.Exit(writeUntilKilled(os.Getenv(helperDir)))
	case "cornered":
		_, err := start(context.Background(), Options{Dir: os.Getenv(helperDir)}, withoutNamespaces)
		fmt.Println(err)
		os.Exit(0)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if kept.dir != "" {
			_ = os.RemoveAll(kept.dir) // a folder for temporary files
		}
		os.Exit(code)
	}))
}

// kept is the folder with the template of servers whose initdb is not what a test is about.
var kept struct {
	sync.Once

	dir string
	err error
}

// withoutNamespaces plays a machine that forbids them.
func withoutNamespaces(owner int) ([]identity, error) {
	ids, err := candidates(owner)
	return slices.DeleteFunc(ids, func(id identity) bool { return id.mode == inNamespace }), err
}

// writeUntilKilled says "postmaster <pid>" and then the number of every row once its commit is acknowledged.
func writeUntilKilled(dir string) int {
	ctx := context.Background()
	server, err := Start(ctx, Options{Dir: dir, Durable: true})
	if err != nil {
		fmt.Println("start:", err)
		return 1
	}
	fmt.Println("postmaster", server.PID())
	conn, err := pgx.Connect(ctx, server.URL(""))
	if err != nil {
		fmt.Println("connect:", err)
		return 1
	}
	if _, err := conn.Exec(ctx, "create table if not exists acked (n serial primary key)"); err != nil {
		fmt.Println("create:", err)
		return 1
	}
	for {
		var n int
		if err := conn.QueryRow(ctx, "insert into acked default values returning n").Scan(&n); err != nil {
			<-server.Done() // the postmaster was killed
			return 0
		}
		fmt.Println("row", n)
	}
}

// helper starts the test binary in a mode of TestMain and returns its output, line by line.
func helper(t *testing.T, mode, dir string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	command := exec.Command(self(t))
	command.Env = append(os.Environ(), helperMode+"="+mode, helperDir+"="+dir)
	command.Stderr = os.Stderr
	out, err := command.StdoutPipe()
	must(t, err)
	must(t, command.Start())
	return command, bufio.NewScanner(out)
}

func self(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	must(t, err)
	return path
}

// reach returns a fresh folder that another user may pass: where namespaces are forbidden, root runs the server as one.
func reach(t *testing.T) string {
	t.Helper()
	return open(t, t.TempDir())
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually fails the test when the condition does not come true.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	late := time.NewTimer(30 * time.Second)
	defer late.Stop()
	for !condition() {
		select {
		case <-late.C:
			t.Fatal("timed out waiting: " + what)
		case <-tick.C:
		}
	}
}

// run starts a server for the length of the test, with data copied from a template where the test has none of its own.
func run(t *testing.T, opts Options) *Server {
	t.Helper()
	kept.Do(func() { kept.dir, kept.err = os.MkdirTemp("", "flowgate-templates-") }) //nolint:usetesting // it outlives the test
	must(t, kept.err)
	opts.Templates = cmp.Or(opts.Templates, kept.dir)
	server, err := Start(t.Context(), opts)
	must(t, err)
	t.Cleanup(func() { _ = server.Stop() })
	return server
}

// ask runs a statement on a new connection and returns its one text answer, if any.
func ask(t *testing.T, server *Server, statement string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), server.URL(""))
	must(t, err)
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	rows, err := conn.Query(t.Context(), statement, pgx.QueryExecModeSimpleProtocol)
	must(t, err)
	defer rows.Close()
	answer := ""
	for rows.Next() {
		must(t, rows.Scan(&answer))
	}
	must(t, rows.Err())
	return answer
}

func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", parts)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q lacks %q", err, part)
		}
	}
}

// nothingRuns fails when a server process works in the folder.
func nothingRuns(t *testing.T, dir string) {
	t.Helper()
	root, err := resolve(dir)
	must(t, err)
	for _, path := range []string{folder{root: root}.data(), folder{root: root}.fresh()} {
		found, err := processesOn(path)
		must(t, err)
		if len(found) > 0 {
			t.Errorf("still running on %s: %+v", path, found)
		}
	}
}
