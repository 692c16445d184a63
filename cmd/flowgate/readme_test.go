package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"flowgate/messages"
	"flowgate/worker/batch"
	"flowgate/worker/doctor"
	"flowgate/worker/metrics"
	"flowgate/worker/workertest"
)

const (
	readme = "../../README.md"
	// natsCommand is what the README has producers install.
	natsCommand = "github.com/nats-io/natscli/nats@v0.5.1"
)

var update = flag.Bool("update", false, "write the generated parts of README.md")

func TestReadmeCommandsDoWhatItSays(t *testing.T) {
	t.Parallel()
	if !strings.Contains(readmeText(t), "go install "+natsCommand) {
		t.Fatalf("the README no longer installs %s", natsCommand)
	}
	nats := natsFolder(t)
	up := start(t, stateFolder(t))
	sh := shell{dir: t.TempDir(), env: environ(
		"PATH="+filepath.Dir(binary(t))+string(os.PathListSeparator)+nats+string(os.PathListSeparator)+os.Getenv("PATH"),
		"FLOWGATE_STATE="+up.State, "NATS_URL="+up.URL, "XDG_CONFIG_HOME="+t.TempDir(),
	)}
	ran := 0
	for _, b := range readmeBlocks(t) {
		if b.why != "" {
			continue
		}
		ran++
		out, err := sh.run(t, b.script)
		if err != nil {
			t.Errorf("README.md:%d: %v, and it printed\n%s", b.line, err, out)
			continue
		}
		if b.output != "" && !fits(b.output, out) {
			t.Errorf("README.md:%d: the README shows\n%s\nbut it prints\n%s", b.line, b.output, out)
		}
	}
	if ran < 10 {
		t.Errorf("only %d blocks of README.md ran: is its form still the one that this test reads?", ran)
	}
	var checked struct {
		Findings []struct{ Name string }
	}
	check := flowgate(t, up.State, "audit", "check", "--json")
	if err := json.Unmarshal([]byte(check.stdout), &checked); err != nil || len(checked.Findings) == 0 {
		t.Fatalf("%v: %+v", err, check)
	}
	for _, f := range checked.Findings {
		states(t, "| `"+f.Name+"` |")
	}
}

func TestReadmeRealBackendTakesItsSettings(t *testing.T) {
	t.Parallel()
	server := workertest.NewOpenAI(t)
	g := newGround(t, "", "OPENAI_BASE_URL="+server.URL)
	for _, b := range readmeBlocks(t) {
		if strings.Contains(b.script, "> settings.yaml") {
			if out, err := (shell{dir: g.dir, env: environ()}).run(t, b.script); err != nil {
				t.Fatalf("README.md:%d: %v: %s", b.line, err, out)
			}
		}
	}
	up := g.up("--config", "settings.yaml", "--listen", "127.0.0.1:0")
	up.ready()
	done := flowgate(t, g.state, "submit", "--json", "--wait", "--reason", "trying the settings of the README", "Say OK")
	var result messages.Result
	if err := json.Unmarshal([]byte(done.stdout), &result); err != nil {
		t.Fatalf("%v: %+v", err, done)
	}
	if m := result.Metadata; result.Status != messages.StatusSuccess || m == nil || m.Backend != "openai" || m.Model != "llama3.2" || m.CostMicroUSD != 0 {
		t.Errorf("the result is %s", done.stdout)
	}
	if server.Calls("") != 1 {
		t.Errorf("the server was called %d times", server.Calls(""))
	}
	up.stop()
}

func TestReadmeListsTheReasons(t *testing.T) {
	var table strings.Builder
	table.WriteString("| reason | again | what happened | what to do |\n|---|---|---|---|\n")
	for _, r := range messages.ReasonList() {
		again := "no"
		if r.Retry {
			again = "yes"
		}
		fmt.Fprintf(&table, "| `%s` | %s | %s | %s |\n", r.Reason, again, r.Text, r.Next)
	}
	generated(t, "reasons", table.String())
}

// TestReadmeHasARunbook: one paragraph for each finding of the doctor and for each reason, from the lists of the code.
func TestReadmeHasARunbook(t *testing.T) {
	var text strings.Builder
	text.WriteString("Findings of `flowgate doctor`:\n")
	for _, c := range doctor.Codes() {
		fmt.Fprintf(&text, "\n**`%s`** (%s): %s. %s *Look:* %s *Do:* %s\n", c.Code, c.Severity, c.Title, c.Means, c.Look, c.Do)
	}
	text.WriteString("\nReasons of results; `flowgate audit list --reason CODE` lists them, `flowgate audit show ID` tells how one came about:\n")
	for _, r := range messages.ReasonList() {
		again := "Sending it again does not help."
		if r.Retry {
			again = "Sending it again later can help."
		}
		if r.Reason == messages.ReasonOK {
			again = ""
		}
		fmt.Fprintf(&text, "\n**`%s`**: %s %s *Do:* %s\n", r.Reason, r.Text, again, r.Next)
	}
	generated(t, "runbook", strings.ReplaceAll(text.String(), "  ", " "))
}

