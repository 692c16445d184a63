package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"flowgate/configs"
)

// clean empties every variable that settings obey, or AWS; those that say where a Postgres is stay.
func clean(t *testing.T) {
	t.Helper()
	for _, v := range configs.Variables() {
		if v.Name == "PG_BINDIR" || v.Name == "FLOWGATE_CACHE" {
			continue
		}
		for name := range strings.SplitSeq(v.Name, ", ") {
			t.Setenv(name, "")
			t.Setenv(name+"_FILE", "")
		}
	}
}

// inside runs a command in this process.
func inside(t *testing.T, args ...string) (out string, code int) {
	t.Helper()
	root := newRoot()
	var said bytes.Buffer
	root.SetOut(&said)
	root.SetErr(&said)
	root.SetArgs(args)
	err := root.ExecuteContext(t.Context())
	if err != nil {
		said.WriteString("flowgate: " + err.Error())
	}
	return said.String(), exitCode(err)
}

// written is a settings file of a test.
func written(t *testing.T, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "settings.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestBadSettingsFilesAreNamed(t *testing.T) {
	clean(t)
	good := written(t, "flowgate: {hold: 5m}\n", 0o600)
	open := written(t, "hunter2", 0o644)
	bomb := "a: &a [x, x, x, x, x, x, x, x, x]\n"
	for i := 'b'; i < 'm'; i++ {
		bomb += string(i) + ": &" + string(i) + " [" + strings.Repeat("*"+string(i-1)+", ", 8) + "*" + string(i-1) + "]\n"
	}
	for _, c := range []struct {
		name, file string
		words      []string
	}{
		{"a typo at line 12", "retry:\n  default:\n" + strings.Repeat("    # x\n", 9) + "    max_retires: 3\n", []string{"settings.yaml:12: retry.default.max_retires: is not a known key; did you mean max_retries?"}},
		{"a section that is none", "postgress: {host: x}", []string{":1: postgress: is not a known key; did you mean postgres?"}},
		{"a secret file for all", "postgres: {db_password_file: " + open + "}", []string{"postgres.db_password_file", "mode 0644", "chmod 600 " + open}},
		{"garbage", "\x7fELF\x02\x01\x01\x00\x00\xff\xfe", []string{"settings.yaml"}},
		{"ten megabytes", strings.Repeat("# x\n", 2_500_000), []string{"is larger than 1048576 bytes"}},
		{"a bomb", "retry: {models: " + "x}\n" + bomb, []string{"settings.yaml"}},
		{"keys twice", "flowgate:\n  hold: 5m\n  hold: 6m\n", []string{":3: flowgate.hold: is there twice"}},
		{"tabs", "flowgate:\n\thold: 5m\n", []string{"settings.yaml:2"}},
		{"an unset variable", "flowgate:\n  state_dir: ${NOWHERE_SET}\n", []string{":2: flowgate.state_dir: the environment variable NOWHERE_SET is not set"}},
		{"agreements that are not there", "flowgate: {agreements_file: /nowhere/agreements.yaml}", []string{"/nowhere/agreements.yaml", "no such file"}},
		{"two stages at once", "flowgate: {hold: 0s, hodl: 1s}", []string{"flowgate.hold: must be", "flowgate.hodl: is not"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := written(t, c.file, 0o600)
			out, code := inside(t, "config", "check", path)
			for _, word := range c.words {
				if !strings.Contains(out, word) {
					t.Errorf("not said: %s", word)
				}
			}
			if code != exitUsage || strings.Contains(out, "hunter2") || t.Failed() {
				t.Errorf("exit code %d: %.2000s", code, out)
			}
			if out, code = inside(t, "up", "--config", path, "--state", "/dev/null/x"); code != exitUsage {
				t.Errorf("up ends with %d: %.500s", code, out)
			}
			var r configReport
			out, code = inside(t, "config", "check", path, "--json")
			if err := json.Unmarshal([]byte(out[:strings.LastIndexByte(out, '}')+1]), &r); err != nil || code != exitUsage || r.OK || len(r.Faults) == 0 {
				t.Errorf("as JSON: %v %d %.500s", err, code, out)
			}
		})
	}
	for name, c := range map[string]struct {
		args  []string
		words string
	}{
		"a folder":          {[]string{"config", "check", t.TempDir()}, "is a directory; name a file in it"},
		"two files":         {[]string{"config", "check", good, good}, "accepts at most 1 arg"},
		"a file and a file": {[]string{"config", "check", good, "--config", open}, "two settings files are named"},
		"no file":           {[]string{"config", "check", good + "x"}, "no such file"},
		"no key":            {[]string{"config", "explain", "postgres.hots"}, "did you mean postgres.host?"},
		"two keys":          {[]string{"config", "explain", "a", "b"}, "accepts at most 1 arg"},
	} {
		if out, code := inside(t, c.args...); code != exitUsage || !strings.Contains(out, c.words) {
			t.Errorf("%s: %d %s", name, code, out)
		}
	}
	for name, text := range map[string]string{"empty": "", "comments": "# nothing\n", "byte order mark": "\ufeffflowgate: {hold: 5m}\n", "carriage returns": "flowgate:\r\n  hold: 5m\r\n"} {
		if out, code := inside(t, "config", "check", written(t, text, 0o600)); code != exitDone || !strings.Contains(out, "good for the environment development") {
			t.Errorf("%s: %d %s", name, code, out)
		}
	}
}

