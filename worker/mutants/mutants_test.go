package mutants

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestEveryMutantFitsAndCompiles: a text that moved on would leave a mutant that proves nothing.
func TestEveryMutantFitsAndCompiles(t *testing.T) {
	dir := root(t)
	known := list(t, dir)
	for _, m := range mutants() {
		t.Run(m.bug, func(t *testing.T) {
			text := m.apply(t, dir)
			if strings.HasSuffix(m.file, ".go") {
				check(t, known, filepath.Join(dir, filepath.FromSlash(m.file)), text)
			}
			if len(m.tests) == 0 {
				t.Error("no test is named that notices")
			}
		})
	}
}

// apply is the text of the mutant's file with the bug in it.
func (m mutant) apply(t *testing.T, dir string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(m.file)))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(data), m.before); n != 1 {
		t.Fatalf("%s has the text %q %d times, not once: table_test.go must follow the code", m.file, m.before, n)
	}
	return strings.Replace(string(data), m.before, m.after, 1)
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

// pkg is what `go list` says of a package. Export is a file with what it exports.
type pkg struct {
	ImportPath, Dir, Export string
	GoFiles                 []string
}

// list asks the go command about the mutants' packages and all that they import.
func list(t *testing.T, dir string) []pkg {
	t.Helper()
	args := []string{"list", "-export", "-deps", "-json=ImportPath,Dir,GoFiles,Export"}
	for _, m := range mutants() {
		if strings.HasSuffix(m.file, ".go") {
			args = append(args, "./"+filepath.ToSlash(filepath.Dir(m.file)))
		}
	}
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.Bytes())
	}
	var all []pkg
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		switch err := d.Decode(&p); {
		case errors.Is(err, io.EOF):
			return all
		case err != nil:
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// check type-checks the package of a file whose text is another.
func check(t *testing.T, known []pkg, path, text string) {
	t.Helper()
	exports := map[string]string{}
	var of pkg
	for _, p := range known {
		exports[p.ImportPath] = p.Export
		if p.Dir == filepath.Dir(path) {
			of = p
		}
	}
	files := token.NewFileSet()
	var parsed []*ast.File
	for _, name := range of.GoFiles {
		full := filepath.Join(of.Dir, name)
		var source any
		if full == path {
			source = text
		}
		file, err := parser.ParseFile(files, full, source, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		parsed = append(parsed, file)
	}
	if len(parsed) == 0 {
		t.Fatalf("no package has the file %s", path)
	}
	config := types.Config{Importer: importer.ForCompiler(files, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })}
	if _, err := config.Check(of.ImportPath, files, parsed, nil); err != nil {
		t.Error(err)
	}
}
