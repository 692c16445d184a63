//go:build linux

package private

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// repository is a package source of this machine, made of real packages.
type repository struct {
	dir, index string
}

// content are the files of a package: path to text, or to a folder of this machine that begins with a slash.
type content map[string]string

func newRepository(t *testing.T) *repository {
	t.Helper()
	for _, tool := range []string{"apt-get", "dpkg-deb"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip("no distribution with apt: Ensure refuses there, see TestFetchNeedsApt")
		}
	}
	return &repository{dir: open(t, t.TempDir())}
}

// add builds a package. The index is that of a real source: sizes and checksums.
func (r *repository) add(t *testing.T, name, version, depends string, files content) {
	t.Helper()
	root := t.TempDir()
	must(t, os.Chmod(root, 0o755))
	arch := strings.TrimSpace(said(t, "dpkg", "--print-architecture"))
	control := fmt.Sprintf("Package: %s\nVersion: %s\nArchitecture: %s\nMaintainer: nobody <nobody@example.com>\nDepends: %s\nDescription: %s\n", name, version, arch, depends, name)
	control = strings.Replace(control, "Depends: \n", "", 1)
	files = maps.Clone(files)
	files["DEBIAN/control"] = control
	for path, text := range files {
		target := filepath.Join(root, path)
		must(t, os.MkdirAll(filepath.Dir(target), 0o755))
		if strings.HasPrefix(text, "/") {
			said(t, "cp", "-rL", text, target)
			continue
		}
		must(t, os.WriteFile(target, []byte(text), 0o755))
	}
	file := fmt.Sprintf("%s_%s_%s.deb", name, version, arch)
	said(t, "dpkg-deb", "-Znone", "--root-owner-group", "--build", root, filepath.Join(r.dir, file))
	data, err := os.ReadFile(filepath.Join(r.dir, file))
	must(t, err)
	sum := sha256.Sum256(data)
	r.index += fmt.Sprintf("%sFilename: ./%s\nSize: %d\nSHA256: %s\n\n", control, file, len(data), hex.EncodeToString(sum[:]))
	must(t, os.WriteFile(filepath.Join(r.dir, "Packages"), []byte(r.index), 0o644))
}

func said(t *testing.T, program string, args ...string) string {
	t.Helper()
	out, err := exec.Command(program, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", program, args, err, out)
	}
	return string(out)
}

// fetcher fetches from r into a cache of its own and remembers what it said.
func (r *repository) fetcher(t *testing.T) (f Fetch, cache string, sentences func() string) {
	t.Helper()
	cache = filepath.Join(open(t, t.TempDir()), "cache")
	t.Setenv("FLOWGATE_CACHE", cache)
	list := filepath.Join(t.TempDir(), "sources.list")
	must(t, os.WriteFile(list, []byte("deb [trusted=yes] file:"+r.dir+" ./\n"), 0o600))
	var mu sync.Mutex
	var all []string
	f = Fetch{
		settings: fmt.Sprintf("Dir::Etc::sourcelist %q;\nDir::Etc::sourceparts \"/dev/null\";\n", list),
		Say: func(s string) {
			mu.Lock()
			defer mu.Unlock()
			all = append(all, s)
		},
	}
	return f, cache, func() string {
		mu.Lock()
		defer mu.Unlock()
		return strings.Join(all, "\n")
	}
}

// small is a repository of a server that only tells its version, and only when its library is found.
func small(t *testing.T) *repository {
	t.Helper()
	r := newRepository(t)
	script := func(name string) string {
		return "#!/bin/sh\nfor d in $(echo $LD_LIBRARY_PATH | tr : ' '); do\n  [ -e $d/libflowgatetest.so.1 ] && echo '" + name + " (PostgreSQL) 77.1' && exit 0\ndone\n" +
			"echo 'libflowgatetest.so.1 is not found' >&2\nexit 1\n"
	}
	r.add(t, "postgresql-77", "77.1-1", "libflowgatetest1, flowgatetest-common, libllvmflowgatetest", content{
		"usr/lib/postgresql/77/bin/postgres": script("postgres"), "usr/lib/postgresql/77/bin/initdb": script("initdb"),
		"usr/lib/postgresql/77/lib/llvmjit.so": "jit", "usr/lib/postgresql/77/lib/bitcode/x.bc": "jit",
	})
	r.add(t, "libflowgatetest1", "1:2.0-1", "", content{"usr/lib/any-linux-gnu/libflowgatetest.so.1": "a library"})
	r.add(t, "flowgatetest-common", "1.0", "", content{"usr/bin/flowgatetest": "set-up around the server"})
	r.add(t, "libllvmflowgatetest", "1.0", "", content{"usr/lib/any-linux-gnu/libllvm.so": "a compiler"})
	r.add(t, "postgresql-12", "12.1-1", "", content{"usr/lib/postgresql/12/bin/postgres": "too old"})
	return r
}