func TestConfigTellsWhichSourceWon(t *testing.T) {
	clean(t)
	secret := written(t, "hunter2\n", 0o600)
	path := written(t, `flowgate: {hold: 5m, ack_wait: 10s, backends: {openai: {api_key: hunter2}}}
postgres: {host: db, db_password_file: `+secret+`}
environments:
  production: {flowgate: {hold: 7m}}
`, 0o600)
	for _, c := range []struct{ environment, key, value, from string }{
		{"", "flowgate.hold", "5m0s", path + ":1"},
		{"production", "flowgate.hold", "7m0s", path + ":4 (environments.production)"},
		{"", "flowgate.micro_batch", "200", "default"},
		{"", "postgres.db_password", "***", path + ":2, secret file " + secret},
		{"", "flowgate.backends.openai.api_key", "***", path + ":1"},
		{"", "environments.production.flowgate.hold", "7m0s", path + ":4 (environments.production)"},
		{"production", "flowgate.environment", "production", "environment variable FLOWGATE_ENVIRONMENT"},
	} {
		t.Setenv("FLOWGATE_ENVIRONMENT", c.environment)
		out, code := inside(t, "config", "explain", c.key, "--config", path, "--json")
		var entries []configs.Entry
		if err := json.Unmarshal([]byte(out), &entries); err != nil || code != exitDone || len(entries) != 1 {
			t.Fatalf("%s: %v %s", c.key, err, out)
		}
		if e := entries[0]; e.Key != c.key || e.Value != c.value || e.Origin.String() != c.from || e.Fate != configs.Used || e.About == "" {
			t.Errorf("%s %+v, want %s from %s", c.key, e, c.value, c.from)
		}
		out, _ = inside(t, "config", "explain", c.key, "--config", path)
		for _, word := range []string{c.key, c.value, c.from, "used"} {
			if !strings.Contains(out, word) {
				t.Errorf("%s is not in %s", word, out)
			}
		}
	}
}