// generated wants a part of the README, between two comments, to be what the code says; with -update it writes it.
func generated(t *testing.T, part, want string) {
	t.Helper()
	end := "<!-- /" + part + " -->"
	text := readmeText(t)
	before, rest, found := strings.Cut(text, "<!-- "+part+": written by `go test ./cmd/flowgate -run "+t.Name()+" -update` -->\n")
	listed, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatalf("README.md has no place for %s", part)
	}
	begin := text[len(before) : len(text)-len(rest)]
	switch {
	case listed == want:
	case *update:
		if err := os.WriteFile(readme, []byte(before+begin+want+end+after), 0o644); err != nil { //nolint:gosec // it is public
			t.Fatal(err)
		}
	default:
		t.Errorf("%s in README.md differs from the code: run `go test ./cmd/flowgate -run %s -update`", part, t.Name())
	}
}

func TestReadmeListsTheMetrics(t *testing.T) {
	var table strings.Builder
	table.WriteString("| metric | type | labels | what it is |\n|---|---|---|---|\n")
	for _, d := range metrics.Definitions() {
		labels := ""
		if len(d.Labels) > 0 {
			labels = "`" + strings.Join(d.Labels, "`, `") + "`"
		}
		fmt.Fprintf(&table, "| `%s` | %s | %s | %s |\n", d.Name, d.Type, labels, d.Help)
	}
	generated(t, "metrics", table.String())
}

func TestReadmeStatesTheLimits(t *testing.T) {
	var wanted []string
	for _, n := range []int{
		messages.MaxRequestBytes, messages.MaxRequestBytes + messages.HeaderRoom, messages.MaxMessages, messages.MaxMetadataBytes, messages.MaxTextBytes,
		messages.MaxOutputTokens, messages.DefaultMaxTokens, batch.MaxLines, batch.MaxFileBytes >> 20, int(messages.DefaultLifetime.Hours()),
		int(messages.DefaultBatchLifetime.Hours()),
	} {
		wanted = append(wanted, fmt.Sprint(n))
	}
	for _, s := range messages.Statuses() {
		wanted = append(wanted, fmt.Sprintf("| `%s` |", s))
	}
	for _, v := range []string{"FLOWGATE_STATE", "NATS_URL", "DATABASE_URL", "OPENAI_BASE_URL", "OPENAI_API_KEY"} {
		wanted = append(wanted, "`"+v+"`")
	}
	states(t, wanted...)
}

// states tells whether the README says all of it.
func states(t *testing.T, wanted ...string) {
	t.Helper()
	text := readmeText(t)
	for _, w := range wanted {
		if !strings.Contains(text, w) {
			t.Errorf("README.md does not say %s", w)
		}
	}
}

func TestDemoEndsAsItPromises(t *testing.T) {
	t.Parallel()
	data, err := filepath.Abs(dataFolder())
	if err != nil {
		t.Fatal(err)
	}
	success, dear := 25, "the requests that ship with the product"
	if _, err := os.Stat(filepath.Join(data, demoData)); err == nil {
		success, dear = 100, demoData
	}
	done := flowgateIn(t, "", []string{"FLOWGATE_DATA=" + data}, "demo", "--json")
	var r demoReport
	if err := json.Unmarshal([]byte(done.stdout), &r); err != nil || done.code != exitDone {
		t.Fatalf("the demo with %s ended with code %d (%v)\n%s\n%s", dear, done.code, err, done.stdout, done.stderr)
	}
	same := func(what string, got, want any) {
		t.Helper()
		if got != want {
			t.Errorf("%s: got %v, want %v", what, got, want)
		}
	}
	same("backend", r.Backend, "offline")
	same("lines", r.Lines, success+4)
	same("success", r.Statuses["success"], success)
	same("failure", r.Statuses["failure"], 2)
	same("denied", r.Statuses["denied"], 1)
	same("duplicate_id", r.Duplicates, uint64(1))
	same("dead letters", len(r.Dead), 2)
	same("recomputed cost", r.Recomputed, r.Cost)
	if r.Cost <= 0 {
		t.Errorf("the cost is %d micro-dollars", r.Cost)
	}
	same("epoch of the replay", r.Replay.Epoch, 1)
	same("status of the replay", r.Replay.Status, messages.StatusSuccess)
	same("ok", r.OK, true)
	if len(r.Findings) == 0 {
		t.Error("nothing was checked")
	}
	for _, f := range r.Findings {
		same("check "+f.Name, f.OK, true)
	}
}

