//go:build linux

package private

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// made returns the folder of a stopped server.
func made(t *testing.T) folder {
	t.Helper()
	server := run(t, Options{Dir: reach(t)})
	must(t, server.Stop())
	return server.place
}

// bare returns a postmaster that no launcher watches, unstarted.
func bare(t *testing.T, place folder, program string, args ...string) *exec.Cmd {
	t.Helper()
	bin, err := pickBinaries(t.Context(), "", place, candidates)
	must(t, err)
	must(t, openSocketDir(place.socket, bin.identity))
	server := append([]string{filepath.Join(bin.dir, "postgres")}, arguments(place, Options{})...)
	command := exec.Command(server[0], server[1:]...)
	if program != "" {
		command = exec.Command(program, append(args, server...)...)
	}
	attr, err := attributes(bin.identity)
	must(t, err)
	attr.Pdeathsig = 0
	command.SysProcAttr = attr
	command.Env = environment(os.Environ(), libraries(bin.dir))
	return command
}

func readyPID(place folder) int {
	lines, err := pidLines(place.pidFile())
	if err != nil || len(lines) < 8 || lines[7] != "ready" {
		return 0
	}
	pid, err := strconv.Atoi(lines[0])
	if err != nil {
		return 0
	}
	return pid
}

func TestLeftovers(t *testing.T) {
	t.Parallel()
	t.Run("of a killed initdb are removed", func(t *testing.T) {
		dir := reach(t)
		must(t, os.MkdirAll(filepath.Join(dir, "data.new", "base"), 0o700))
		server := run(t, Options{Dir: dir})
		ask(t, server, "select 'alive'")
		if _, err := os.Stat(filepath.Join(dir, "data.new")); err == nil {
			t.Error("data.new is left")
		}
	})
	t.Run("an orphan server is ended", func(t *testing.T) {
		place := made(t)
		must(t, bare(t, place, "sh", "-c", `"$0" "$@" 2>/dev/null &`).Run())
		eventually(t, "the orphan is ready", func() bool { return readyPID(place) != 0 })
		orphan := readyPID(place)
		t.Cleanup(func() { signalAll([]process{{pid: orphan, main: true}}, syscall.SIGKILL) })
		server := run(t, Options{Dir: place.root})
		ask(t, server, "select 'alive'")
		if _, dead := status(orphan); !dead {
			t.Error("the orphan lives")
		}
	})
	t.Run("a zombie postmaster is recognised", func(t *testing.T) {
		place := made(t)
		command := bare(t, place, "")
		must(t, command.Start())
		eventually(t, "the zombie is ready", func() bool { return readyPID(place) != 0 })
		must(t, command.Process.Kill())
		eventually(t, "the zombie is one", func() bool {
			_, dead := status(command.Process.Pid)
			return dead
		})
		if err := syscall.Kill(command.Process.Pid, 0); err != nil {
			t.Errorf("a zombie answers: %v", err)
		}
		ask(t, run(t, Options{Dir: place.root}), "select 'alive'")
		_ = command.Wait()
	})
}

func TestStalePID(t *testing.T) {
	t.Parallel()
	stranger := exec.Command("sleep", "600")
	must(t, stranger.Start())
	t.Cleanup(func() {
		_ = stranger.Process.Kill()
		_ = stranger.Wait()
	})
	other := run(t, Options{Dir: reach(t)})
	place := made(t)
	for name, pid := range map[string]int{
		"of a stranger":                 stranger.Process.Pid,
		"of a stranger, by single-user": -stranger.Process.Pid,
		"of a server elsewhere":         other.PID(),
		"of this process":               os.Getpid(),
		"of nobody":                     1 << 30,
	} {
		t.Run(name, func(t *testing.T) {
			stale := fmt.Sprintf("%d\n%s\n1700000000\n5432\n%s\n\n  1  2\nready   \n", pid, place.data(), place.socket)
			owner, err := place.owner()
			must(t, err)
			must(t, openSocketDir(place.socket, identity{uid: owner, gid: groupOf(owner)}))
			for _, path := range []string{place.pidFile(), filepath.Join(place.socket, ".s.PGSQL.5432.lock")} {
				must(t, os.WriteFile(path, []byte(stale), 0o600))
				must(t, os.Chown(path, owner, -1))
			}
			server := run(t, Options{Dir: place.root})
			ask(t, server, "select 'alive'")
			must(t, server.Stop())
		})
	}
	if _, dead := status(stranger.Process.Pid); dead {
		t.Error("the stranger was ended")
	}
	ask(t, other, "select 'alive'")
}

// TestKill kills the parent, the postmaster, or both, in the middle of writing, as often as FLOWGATE_KILLS says.
func TestKill(t *testing.T) {
	t.Parallel()
	rounds := 5
	if text := os.Getenv("FLOWGATE_KILLS"); text != "" {
		var err error
		rounds, err = strconv.Atoi(text)
		must(t, err)
	}
	dir := reach(t)
	place := folder{root: dir}
	acked := map[int]bool{}
	for round := range rounds {
		command, lines := helper(t, "write", dir)
		postmaster, rows := 0, 0
		kill := func() {
			if round%3 != 1 {
				_ = command.Process.Kill()
			}
			if round%3 != 0 {
				_ = syscall.Kill(postmaster, syscall.SIGKILL) // the death of the parent may have been faster
			}
		}
		for lines.Scan() {
			word, number, _ := strings.Cut(lines.Text(), " ")
			n, err := strconv.Atoi(number)
			if err != nil {
				t.Fatal("helper says: " + lines.Text())
			}
			if word == "postmaster" {
				postmaster = n
				continue
			}
			acked[n] = true
			if rows++; rows == 20+7*round%50 {
				kill()
			}
		}
		_ = command.Wait()
		if round%2 == 0 {
			eventually(t, "the server ends with its parent", func() bool {
				found, err := processesOn(place.data())
				return err == nil && len(found) == 0
			})
		}
		server := run(t, Options{Dir: dir, Durable: true})
		present := map[int]bool{}
		for text := range strings.FieldsSeq(ask(t, server, "select string_agg(n::text, ' ') from acked")) {
			n, err := strconv.Atoi(text)
			must(t, err)
			present[n] = true
		}
		for n := range acked {
			if !present[n] {
				t.Errorf("round %d: acknowledged row %d is lost", round, n)
			}
		}
		must(t, server.Stop())
	}
	t.Logf("%d kills, %d acknowledged rows", rounds, len(acked))
}
