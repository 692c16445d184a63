//go:build mutants

package mutants

import (
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestTheSuitePassesUnchanged: a test that fails anyway proves nothing about a mutant.
func TestTheSuitePassesUnchanged(t *testing.T) {
	tests := map[string][]string{}
	for _, m := range mutants() {
		tests[m.pkg] = append(tests[m.pkg], m.tests...)
	}
	for _, of := range slices.Sorted(maps.Keys(tests)) {
		t.Run(of, func(t *testing.T) {
			out, err := run(t, "", of, tests[of])
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			for _, name := range tests[of] {
				if !strings.Contains(out, "--- PASS: "+name+" ") {
					t.Errorf("%s did not run:\n%s", name, out)
				}
			}
		})
	}
}

// TestEveryMutantIsCaught builds each bug into the tests that must notice it. A bug that does not compile, and a test that
// hangs, do not count as noticed.
func TestEveryMutantIsCaught(t *testing.T) {
	dir := root(t)
	for _, m := range mutants() {
		t.Run(m.bug, func(t *testing.T) {
			out, err := run(t, m.overlay(t, dir), m.pkg, m.tests)
			if err == nil {
				t.Fatalf("nobody noticed:\n%s", out)
			}
			for _, name := range m.tests {
				if !strings.Contains(out, "--- FAIL: "+name+" ") {
					t.Errorf("%s did not notice:\n%s", name, out)
				}
			}
		})
	}
}

// overlay writes what -overlay reads: the mutant's file, and where its text lies.
func (m mutant) overlay(t *testing.T, dir string) string {
	t.Helper()
	folder := t.TempDir()
	mutated := filepath.Join(folder, filepath.Base(m.file))
	data, err := json.Marshal(map[string]map[string]string{"Replace": {filepath.Join(dir, filepath.FromSlash(m.file)): mutated}})
	if err != nil {
		t.Fatal(err)
	}
	overlay := filepath.Join(folder, "overlay.json")
	for path, text := range map[string]string{mutated: m.apply(t, dir), overlay: string(data)} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return overlay
}

// run runs tests of a package; its error is that they failed.
func run(t *testing.T, overlay, of string, tests []string) (string, error) {
	t.Helper()
	args := []string{"test", "-v", "-count=1", "-timeout=5m", "-run", "^(" + strings.Join(tests, "|") + ")$"}
	if overlay != "" {
		args = append(args, "-overlay", overlay)
	}
	cmd := exec.CommandContext(t.Context(), "go", append(args, of)...)
	cmd.Dir = root(t)
	out, err := cmd.CombinedOutput()
	return string(out), err
}
