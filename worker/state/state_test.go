package state_test

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"flowgate/worker/state"
)

// holdDir makes this test binary a process that holds a folder until its input ends.
const holdDir = "FLOWGATE_TEST_HOLD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(holdDir); dir != "" {
		hold(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

func hold(dir string) {
	f, err := state.Open(dir)
	if err == nil {
		err = f.Publish(state.Info{NATSURL: "nats://127.0.0.1:4222"})
	}
	if err != nil {
		_, _ = os.Stdout.WriteString(err.Error() + "\n")
		return
	}
	_, _ = os.Stdout.WriteString(f.WorkerID() + "\n")
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	_ = f.Close()
}

// holder is another process that holds a folder.
type holder struct {
	*exec.Cmd
	workerID string
	end      func()
}

func startHolder(t *testing.T, dir string) *holder {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "up", "--password=secret")
	cmd.Env = append(os.Environ(), holdDir+"="+dir)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	h := &holder{Cmd: cmd, workerID: strings.TrimSpace(line)}
	h.end = sync.OnceFunc(func() {
		if err := in.Close(); err != nil {
			t.Error(err)
		}
		_ = cmd.Wait()
	})
	t.Cleanup(func() { h.end() })
	return h
}

func (h *holder) kill(t *testing.T) {
	t.Helper()
	if err := h.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = h.Wait()
	h.end = func() {}
}

func open(t *testing.T, dir string) *state.Folder {
	t.Helper()
	f, err := state.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

func TestOneProcessHasTheFolder(t *testing.T) {
	t.Run("another process is refused and told who has it", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "a", "state")
		h := startHolder(t, dir)
		_, err := state.Open(dir)
		var held *state.HeldError
		if !errors.As(err, &held) || held.PID != h.Process.Pid {
			t.Fatalf("error is %v", err)
		}
		for _, want := range []string{dir, strconv.Itoa(h.Process.Pid), filepath.Base(os.Args[0]) + " up)"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q does not name %q", err, want)
			}
		}
		if strings.Contains(err.Error(), "secret") {
			t.Errorf("%q tells flags", err)
		}
		h.end()
		if open(t, dir).Unclean() {
			t.Error("the former process closed it")
		}
	})
	t.Run("this process is refused too", func(t *testing.T) {
		dir := t.TempDir()
		open(t, dir)
		_, err := state.Open(dir)
		var held *state.HeldError
		if !errors.As(err, &held) || held.PID != os.Getpid() {
			t.Fatalf("error is %v", err)
		}
	})
	t.Run("of many at once one gets it", func(t *testing.T) {
		dir := t.TempDir()
		got := make([]*state.Folder, 8)
		var wg sync.WaitGroup
		for i := range got {
			wg.Go(func() { got[i], _ = state.Open(dir) })
		}
		wg.Wait()
		n := 0
		for _, f := range got {
			if f != nil {
				n++
				if err := f.Close(); err != nil {
					t.Error(err)
				}
			}
		}
		if n != 1 {
			t.Fatalf("%d have it", n)
		}
	})
	t.Run("a look does not keep anybody out", func(t *testing.T) {
		dir := t.TempDir()
		open(t, dir)
		stop := make(chan struct{})
		var wg sync.WaitGroup
		other := t.TempDir()
		for range 2 {
			wg.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
						_, _ = state.Read(other)
					}
				}
			})
		}
		for range 50 {
			f, err := state.Open(other)
			if err != nil {
				t.Error(err)
				break
			}
			if err := f.Close(); err != nil {
				t.Error(err)
			}
		}
		close(stop)
		wg.Wait()
	})
}

func TestKilledProcess(t *testing.T) {
	dir := t.TempDir()
	h := startHolder(t, dir)
	if info, err := state.Read(dir); err != nil || info.PID != h.Process.Pid || info.WorkerID != h.workerID {
		t.Fatal(info, err)
	}
	h.kill(t)
	if _, err := state.Read(dir); !errors.Is(err, state.ErrNotRunning) {
		t.Fatalf("what it left is read: %v", err)
	}
	f := open(t, dir)
	if !f.Unclean() {
		t.Error("the exit was not clean")
	}
	if !f.Earlier(h.workerID) {
		t.Errorf("%s is not known dead by %s", h.workerID, f.WorkerID())
	}
	if _, err := state.Read(dir); !errors.Is(err, state.ErrNotRunning) {
		t.Fatalf("before Publish: %v", err)
	}
}