// dataFolder is where the users' own requests and the demo's e-mails lie, on machines that have them.
func dataFolder() string {
	if dir := os.Getenv("FLOWGATE_DATA"); dir != "" {
		return dir
	}
	return filepath.Join("..", "..", "..", "shared", "data")
}

func readmeText(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// readmeBlock is a fenced block of commands.
type readmeBlock struct {
	line   int
	script string
	// output is the fenced text or JSON that follows.
	output string
	// why says, where it is not empty, why the test cannot run it.
	why string
}

var (
	fence  = regexp.MustCompile("^```([a-z]*)$")
	except = regexp.MustCompile(`^<!-- not in the test: (.+) -->$`)
)

// readmeBlocks reads the blocks of commands in order.
func readmeBlocks(t *testing.T) []readmeBlock {
	t.Helper()
	var blocks []readmeBlock
	var why, language string
	var body strings.Builder
	inside, began := false, 0
	for i, line := range strings.Split(readmeText(t), "\n") {
		switch m := fence.FindStringSubmatch(line); {
		case inside && line == "```":
			inside = false
			switch {
			case language == "sh":
				blocks = append(blocks, readmeBlock{line: began, script: body.String(), why: why})
				why = ""
			case language != "" && len(blocks) > 0:
				blocks[len(blocks)-1].output = body.String()
			}
		case inside:
			body.WriteString(line + "\n")
		case m != nil:
			inside, began, language = true, i+1, m[1]
			body.Reset()
		default:
			if m := except.FindStringSubmatch(line); m != nil {
				why = m[1]
			}
		}
	}
	if inside {
		t.Fatalf("README.md:%d: the block does not end", began)
	}
	return blocks
}

// shell runs scripts in a folder.
type shell struct {
	dir string
	env []string
}

// run gives what the script printed, standard error included, as on a terminal.
func (s shell) run(t *testing.T, script string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-e", "-c", script)
	cmd.Dir, cmd.Env, cmd.WaitDelay = s.dir, s.env, 10*time.Second
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// fits tells whether what was printed is what the README shows. There an ellipsis stands for anything in its line, and alone
// on a line for any number of lines; blank lines and spaces at the end of a line do not count.
func fits(shown, printed string) bool {
	var pattern strings.Builder
	pattern.WriteString(`\A`)
	for _, line := range solid(shown) {
		if line == "…" {
			pattern.WriteString(`(?:[^\n]*\n)*?`)
			continue
		}
		pattern.WriteString(strings.ReplaceAll(regexp.QuoteMeta(line), "…", `[^\n]*`) + `\n`)
	}
	pattern.WriteString(`\z`)
	return regexp.MustCompile(pattern.String()).MatchString(strings.Join(solid(printed), "\n") + "\n")
}

func solid(text string) []string {
	var lines []string
	for line := range strings.Lines(text) {
		if line = strings.TrimRight(line, " \t\r\n"); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

func TestFits(t *testing.T) {
	for _, c := range []struct {
		shown, printed string
		want           bool
	}{
		{"a … c\n", "a b c  \n\n", true},
		{"a … c\n", "a b\nc\n", false},
		{"a\n…\nc\n", "a\nb\nb\nc\n", true},
		{"a\n…\nc\n", "a\nc\n", true},
		{"a\n", "a\nb\n", false},
		{"$1 (x)\n", "$1 (x)\n", true},
	} {
		if got := fits(c.shown, c.printed); got != c.want {
			t.Errorf("fits(%q, %q) is %t", c.shown, c.printed, got)
		}
	}
}

// natsFolder is the folder with the nats command that the README names. It is installed once, in the user's cache.
func natsFolder(t *testing.T) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	_, version, _ := strings.Cut(natsCommand, "@")
	dir := filepath.Join(cache, "flowgate-test", "nats-"+version)
	if _, err := os.Stat(filepath.Join(dir, "nats")); err == nil {
		return dir
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o750); err != nil {
		t.Fatal(err)
	}
	fresh, err := os.MkdirTemp(filepath.Dir(dir), "nats-") //nolint:usetesting // it stays, under another name
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(fresh)
	cmd := exec.CommandContext(t.Context(), "go", "install", natsCommand)
	cmd.Dir, cmd.Env = fresh, append(os.Environ(), "GOBIN="+fresh, "GOFLAGS=")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("installing %s: %v\n%s", natsCommand, err, &out)
	}
	if err := os.Rename(fresh, dir); err != nil && !errors.Is(err, os.ErrExist) {
		t.Fatal(err)
	}
	return dir
}