// empty tells whether the cache holds nothing but its lock.
func empty(t *testing.T, cache string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(cache, "postgres"))
	must(t, err)
	for _, e := range entries {
		if e.Name() != ".lock" {
			t.Errorf("the cache holds %s", e.Name())
		}
	}
}

func TestFetch(t *testing.T) {
	r := small(t)
	t.Run("unpacks the server and its libraries, says so, and is found from then on", func(t *testing.T) {
		f, cache, sentences := r.fetcher(t)
		must(t, os.MkdirAll(filepath.Join(cache, "postgres", unfinished+"killed", "root"), 0o755))
		bin, err := f.fetch(t.Context())
		must(t, err)
		wantError(t, fmt.Errorf("%s", sentences()), "nothing will be installed", "FLOWGATE_FETCH_POSTGRES=0", "postgresql-77 77.1-1", "1 packages", " MB", cache)
		m, err := readManifest(topOf(bin))
		must(t, err)
		if want := []string{"libflowgatetest1=1:2.0-1", "postgresql-77=77.1-1"}; !slices.Equal(slices.Sorted(slices.Values(m.Packages)), want) {
			t.Errorf("unpacked %v, want %v", m.Packages, want)
		}
		if _, err := os.Stat(filepath.Join(bin, "..", "lib", "llvmjit.so")); err == nil {
			t.Error("what serves jit alone is kept")
		}
		if entries, err := os.ReadDir(filepath.Join(cache, "postgres")); err != nil || len(entries) != 2 {
			t.Errorf("the cache holds %v, want the lock and one folder", entries)
		}
		if found := fetchedBins(); !slices.Equal(found, []string{bin}) {
			t.Errorf("found %v, want %s", found, bin)
		}
		again, err := f.fetch(t.Context())
		if must(t, err); again != bin || strings.Count(sentences(), "Fetching") != 1 {
			t.Errorf("fetched again: %s", sentences())
		}
	})
	t.Run("two at once fetch once", func(t *testing.T) {
		f, _, sentences := r.fetcher(t)
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() {
				if _, err := f.fetch(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		if both.Wait(); strings.Count(sentences(), "Fetching") != 1 {
			t.Errorf("not once: %s", sentences())
		}
	})
	t.Run("interrupted leaves nothing", func(t *testing.T) {
		f, cache, _ := r.fetcher(t)
		ctx, cancel := context.WithCancel(t.Context())
		say := f.Say
		f.Say = func(s string) {
			if say(s); strings.HasPrefix(s, "Fetching") {
				cancel()
			}
		}
		_, err := f.fetch(ctx)
		wantError(t, err, "context canceled")
		empty(t, cache)
	})
	t.Run("data decides on the version", func(t *testing.T) {
		f, cache, _ := r.fetcher(t)
		f.Dir = t.TempDir()
		must(t, os.MkdirAll(filepath.Join(f.Dir, "data"), 0o700))
		must(t, os.WriteFile(filepath.Join(f.Dir, "data", "PG_VERSION"), []byte("16\n"), 0o600))
		_, err := f.fetch(t.Context())
		wantError(t, err, "data is of Postgres 16", "PG_BINDIR")
		empty(t, cache)
	})
	t.Run("a folder that the operator named is not replaced", func(t *testing.T) {
		f, cache, _ := r.fetcher(t)
		t.Setenv("PG_BINDIR", t.TempDir())
		_, err := Ensure(t.Context(), f)
		wantError(t, err, "no Postgres binaries found", "--fetch-postgres")
		if _, err := os.Stat(cache); err == nil {
			t.Error("a cache was made")
		}
	})
}

func TestFetchRefuses(t *testing.T) {
	t.Run("a package that is not the one of the index", func(t *testing.T) {
		r := small(t)
		debs, err := filepath.Glob(filepath.Join(r.dir, "libflowgatetest1_*.deb"))
		must(t, err)
		data, err := os.ReadFile(debs[0])
		must(t, err)
		data[len(data)-1] ^= 1
		must(t, os.WriteFile(debs[0], data, 0o644))
		f, cache, _ := r.fetcher(t)
		_, err = f.fetch(t.Context())
		wantError(t, err, "fetching Postgres", "apt-get", "Hash Sum mismatch")
		empty(t, cache)
	})
	t.Run("a server that does not run", func(t *testing.T) {
		r := newRepository(t)
		broken := "#!/bin/sh\necho libgone.so.1: cannot open shared object file >&2\nexit 127\n"
		r.add(t, "postgresql-78", "78.1-1", "", content{"usr/lib/postgresql/78/bin/postgres": broken, "usr/lib/postgresql/78/bin/initdb": broken})
		f, cache, _ := r.fetcher(t)
		_, err := f.fetch(t.Context())
		wantError(t, err, "trying what was fetched", "libgone.so.1")
		empty(t, cache)
	})
	t.Run("sources that have none but an old server", func(t *testing.T) {
		r := newRepository(t)
		r.add(t, "postgresql-12", "12.1-1", "", content{"usr/share/x": "too old"})
		f, cache, _ := r.fetcher(t)
		_, err := f.fetch(t.Context())
		wantError(t, err, "offer no Postgres of version 14 or newer")
		empty(t, cache)
	})
	t.Run("a cache of somebody else", func(t *testing.T) {
		asRoot(t)
		f, cache, _ := small(t).fetcher(t)
		bin, err := f.fetch(t.Context())
		must(t, err)
		must(t, os.Chown(filepath.Join(topOf(bin), manifestFile), 54321, 54321))
		if found := fetchedBins(); len(found) > 0 {
			t.Errorf("%v in %s would be run", found, cache)
		}
	})
}

func TestFetchNeedsApt(t *testing.T) {
	t.Setenv("FLOWGATE_CACHE", t.TempDir())
	t.Setenv("PATH", t.TempDir())
	_, err := Fetch{Say: func(string) {}}.fetch(t.Context())
	wantError(t, err, "Debian or Ubuntu", "PG_BINDIR")
}

// TestFetchedServerRuns packs this machine's own server, fetches it and runs it from the cache.
func TestFetchedServerRuns(t *testing.T) {
	r := newRepository(t)
	bin, err := FindBinaries(t.Context(), "")
	must(t, err)
	real, err := filepath.EvalSymlinks(filepath.Join(bin, "postgres"))
	must(t, err)
	bin = filepath.Dir(real)
	major := filepath.Base(filepath.Dir(bin))
	top, found := strings.CutSuffix(bin, filepath.Join("/usr/lib/postgresql", major, "bin"))
	if !found {
		t.Skip("not a server of Debian's layout")
	}
	files := content{
		"usr/share/postgresql/" + major:        filepath.Join("/", top, "usr/share/postgresql", major),
		"usr/lib/postgresql/" + major + "/lib": filepath.Join("/", top, "usr/lib/postgresql", major, "lib"),
	}
	for _, program := range []string{"postgres", "initdb"} {
		files["usr/lib/postgresql/"+major+"/bin/"+program] = filepath.Join(bin, program)
	}
	if dirs := libraries(bin); len(dirs) > 0 { // it was fetched itself
		files["usr/lib/fetched-linux-gnu"] = dirs[0]
	}
	r.add(t, "postgresql-"+major, "99."+major, "", files)
	f, cache, _ := r.fetcher(t)
	fetched, err := f.fetch(t.Context())
	must(t, err)
	server := run(t, Options{Dir: reach(t), BinDir: fetched})
	if got := ask(t, server, "select setting from pg_config() where name = 'BINDIR'"); !strings.HasPrefix(got, cache) {
		t.Errorf("the server runs from %s", got)
	}
	ask(t, server, "create extension if not exists plpgsql")
	must(t, server.Stop())
}
