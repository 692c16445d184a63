package configs

import (
	"fmt"
	"path/filepath"

	"flowgate/pipelines/templates"
)

// maxCases bounds the cases of a file.
const maxCases = 1000

type actionCasesEntry struct {
	Action string            `yaml:"action"`
	Cases  []actionCaseEntry `yaml:"cases"`
}

type actionCaseEntry struct {
	Name       string            `yaml:"name"`
	Parameters map[string]any    `yaml:"parameters"`
	Answers    map[string]string `yaml:"answers"`
	Prompts    map[string]string `yaml:"prompts"`
	Systems    map[string]string `yaml:"systems"`
	Error      string            `yaml:"error"`
}

// LoadActionCases reads a file of cases and the template that they are for, whose path is relative to the file's.
func LoadActionCases(path string) (*templates.Template, []templates.Case, error) {
	data, err := readFile(path, MaxActionBytes)
	if err != nil {
		return nil, nil, err
	}
	action, cases, err := decodeCases(path, data)
	if err != nil {
		return nil, nil, err
	}
	if !filepath.IsAbs(action) {
		action = filepath.Join(filepath.Dir(path), action)
	}
	t, err := LoadAction(action)
	return t, cases, err
}

func decodeCases(file string, data []byte) (action string, cases []templates.Case, err error) {
	var entry actionCasesEntry
	d, err := decodeYAML(file, data, nil, &entry)
	if err != nil {
		return "", nil, err
	}
	var wrong faults
	fault := func(key, text string) {
		wrong = append(wrong, &Fault{File: file, Line: d.lineNear(key), Key: key, Text: text})
	}
	if entry.Action == "" {
		fault("action", "is required: the file of the template, such as board_summary.yaml")
	}
	if n := len(entry.Cases); n == 0 || n > maxCases {
		fault("cases", fmt.Sprintf("has %d, must have from 1 to %d", n, maxCases))
	}
	for i, c := range entry.Cases {
		if c.Name == "" {
			fault(fmt.Sprintf("cases[%d].name", i), "is required")
		}
		cases = append(cases, templates.Case{Name: c.Name, Parameters: c.Parameters, Answers: c.Answers, Prompts: c.Prompts, Systems: c.Systems, Error: c.Error})
	}
	return entry.Action, cases, wrong.join()
}
