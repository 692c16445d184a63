//go:build linux

package private

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func asRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root has a choice of identities")
	}
}

// namespaces skips a test where this process may make none, as in a chroot; there the others run with a changed user.
func namespaces(t *testing.T) {
	t.Helper()
	if _, err := output(t.Context(), shownAs(identity{}, identity{uid: 65534, gid: 65534}), "true"); err != nil {
		t.Skip("user namespaces are forbidden here: " + err.Error())
	}
}

func TestRoot(t *testing.T) {
	t.Parallel()
	asRoot(t)
	t.Run("keeps its files in a namespace", func(t *testing.T) {
		namespaces(t)
		server := run(t, Options{Dir: t.TempDir()}) // closed to others, as root's home is
		owner, err := server.place.owner()
		must(t, err)
		if owner != 0 {
			t.Errorf("data belongs to uid %d", owner)
		}
	})
	t.Run("changes user when namespaces are forbidden, and again on every later start", func(t *testing.T) {
		place := made(t)
		stand, err := account()
		must(t, err)
		server, err := start(t.Context(), Options{Dir: place.root}, withoutNamespaces)
		must(t, err)
		ask(t, server, "select 'alive'")
		must(t, server.Stop())
		if owner, err := place.owner(); err != nil || owner != stand.uid {
			t.Errorf("data belongs to uid %d, error %v", owner, err)
		}
		ask(t, run(t, Options{Dir: place.root}), "select 'alive'")
	})
	t.Run("changes user for a new folder too", func(t *testing.T) {
		server, err := start(t.Context(), Options{Dir: open(t, t.TempDir())}, withoutNamespaces)
		must(t, err)
		ask(t, server, "select 'alive'")
		must(t, server.Stop())
	})
	t.Run("names the folder that the other user may not pass", func(t *testing.T) {
		_, err := start(t.Context(), Options{Dir: t.TempDir()}, withoutNamespaces)
		wantError(t, err, "may not pass", "/var/lib")
	})
	t.Run("says one sentence when nothing is allowed", func(t *testing.T) {
		namespaces(t) // one in which no user can be changed to
		command := exec.Command(self(t))
		command.Env = append(os.Environ(), helperMode+"=cornered", helperDir+"="+t.TempDir())
		command.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 1}},
		}
		out, err := command.CombinedOutput()
		must(t, err)
		wantError(t, errors.New(string(out)), "refuses to run as root", "neither", "run as an ordinary user")
	})
}

// TestOrdinaryUser runs tests of this file's neighbours again as somebody else.
func TestOrdinaryUser(t *testing.T) {
	t.Parallel()
	asRoot(t)
	for _, user := range []struct {
		name  string
		uid   uint32
		tests string
	}{
		{"nobody", 65534, "^TestStart$/cold|^TestAnothersData$|^TestLeftovers$|^TestKill$"},
		{"an id without a name", 54321, "^TestStart$/cold|^TestAnothersData$"},
	} {
		t.Run(user.name, func(t *testing.T) {
			uid := user.uid
			if user.uid != 65534 {
				namespaces(t) // in one, an id without a name gets one, which initdb insists on
			}
			dir := open(t, t.TempDir())
			must(t, os.Chown(dir, int(uid), int(uid)))
			binary, err := os.ReadFile(self(t))
			must(t, err)
			program := filepath.Join(dir, "private.test")
			must(t, os.WriteFile(program, binary, 0o755))
			command := exec.Command(program, "-test.v", "-test.run="+user.tests)
			command.Dir = dir
			cache, err := CacheDir()
			must(t, err)
			command.Env = append(os.Environ(), "FLOWGATE_CACHE="+cache, "TMPDIR="+dir, "HOME="+dir, "FLOWGATE_KILLS=2")
			command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
			out, err := command.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if !strings.Contains(string(out), "--- PASS: TestAnothersData") {
				t.Errorf("not run as another user:\n%s", out)
			}
		})
	}
}

func TestAnothersData(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root takes anybody's data; TestOrdinaryUser runs this as somebody else")
	}
	_, err := candidates(0)
	wantError(t, err, "belongs to uid 0", "run it as the owner")
}
