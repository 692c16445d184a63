package private

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// templates is a folder for templates, and what the templates in it are called.
func templates(t *testing.T) (dir string, list func() []string) {
	dir = filepath.Join(reach(t), "templates")
	return dir, func() (names []string) {
		entries, err := os.ReadDir(dir)
		must(t, err)
		for _, e := range entries {
			names = append(names, e.Name())
		}
		return names
	}
}

// ranInitdb tells whether a start logged what initdb says.
func ranInitdb(t *testing.T, s *Server) bool {
	t.Helper()
	text, err := os.ReadFile(s.place.logFile())
	must(t, err)
	return strings.Contains(string(text), "initialized with locale")
}

func TestTemplates(t *testing.T) {
	t.Parallel()
	dir, list := templates(t)
	t.Run("the first start makes one, the next copies it", func(t *testing.T) {
		first := run(t, Options{Dir: reach(t), Templates: dir})
		ask(t, first, "create table mine as select 1 as v")
		must(t, first.Stop())
		second := run(t, Options{Dir: reach(t), Templates: dir, Durable: true})
		if got := ask(t, second, "select count(*)::text from pg_class where relname = 'mine'"); got != "0" {
			t.Error("a table of another server is in the template")
		}
		if !ranInitdb(t, first) || ranInitdb(t, second) || len(list()) != 1 {
			t.Errorf("initdb ran for the first: %v, for the second: %v; the templates are %v", ranInitdb(t, first), ranInitdb(t, second), list())
		}
		must(t, second.Stop())
		again := run(t, Options{Dir: second.place.root, Templates: dir, Durable: true})
		must(t, again.Stop())
	})
	t.Run("a damaged one is told and not used", func(t *testing.T) {
		must(t, os.WriteFile(filepath.Join(dir, list()[0], "data", "PG_VERSION"), []byte("\x00\x00\x00"), 0o600)) // as a power cut may leave it
		core, said := observer.New(zap.WarnLevel)
		server := run(t, Options{Dir: reach(t), Templates: dir, Logger: zap.New(core)})
		if !ranInitdb(t, server) || said.Len() != 1 || len(list()) != 1 {
			t.Errorf("initdb ran: %v; said %v; the templates are %v", ranInitdb(t, server), said.All(), list())
		}
		must(t, server.Stop())
	})
	t.Run("one that others could have written is not used", func(t *testing.T) {
		must(t, os.Chmod(dir, 0o777)) //nolint:gosec // that is the fault
		server := run(t, Options{Dir: reach(t), Templates: dir})
		if !ranInitdb(t, server) {
			t.Error("it was used")
		}
		must(t, server.Stop())
	})
	t.Run("there are not many", func(t *testing.T) {
		must(t, os.Chmod(dir, 0o700)) //nolint:gosec // a folder
		place := made(t)
		for _, key := range []string{"a", "b", "c", "d", "new-left"} {
			must(t, os.Mkdir(filepath.Join(dir, key), 0o700))
		}
		source := template{dir, "e"}
		must(t, source.keep(place.data()))
		if n := len(list()); n > keptTemplates {
			t.Errorf("%d templates are kept: %v", n, list())
		}
		if copied, err := source.copyTo(t.TempDir(), identity{}); !copied || err != nil {
			t.Errorf("the newest does not serve: %v, %v", copied, err)
		}
	})
}
