package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// pkg is what `go list` says of a package, tests left out.
type pkg struct {
	ImportPath string
	Dir        string
	Standard   bool
	GoFiles    []string
	// Imports are direct, Deps are all.
	Imports, Deps []string
}

// wall says what a part of the house must not import.
type wall struct {
	// of are the packages that stand behind the wall (see within).
	of []string
	// except are packages out of those that may.
	except []string
	// not are the imports that may not be; only, where set, are the only ones that may be beside the standard library.
	not, only []string
	// deep counts imports of imports too.
	deep bool
	why  string
}

func walls() []wall {
	return []wall{
		{
			of: []string{"flowgate/messages"}, only: []string{"flowgate/messages"}, deep: true,
			why: "whoever writes a producer takes this package and nothing else",
		},
		{
			of: []string{"flowgate/pipelines/..."}, only: []string{"flowgate/messages", "flowgate/pipelines/...", "cel.dev/cel-go/...", "github.com/google/cel-go/..."},
			why: "decisions depend on the wire and on pure libraries alone, so that a recorded one can be made again",
		},
		{
			of:  []string{"flowgate/messages", "flowgate/pipelines/..."},
			not: []string{"context", "net/...", "os/...", "io/fs", "syscall", "log/...", "math/rand/...", "crypto/rand", "unsafe", "plugin"},
			why: "no I/O, no clock, no logger and no randomness here: the handler in worker gathers the facts",
		},
		{
			of: []string{"flowgate/worker"}, not: []string{"flowgate/worker/...", "flowgate/configs", "flowgate/cmd/..."}, deep: true,
			why: "adapters import the runtime, never the reverse; it takes options, only cmd reads settings",
		},
		{
			of: []string{"flowgate/worker"}, not: []string{"github.com/jackc/...", "github.com/aws/..."}, deep: true,
			why: "the runtime knows neither SQL nor AWS: worker/postgres and the adapters of services do",
		},
		{
			of: []string{"flowgate/..."}, except: []string{"flowgate/worker/postgres/...", "flowgate/worker/workertest"}, not: []string{"github.com/jackc/..."},
			why: "only worker/postgres speaks SQL (and the tests' own Postgres)",
		},
		{
			of: []string{"flowgate/..."}, except: []string{"flowgate/worker/backends/...", "flowgate/worker/s3/...", "flowgate/worker/sessions/...", "flowgate/worker/provider", "flowgate/worker/workertest"}, not: []string{"github.com/aws/..."},
			why: "only the adapter of a service speaks to AWS",
		},
		{
			of: []string{"flowgate/..."}, except: []string{"flowgate/cmd/...", "flowgate/configs/..."}, not: []string{"flowgate/configs/..."},
			why: "only cmd reads settings and turns them into options",
		},
		{
			of: []string{"flowgate/cmd/..."}, not: []string{"flowgate/worker/workertest", "testing"}, deep: true,
			why: "test code in the binary",
		},
	}
}

func TestWallsStand(t *testing.T) {
	t.Parallel()
	all := list(t)
	for _, w := range walls() {
		behind := 0
		for _, p := range all {
			if p.Standard || !within(p.ImportPath, w.of) || within(p.ImportPath, w.except) {
				continue
			}
			behind++
			imports := p.Imports
			if w.deep {
				imports = p.Deps
			}
			for _, path := range imports {
				if path != p.ImportPath && w.forbids(path, all) {
					t.Errorf("%s must not import %s: %s", p.ImportPath, path, w.why)
				}
			}
		}
		if behind == 0 {
			t.Errorf("no package stands behind the wall of %v: was it renamed?", w.of)
		}
	}
}

func (w wall) forbids(path string, all map[string]pkg) bool {
	if len(w.only) > 0 {
		return !all[path].Standard && !within(path, w.only)
	}
	return within(path, w.not)
}

// within tells whether a path is one of the patterns; one that ends with /... also stands for all paths below it.
func within(path string, patterns []string) bool {
	for _, pattern := range patterns {
		root, below := strings.CutSuffix(pattern, "/...")
		if path == root || below && strings.HasPrefix(path, root+"/") {
			return true
		}
	}
	return false
}

// list asks the go command about every package of the module and all that they import.
func list(t *testing.T) map[string]pkg {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-e", "-deps", "-json=ImportPath,Dir,Standard,GoFiles,Imports,Deps", "./...")
	cmd.Dir = root(t)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.Bytes())
	}
	all := map[string]pkg{}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		switch err := d.Decode(&p); {
		case errors.Is(err, io.EOF):
			return all
		case err != nil:
			t.Fatal(err)
		}
		all[p.ImportPath] = p
	}
}

// root is the folder of the module.
func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "go.mod")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestDecisionsReadNoClock finds what an import alone does not tell: the package time is welcome, its clock is not.
func TestDecisionsReadNoClock(t *testing.T) {
	t.Parallel()
	clock := []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTicker", "NewTimer"}
	for _, p := range list(t) {
		if !within(p.ImportPath, []string{"flowgate/messages", "flowgate/pipelines/..."}) {
			continue
		}
		for _, name := range p.GoFiles {
			files := token.NewFileSet()
			file, err := parser.ParseFile(files, filepath.Join(p.Dir, name), nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				call, ok := n.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				if of, ok := call.X.(*ast.Ident); ok && of.Name == "time" && of.Obj == nil && slices.Contains(clock, call.Sel.Name) {
					t.Errorf("%s: time.%s: decisions take now as an argument", files.Position(call.Pos()), call.Sel.Name)
				}
				return true
			})
		}
	}
}

// TestTreeHasOnlyWhatANewcomerExpects holds the top level to the house's rooms. What is built, and ignored by git, may lie
// there too.
func TestTreeHasOnlyWhatANewcomerExpects(t *testing.T) {
	rooms := []string{
		"cmd", "worker", "messages", "pipelines", "configs", "docker-compose.yml", "go.mod", "go.sum", "README.md", "Makefile",
		"Dockerfile", "LICENSE",
	}
	built := []string{"bin", "coverage.txt"}
	entries, err := os.ReadDir(root(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if name := e.Name(); !strings.HasPrefix(name, ".") && !slices.Contains(rooms, name) && !slices.Contains(built, name) {
			t.Errorf("%s stands outside of the agreed top level %v", name, rooms)
		}
	}
}