func TestConfigShowsAndComparesWithoutSecrets(t *testing.T) {
	clean(t)
	a := written(t, "flowgate: {hold: 5m, backends: {openai: {api_key: hunter2}}}\nretry: {models: {titan: {base_delay: 0.5}}}\n", 0o600)
	b := written(t, "flowgate: {hold: 5m, backends: {openai: {api_key: hunter3}}}\n", 0o600)
	for _, c := range []struct {
		args  []string
		words []string
	}{
		{[]string{"show", a, "--origin"}, []string{"hold: 5m0s  # " + a + ":1", `api_key: "***"  # `, "base_delay: 0.5"}},
		{[]string{"show", a, "--json"}, []string{`"hold": "5m0s"`, `"base_delay": 0.5`, `"version": "`}},
		{[]string{"diff", a}, []string{"flowgate.hold", "10m0s", "5m0s", "***", "retry.models.titan.base_delay", a + ":2"}},
		{[]string{"diff", a, "--against", b}, []string{"*** (another)", "retry.models.titan.base_delay"}},
		{[]string{"diff", b, "--against", a, "--json"}, []string{`"key": "retry.models.titan.base_delay"`, `"other": "0.5"`}},
		{[]string{"diff", b, "--against", b}, []string{"nothing differs"}},
		{[]string{"explain", "--config", a}, []string{"flowgate.hold", "cache.default.enabled", "none yet"}},
	} {
		out, code := inside(t, append([]string{"config"}, c.args...)...)
		for _, word := range c.words {
			if !strings.Contains(out, word) {
				t.Errorf("%v does not say %s", c.args, word)
			}
		}
		if code != exitDone || strings.Contains(out, "hunter") || t.Failed() {
			t.Errorf("%v ends with %d: %s", c.args, code, out)
		}
	}
	if out, _ := inside(t, "config", "diff", a, "--against", b); strings.Contains(out, "flowgate.hold") {
		t.Errorf("what is the same is listed: %s", out)
	}
}

// TestEveryKeyOfTheUsersFileIsExplained holds the promise about it: used or warned about, key by key.
func TestEveryKeyOfTheUsersFileIsExplained(t *testing.T) {
	clean(t)
	path := filepath.Join(dataFolder(), "user", "settings.yaml")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Skipf("the user's files are not here (%v): set FLOWGATE_DATA to the folder that has user/", err)
	}
	var content map[string]any
	if err := yaml.Unmarshal(data, &content); err != nil {
		t.Fatal(err)
	}
	loaded, err := configs.Read(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	warned := map[string]bool{}
	for _, w := range loaded.Warnings {
		warned[w.Key] = true
	}
	covered := func(key string) bool {
		for ; key != ""; key = key[:max(0, strings.LastIndexByte(key, '.'))] {
			if warned[key] {
				return true
			}
		}
		return false
	}
	n := 0
	var visit func(key string, v any)
	visit = func(key string, v any) {
		if parts, ok := v.(map[string]any); ok {
			for name, part := range parts {
				visit(strings.TrimPrefix(key+"."+name, "."), part)
			}
			return
		}
		n++
		found, err := loaded.Find(key)
		switch {
		case err != nil || len(found) != 1 || found[0].Key != key || found[0].About == "":
			t.Errorf("%s: %+v %v", key, found, err)
		case found[0].Fate != configs.Used && v != nil && !covered(key):
			t.Errorf("%s has no effect (%s), and nobody is told", key, found[0].Fate)
		}
	}
	visit("", content)
	if n < 100 {
		t.Errorf("only %d keys", n)
	}
	out, code := inside(t, "config", "check", path)
	if code != exitDone {
		t.Errorf("%d %s", code, out)
	}
}

func TestReadmeListsTheVariables(t *testing.T) {
	var table strings.Builder
	table.WriteString("| variable | wins over | or from a file |\n|---|---|---|\n")
	for _, v := range configs.Variables() {
		over, file := "`"+v.Key+"`", ""
		if v.Key == "" {
			over = v.About
		}
		if v.Secret {
			file = "`" + v.Name + "_FILE`"
		}
		fmt.Fprintf(&table, "| `%s` | %s | %s |\n", strings.ReplaceAll(v.Name, ", ", "`, `"), over, file)
	}
	generated(t, "variables", table.String())
}
