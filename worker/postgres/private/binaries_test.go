package private

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestFindBinaries(t *testing.T) {
	fake := func(t *testing.T, version string) string {
		t.Helper()
		dir := filepath.Join(t.TempDir(), version)
		must(t, os.Mkdir(dir, 0o755))
		script := "#!/bin/sh\necho 'postgres (PostgreSQL) " + version + "'\n"
		for _, name := range []string{"initdb", "postgres"} {
			must(t, os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755))
		}
		return dir
	}
	find := func(t *testing.T, binDir, want string) {
		t.Helper()
		got, err := FindBinaries(t.Context(), binDir)
		must(t, err)
		if got != want {
			t.Errorf("found %s, want %s", got, want)
		}
	}
	t.Run("the argument, then PG_BINDIR, then PATH", func(t *testing.T) {
		argument, named, path := fake(t, "15.1"), fake(t, "16.1"), fake(t, "17.1")
		t.Setenv("PATH", t.TempDir()+":"+path)
		t.Setenv("PG_BINDIR", "")
		find(t, "", path)
		t.Setenv("PG_BINDIR", named)
		find(t, "", named)
		find(t, argument, argument)
	})
	t.Run("distribution folders without any help", func(t *testing.T) {
		t.Setenv("PATH", "")
		t.Setenv("PG_BINDIR", "")
		_, err := FindBinaries(t.Context(), "")
		must(t, err)
	})
	t.Run("a named folder without both programs is the end of the search", func(t *testing.T) {
		half := fake(t, "15.1")
		must(t, os.Remove(filepath.Join(half, "initdb")))
		t.Setenv("PG_BINDIR", half)
		_, err := Start(t.Context(), Options{Dir: reach(t)})
		wantError(t, err, half, "apt-get install postgresql", "PG_BINDIR")
		if !errors.Is(err, ErrNoBinaries) {
			t.Error("the error is not ErrNoBinaries")
		}
	})
	t.Run("binaries that fit the data win over the first ones", func(t *testing.T) {
		bin, err := FindBinaries(t.Context(), "")
		must(t, err)
		server := run(t, Options{Dir: reach(t), BinDir: bin})
		must(t, server.Stop())
		t.Setenv("PATH", fake(t, "99.1")+":"+bin+":"+os.Getenv("PATH"))
		ask(t, run(t, Options{Dir: server.place.root}), "select 'alive'")
	})
	t.Run("a version too old is refused", func(t *testing.T) {
		_, err := Start(t.Context(), Options{Dir: reach(t), BinDir: open(t, fake(t, "9.6.24"))})
		wantError(t, err, "are of Postgres 9.6", "at least 14")
	})
}

// open lets other users pass the folders that a test made.
func open(t *testing.T, dir string) string {
	t.Helper()
	for d := dir; filepath.Clean(d) != filepath.Clean(os.TempDir()) && d != "/"; d = filepath.Dir(d) {
		must(t, os.Chmod(d, 0o755))
	}
	return dir
}

func TestMajorIn(t *testing.T) {
	for version, want := range map[string]string{
		"postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)": "15",
		"postgres (PostgreSQL) 17beta2":                        "17",
		"postgres (PostgreSQL) 9.6.24":                         "9.6",
		"postgres (EnterpriseDB) 16.3.0":                       "16",
		"command not found":                                    "",
	} {
		if got := majorIn(version); got != want {
			t.Errorf("%q is major %q, want %q", version, got, want)
		}
	}
}