func TestGeneration(t *testing.T) {
	dir := t.TempDir()
	var ids []string
	for n := range uint64(3) {
		f, err := state.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if f.Generation() != n+1 || f.Unclean() {
			t.Errorf("generation %d, unclean %v", f.Generation(), f.Unclean())
		}
		for _, id := range ids {
			if !f.Earlier(id) {
				t.Errorf("%s is not earlier than %s", id, f.WorkerID())
			}
		}
		folder := strings.TrimSuffix(f.WorkerID(), "-"+strconv.FormatUint(n+1, 10))
		for _, id := range []string{f.WorkerID(), folder + "-9", folder + "-0", folder + "-01", folder + "-x", folder + "-", folder, "", "other-1"} {
			if f.Earlier(id) {
				t.Errorf("%s is earlier than %s", id, f.WorkerID())
			}
		}
		ids = append(ids, f.WorkerID())
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("a copy of the folder is another folder", func(t *testing.T) {
		other := t.TempDir()
		if err := os.CopyFS(filepath.Join(other, "copy"), os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		f := open(t, filepath.Join(other, "copy"))
		for _, id := range ids {
			if f.Earlier(id) {
				t.Errorf("%s is earlier than %s", id, f.WorkerID())
			}
		}
	})
	t.Run("a spoilt counter is an error that names the file", func(t *testing.T) {
		path := filepath.Join(dir, "generation")
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := state.Open(dir); err == nil || !strings.Contains(err.Error(), path) {
			t.Fatalf("error is %v", err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		open(t, dir)
	})
}

func TestPublish(t *testing.T) {
	dir := t.TempDir()
	if _, err := state.Read(dir); !errors.Is(err, state.ErrNotRunning) {
		t.Fatal(err)
	}
	if _, err := state.Read(filepath.Join(dir, "none")); !errors.Is(err, state.ErrNotRunning) {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, ".run.json.flowgate-tmp-1"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := open(t, dir)
	want := state.Info{NATSURL: "nats://x", OperatorUser: "operator", OperatorPassword: "p", DatabaseURL: "postgres://x"}
	if err := f.Publish(want); err != nil {
		t.Fatal(err)
	}
	got, err := state.Read(dir)
	if err != nil || got.StartedAt.IsZero() {
		t.Fatal(got, err)
	}
	want.PID, want.WorkerID, want.StartedAt = os.Getpid(), f.WorkerID(), got.StartedAt
	if got != want {
		t.Fatalf("got %+v, want %+v", got, want)
	}
	info, err := os.Stat(f.Path("run.json"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatal(info.Mode(), err)
	}
	secret, err := f.Secret("nats")
	if err != nil || secret != filepath.Join(f.Dir(), "nats") {
		t.Fatal(secret, err)
	}
	if info, err = os.Stat(secret); err != nil || info.Mode().Perm() != 0o700 {
		t.Fatal(info.Mode(), err)
	}
	for range 2 {
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := state.Read(dir); !errors.Is(err, state.ErrNotRunning) {
		t.Fatal(err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*run.json*"))
	if err != nil || len(left) != 0 {
		t.Fatal(left, err)
	}
}

func TestDefaultDir(t *testing.T) {
	t.Setenv("HOME", "/home/x")
	for _, c := range []struct{ own, xdg, want string }{
		{"/a", "/b", "/a"},
		{"", "/b", "/b/flowgate"},
		{"", "relative", "/home/x/.local/state/flowgate"},
		{"", "", "/home/x/.local/state/flowgate"},
	} {
		t.Setenv("FLOWGATE_STATE", c.own)
		t.Setenv("XDG_STATE_HOME", c.xdg)
		if got, err := state.DefaultDir(); err != nil || got != c.want {
			t.Errorf("got %s, want %s: %v", got, c.want, err)
		}
	}
}

func TestWorkersTakeTheFirstFreeFolder(t *testing.T) {
	root := t.TempDir()
	var all []*state.Folder
	for n := 1; n <= 3; n++ {
		f, err := state.OpenWorker(root)
		if err != nil {
			t.Fatal(err)
		}
		if f.Dir() != state.WorkerDir(root, n) {
			t.Errorf("worker %d got %s", n, f.Dir())
		}
		all = append(all, f)
	}
	if err := all[1].Close(); err != nil {
		t.Fatal(err)
	}
	again, err := state.OpenWorker(root)
	if err != nil || again.Dir() != all[1].Dir() || !again.Earlier(all[1].WorkerID()) || again.Earlier(all[0].WorkerID()) {
		t.Errorf("got %+v, %v", again, err)
	}
	whole, err := state.Open(root) // the root is nobody's yet
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range append(all, again, whole) {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}
