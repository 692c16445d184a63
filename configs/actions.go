package configs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"flowgate/pipelines/templates"
)

const (
	// MaxActionBytes bounds the file of an action's template.
	MaxActionBytes = 256 << 10
	// maxActions bounds the templates of a folder.
	maxActions = 200
	// ActionTestSuffix ends the names of files with cases of a template: they are none themselves.
	ActionTestSuffix = ".test.yaml"
)

// actionEntry is templates.Template as a file has it.
type actionEntry struct {
	Name        string            `yaml:"name"`
	Description string            `yaml:"description"`
	Parameters  []parameterEntry  `yaml:"parameters"`
	Prompt      string            `yaml:"prompt"`
	System      string            `yaml:"system"`
	Model       string            `yaml:"model"`
	MaxTokens   *int              `yaml:"max_tokens"`
	Temperature *float64          `yaml:"temperature"`
	Fresh       bool              `yaml:"fresh"`
	Steps       []actionStepEntry `yaml:"steps"`
	Result      actionResultEntry `yaml:"result"`
}

type parameterEntry struct {
	Name        string `yaml:"name"`
	Description string `yaml:"description"`
	Type        string `yaml:"type"`
	Required    bool   `yaml:"required"`
	Default     any    `yaml:"default"`
	Allowed     []any  `yaml:"allowed"`
	MaxLength   *int   `yaml:"max_length"`
}

type actionStepEntry struct {
	Name        string    `yaml:"name"`
	DependsOn   *[]string `yaml:"depends_on"`
	Prompt      string    `yaml:"prompt"`
	System      string    `yaml:"system"`
	Model       string    `yaml:"model"`
	MaxTokens   *int      `yaml:"max_tokens"`
	Temperature *float64  `yaml:"temperature"`
	Fresh       bool      `yaml:"fresh"`
}

type actionResultEntry struct {
	JSON bool     `yaml:"json"`
	Keys []string `yaml:"keys"`
}

// LoadActions reads the templates of a folder, one of each file that ends in .yaml or .yml, by name; an empty folder has none. Its error
// joins a *Fault for everything that is wrong.
func LoadActions(folder string) ([]*templates.Template, error) {
	if folder == "" {
		return nil, nil
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, fmt.Errorf("reading flowgate.actions_folder: %w", err)
	}
	var all []*templates.Template
	var faults []error
	files := map[string]string{}
	for _, e := range entries {
		if end := filepath.Ext(e.Name()); e.IsDir() || end != ".yaml" && end != ".yml" || strings.HasSuffix(e.Name(), ActionTestSuffix) {
			continue
		}
		path := filepath.Join(folder, e.Name())
		t, err := LoadAction(path)
		switch {
		case err != nil:
			faults = append(faults, err)
			continue
		case files[t.Name] != "":
			faults = append(faults, &Fault{File: path, Key: "name", Text: fmt.Sprintf("%s is the name of %s too", t.Name, files[t.Name])})
		case len(all) == maxActions:
			return nil, fmt.Errorf("%s has more than %d actions", folder, maxActions)
		}
		files[t.Name] = path
		all = append(all, t)
	}
	slices.SortFunc(all, func(a, b *templates.Template) int { return strings.Compare(a.Name, b.Name) })
	return all, errors.Join(faults...)
}

// LoadAction reads the template of a file.
func LoadAction(path string) (*templates.Template, error) {
	data, err := readFile(path, MaxActionBytes)
	if err != nil {
		return nil, err
	}
	return decodeAction(path, data)
}

func decodeAction(file string, data []byte) (*templates.Template, error) {
	var entry actionEntry
	d, err := decodeYAML(file, data, nil, &entry)
	if err != nil {
		return nil, err
	}
	t, wrong := entry.template()
	made, err := templates.New(t)
	var found []error
	if err != nil {
		found = split(err)
	}
	for _, one := range found {
		f := &Fault{Text: one.Error()}
		if place, is := errors.AsType[*templates.Fault](one); is {
			f.Key, f.Text = place.Where, place.Text
		}
		wrong = append(wrong, f)
	}
	var all faults
	for _, f := range wrong {
		f.File, f.Line = file, d.lineNear(f.Key)
		all = append(all, f)
	}
	return made, all.join()
}

// lineNear is the line of a key, or of what it stands in.
func (d *decoder) lineNear(key string) int {
	for key != "" {
		if line, has := d.lines[key]; has {
			return line
		}
		key = key[:max(strings.LastIndexAny(key, ".["), 0)]
	}
	return 0
}

// template is what the file says, with what is wrong already.
func (e *actionEntry) template() (t templates.Template, wrong []*Fault) {
	t = templates.Template{Name: e.Name, Description: e.Description, Result: templates.Check{JSON: e.Result.JSON, Keys: e.Result.Keys}}
	above := func(key string, n *int) int {
		if n == nil {
			return 0
		}
		if *n == 0 {
			wrong = append(wrong, &Fault{Key: key, Text: "must be above 0; leave it out for the default"})
		}
		return *n
	}
	for i, p := range e.Parameters {
		t.Parameters = append(t.Parameters, templates.Parameter{
			Name: p.Name, Description: p.Description, Type: templates.Type(p.Type), Required: p.Required, Default: p.Default, Allowed: p.Allowed,
			MaxLength: above(fmt.Sprintf("parameters[%d].max_length", i), p.MaxLength),
		})
	}
	if len(e.Steps) == 0 {
		t.Steps = []templates.Step{{
			Name: templates.OnlyStep, Prompt: e.Prompt, System: e.System, Model: e.Model, MaxTokens: above("max_tokens", e.MaxTokens),
			Temperature: e.Temperature, Fresh: e.Fresh,
		}}
		return t, wrong
	}
	for key, given := range map[string]bool{
		"prompt": e.Prompt != "", "system": e.System != "", "model": e.Model != "", "max_tokens": e.MaxTokens != nil, "temperature": e.Temperature != nil, "fresh": e.Fresh,
	} {
		if given {
			wrong = append(wrong, &Fault{Key: key, Text: "cannot stand beside steps: each of these has its own"})
		}
	}
	for i, s := range e.Steps {
		step := templates.Step{
			Name: s.Name, Prompt: s.Prompt, System: s.System, Model: s.Model, MaxTokens: above(fmt.Sprintf("steps[%d].max_tokens", i), s.MaxTokens),
			Temperature: s.Temperature, Fresh: s.Fresh,
		}
		if s.DependsOn != nil {
			step.DependsOn = append([]string{}, *s.DependsOn...)
		}
		t.Steps = append(t.Steps, step)
	}
	return t, wrong
}
