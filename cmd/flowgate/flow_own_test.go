package main

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"flowgate/messages"
	"flowgate/worker/actions"
)

// TestAnOwnActionFromItsScaffold: what `flow new` writes is tried, imported, approved and carried out as it is.
func TestAnOwnActionFromItsScaffold(t *testing.T) {
	t.Parallel()
	g := newGround(t, quickSettings+"  actions_folder: actions\n")
	if err := os.Mkdir(filepath.Join(g.dir, "actions"), 0o700); err != nil {
		t.Fatal(err)
	}
	var made scaffolded
	g.say("flow", "new", "[Board Summary]", "--action", "board_summary", "--json").read(t, &made)
	if made.Action != "board_summary" || len(made.ActionFiles) != 2 {
		t.Fatalf("made %+v", made)
	}
	g.say("flow", "new", "[Board Summary]", "--action", "board_summary").wants(t, exitFailed, "is there already")
	g.say("flow", "new", "[Other]", "--action", "cost_analysis").wants(t, exitDone, "is there already (built_in)")
	g.say("flow", "new", "[Third]", "--action", "Board").wants(t, exitUsage, "--action")
	g.say("flow", "new", "[Third]", "--action", "third", "--go").wants(t, exitUsage, "flowgate's sources")
	g.say(strings.Fields(made.TryWith)[1:]...).wants(t, exitDone, "ok    actions/board_summary.test.yaml: no figures")
	g.file("actions/other.test.yaml", []byte("action: board_summary.yaml\ncases: [{name: wrong, parameters: {figures: x}, prompts: {facts: y}}]\n"))
	g.say("flow", "test", "actions/other.test.yaml").wants(t, exitFailed, "FAIL", "the prompt of step facts is")
	g.say("flow", "test", "actions/board_summary.yaml").wants(t, exitUsage, "a file of cases ends in .test.yaml")

	up := g.up()
	up.ready()
	g.say("flow", "import", made.File, "--submit", "--reason", "x", "--by", "anna").wants(t, exitDone, "in review")
	if s := g.say("flow", "approve", "[Board Summary]", "--reason", "x", "--by", "maria"); s.code != exitDone || strings.Contains(s.stderr, "warning") {
		t.Errorf("got %+v", s)
	}
	var r messages.Result
	eventually(t, "the action is carried out", func() bool {
		s := g.say("flow", "run", "board summary", "--param", "figures=sales rose by 4 %", "--json")
		s.read(t, &r)
		return s.code == exitDone
	})
	var report actions.TemplateReport
	if x := r.Execution; x == nil || x.Mode != messages.ExecutionReal || json.Unmarshal(x.Result, &report) != nil {
		t.Fatalf("got %+v", r)
	}
	if len(report.Steps) != 2 || report.Answer == "" || report.CostMicroUSD <= 0 || report.Note == "" || r.Execution.Samples != 0 {
		t.Errorf("the offline backend gave %+v", report)
	}
	eventually(t, "the record has its steps as parts of it", func() bool {
		shown := g.say("audit", "show", report.Steps[1].ID, "--json").stdout
		return strings.Contains(shown, "[Board Summary]") && strings.Contains(shown, `"part_of"`)
	})
	s := g.say("flow", "run", "board summary", "--param", "figures=sales fell by 1 %", "--param", "tone=formal")
	s.wants(t, exitDone, "STEP     STATUS   SECONDS", "  note      the offline backend answered", "facts    success", "[offline backend, no model]")
	for line := range strings.SplitSeq(s.stdout, "\n") {
		if cellsOf(line) > tableWidth && !strings.HasPrefix(line, "[offline") {
			t.Errorf("a line of %d cells: %s", cellsOf(line), line)
		}
	}
	g.say("flow", "run", "board summary", "--param", "tone=plain").wants(t, exitFailed, "parameter figures is required", "action_failed")

	var all struct {
		Actions []listedAction
		Unknown []unknownAction
	}
	g.say("flow", "actions", "--json").read(t, &all)
	if at := slices.IndexFunc(all.Actions, func(a listedAction) bool { return a.Name == "board_summary" }); at < 0 || all.Actions[at].Kind != actions.KindTemplate || !slices.Equal(all.Actions[at].Agreements, []string{"[Board Summary]"}) || len(all.Actions[at].Parameters) != 2 {
		t.Errorf("the actions are %+v", all)
	}
	g.say("flow", "actions").wants(t, exitDone, "board_summary (template)", "used by [Board Summary]", "parameter tone, text, default plain, one of plain, formal")
	g.file("ask.yaml", []byte("- {trigger: x, flow_encoding: \"@a#b!c@d\", action: sing}\n"))
	g.say("flow", "import", "ask.yaml", "--dry-run").wants(t, exitDone, "warning: x: the settings in use here know no action sing")
	up.stop()

	g.file("actions/broken.yaml", []byte("name: broken\nprompt: \"{{week}}\"\n"))
	g.say("flow", "actions").wants(t, exitUsage, "actions/broken.yaml:2", "{{week}} is no parameter")
	g.say("config", "check").wants(t, exitUsage, "{{week}} is no parameter")
	g.say("up").wants(t, exitUsage, "{{week}} is no parameter")
}

// TestAnOwnActionInGoFromItsScaffold builds flowgate's sources with what `flow new --go` wrote into others of the same form.
func TestAnOwnActionInGoFromItsScaffold(t *testing.T) {
	t.Parallel()
	sources, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	own, err := os.ReadFile(filepath.Join(sources, ownFolder, "own.go"))
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"go.mod": []byte("module flowgate\n"), ownFolder + "/own.go": own} {
		if err := errors.Join(os.MkdirAll(filepath.Join(root, filepath.Dir(name)), 0o700), os.WriteFile(filepath.Join(root, name), data, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(binary(t), "flow", "new", `[Audit "of" Linux]`, "--action", "audit_linux", "--go", "--json")
	cmd.Dir, cmd.Env = root, environ()
	out, err := cmd.Output()
	var made scaffolded
	if err != nil || json.Unmarshal(out, &made) != nil || len(made.ActionFiles) != 2 {
		t.Fatalf("%v: %s", err, out)
	}
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	for _, path := range append(made.ActionFiles, filepath.Join(root, ownFolder, "own.go")) {
		overlay.Replace[filepath.Join(sources, ownFolder, filepath.Base(path))] = path
	}
	data, err := json.Marshal(overlay)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(root, "overlay.json")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	test := exec.Command("go", "test", "-overlay", file, "-v", "-run", "TestAuditLinux", "./"+ownFolder)
	test.Dir = sources
	if said, err := test.CombinedOutput(); err != nil || !strings.Contains(string(said), "--- PASS: TestAuditLinux") {
		t.Errorf("%v: %s", err, said)
	}
}
