package configs

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"flowgate/pipelines/templates"
)

func inFolder(t *testing.T, files map[string]string) string {
	t.Helper()
	folder := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

func TestAScaffoldedActionPassesItsCases(t *testing.T) {
	t.Parallel()
	action, cases := ScaffoldAction("board_summary")
	folder := inFolder(t, map[string]string{"board_summary.yaml": string(action), "board_summary.test.yaml": string(cases), "notes.txt": "none"})
	made, tried, err := LoadActionCases(filepath.Join(folder, "board_summary.test.yaml"))
	if err != nil || len(tried) < 5 {
		t.Fatal(err, tried)
	}
	for _, c := range tried {
		if why := made.Try(c); why != "" {
			t.Errorf("%s: %s", c.Name, why)
		}
	}
	all, err := LoadActions(folder)
	if err != nil || len(all) != 1 || all[0].Name != "board_summary" || len(all[0].Steps) != 2 {
		t.Errorf("%v: %+v", err, all)
	}
	if none, err := LoadActions(""); err != nil || none != nil {
		t.Errorf("%v: %+v", err, none)
	}
}

func TestFaultsOfActionsNameTheLine(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text, key, says string
		line            int
	}{
		"unknown key":       {"name: x\nprompt: a\nmodels: b\n", "models", "model", 3},
		"unknown in a step": {"name: x\nsteps:\n  - name: a\n    prompt: b\n    max_token: 3\n", "steps[0].max_token", "max_tokens", 5},
		"unknown parameter": {"name: x\nsteps:\n  - name: a\n    prompt: |\n      {{week}}\n", "steps[0].prompt", "no parameter", 4},
		"no name":           {"prompt: b\n", "name", "is required", 0},
		"both":              {"name: x\nprompt: b\nsteps:\n  - {name: a, prompt: b}\n", "prompt", "beside steps", 2},
		"zero":              {"name: x\nprompt: b\nmax_tokens: 0\n", "max_tokens", "above 0", 3},
		"a wrong type":      {"name: x\nprompt: b\nparameters:\n  - {name: p, type: date}\n", "parameters[0].type", "must be one of", 4},
		"no prompt":         {"name: x\n", "prompt", "is required", 0},
		"twice":             {"name: x\nname: y\nprompt: a\n", "name", "twice", 2},
	} {
		_, err := decodeAction("a.yaml", []byte(c.text))
		fault, is := errors.AsType[*Fault](err)
		if !is || fault.Key != c.key || fault.Line != c.line || fault.File != "a.yaml" || !strings.Contains(fault.Text, c.says) {
			t.Errorf("%s: %v (%+v)", name, err, fault)
		}
	}
	folder := inFolder(t, map[string]string{"a.yaml": "name: x\nprompt: a\n", "b.yml": "name: x\nprompt: b\n", "c.yaml": "prompt: b\n"})
	if _, err := LoadActions(folder); err == nil || !strings.Contains(err.Error(), "is the name of") || !strings.Contains(err.Error(), "c.yaml") {
		t.Error(err)
	}
	if _, err := LoadActions(filepath.Join(folder, "nowhere")); err == nil || !strings.Contains(err.Error(), "flowgate.actions_folder") {
		t.Error(err)
	}
	for _, text := range []string{"cases: []\n", "action: a.yaml\ncases: [{parameters: {}}]\n", "action: a.yaml\ncases: [{name: x, prompt: y}]\n"} {
		if _, _, err := decodeCases("a.test.yaml", []byte(text)); err == nil {
			t.Errorf("%s is taken", text)
		}
	}
}

// FuzzDecodeAction: what is read asks something for parameters that are given, and never reads these as a template.
func FuzzDecodeAction(f *testing.F) {
	f.Add("name: x\nparameters:\n  - {name: a, required: true}\nsteps:\n  - {name: b, prompt: '{{a}}'}\n  - {name: c, depends_on: [b], prompt: '{{b.answer}}'}")
	f.Add("action: a.yaml\ncases: [{name: x, parameters: {a: 1}, prompts: {b: c}, error: d}]")
	f.Add("name: x\nprompt: '{{a}} {{{{'\nparameters: [{name: a, default: &d 1, allowed: [*d, 2.5, true]}]\nresult: {json: true}")
	f.Fuzz(func(t *testing.T, text string) {
		if _, _, err := decodeCases("c.yaml", []byte(text)); err == nil && !strings.Contains(text, "action") {
			t.Fatal("cases of no action")
		}
		made, err := decodeAction("a.yaml", []byte(text))
		if err != nil {
			return
		}
		given, answers := map[string]any{}, map[string]string{}
		for _, p := range made.Parameters {
			if p.Type == templates.Text && len(p.Allowed) == 0 {
				given[p.Name] = "{{"
			}
		}
		values, err := made.Bind(given)
		if err != nil {
			return
		}
		for i, s := range made.Steps {
			for _, before := range made.After(i) {
				if before >= i {
					t.Fatalf("step %d comes after %d", i, before)
				}
			}
			if r, err := made.Request(i, values, answers); err == nil && len(r.Prompt)+len(r.System) > templates.MaxRendered {
				t.Fatalf("step %s asks %d bytes", s.Name, len(r.Prompt))
			}
			answers[s.Name] = "{{"
		}
	})
}
