package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"flowgate/messages"
	"flowgate/worker"
)

// nextVersion builds the program that a later release may be: the same code, with a higher wire version and a field of which
// this version knows nothing. A document of that version without the field is no envelope for it, so that one which an
// older worker wrote on would be found.
func nextVersion(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	overlay := map[string]map[string]string{"Replace": {}}
	edit := func(name string, changes ...string) {
		path := filepath.Join(root(t), "messages", name)
		text, err := os.ReadFile(path) //nolint:gosec // a source file of ours
		if err != nil {
			t.Fatal(err)
		}
		changed := string(text)
		for i := 0; i < len(changes); i += 2 {
			if strings.Count(changed, changes[i]) != 1 {
				t.Fatalf("%s has %q %d times", name, changes[i], strings.Count(changed, changes[i]))
			}
			changed = strings.Replace(changed, changes[i], changes[i+1], 1)
		}
		overlay["Replace"][path] = filepath.Join(dir, name)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(changed), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	edit("limits.go", fmt.Sprintf("const Version = %d\n", messages.Version), fmt.Sprintf("const Version = %d\n", messages.Version+1))
	edit("envelope.go",
		"type Envelope struct {\n", "type Envelope struct {\n\tNext string `json:\"next,omitempty\"`\n",
		"\tstamped.V = Version\n", "\tstamped.V, stamped.Next = Version, \"a later release\"\n",
		"\treturn e, nil\n}\n\n// Calling is", "\tif e.V == Version && e.Next == \"\" {\n\t\treturn nil, &FieldError{Field: \"next\", Rule: \"must be there\"}\n\t}\n\treturn e, nil\n}\n\n// Calling is",
	)
	description, err := json.Marshal(overlay)
	if err != nil {
		t.Fatal(err)
	}
	file, exe := filepath.Join(dir, "overlay.json"), filepath.Join(dir, "flowgate-next")
	if err := os.WriteFile(file, description, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "go", "build", "-ldflags", "-w", "-overlay", file, "-o", exe, ".").CombinedOutput() //nolint:gosec // files of ours
	if err != nil {
		t.Fatalf("building the next version: %v: %s", err, out)
	}
	var version struct {
		Wire int `json:"wire"`
	}
	if out, err = exec.CommandContext(t.Context(), exe, "version", "--json").Output(); err == nil { //nolint:gosec // built above
		err = json.Unmarshal(out, &version)
	}
	if err != nil || version.Wire != messages.Version+1 {
		t.Fatalf("the next version writes wire version %d: %v", version.Wire, err)
	}
	return exe
}

// TestTwoWireVersionsShareTheStreamsDuringAnUpgrade replaces every worker of a running batch by one of a version that writes
// what the old ones cannot read, layer 1 first: the old ones leave it alone until the new ones are there.
func TestTwoWireVersionsShareTheStreamsDuringAnUpgrade(t *testing.T) {
	t.Parallel()
	dir := stateFolder(t)
	r := &rehearsal{
		cmd: &cobra.Command{}, g: &globals{json: true, tenant: "default"}, dir: dir, servers: 1, file: manyLines(t, 80), lasts: 4 * time.Second, everyone: true,
		exe: binary(t), next: nextVersion(t),
	}
	r.began = time.Now()
	versions := map[messages.State]map[int]int{}
	r.look = func() {
		for _, state := range messages.States() {
			versions[state] = wireVersions(t, r.c.js, state)
		}
	}
	report, err := r.rehearse(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !report.OK {
		t.Errorf("not as promised: %v", report.Faults)
	}
	for _, state := range []messages.State{messages.StateAI, messages.StateOptimizer, messages.StateDone} {
		if of := versions[state]; of[messages.Version] == 0 || of[messages.Version+1] == 0 {
			t.Errorf("states %s by wire version: %v, want some of both", state, of)
		}
	}
	met := map[string]bool{}
	for _, c := range r.past {
		met[c.name] = met[c.name] || strings.Contains(c.noise.String(), "a newer version wrote it")
	}
	if !met["worker ai"] {
		t.Errorf("no old worker of layer 2 met what it cannot read: %v", met)
	}
	t.Logf("%d of %d lines in %.1f s, states by wire version %v, met what they cannot read: %v, replaced %+v",
		report.Statuses[messages.StatusSuccess], report.Lines, report.BatchSeconds, versions, met, report.Replaced)
}

// manyLines writes a file of n requests.
func manyLines(t *testing.T, n int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "many.jsonl")
	line := `{"prompt":"Say OK","audit_reason":"rehearsal of an upgrade","model":"claude-3-haiku","max_tokens":24}` + "\n"
	if err := os.WriteFile(path, []byte(strings.Repeat(line, n)), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// wireVersions counts the states that stand in the WORK stream by the version that wrote them.
func wireVersions(t *testing.T, js jetstream.JetStream, state messages.State) map[int]int {
	t.Helper()
	consumer, err := js.OrderedConsumer(t.Context(), worker.WorkStream(0), jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{"flowgate.work.0." + string(state) + ".>"},
	})
	if err != nil {
		t.Fatal(err)
	}
	pull, err := consumer.FetchNoWait(10_000)
	if err != nil {
		t.Fatal(err)
	}
	versions := map[int]int{}
	for msg := range pull.Messages() {
		var written struct {
			V int `json:"v"`
		}
		if err := json.Unmarshal(msg.Data(), &written); err != nil {
			t.Error(err)
		}
		versions[written.V]++
	}
	return versions
}
