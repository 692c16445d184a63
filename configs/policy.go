package configs

import (
	"errors"
	"time"

	"flowgate/pipelines/policy"
)

// MaxPolicyBytes bounds the file of a policy.
const MaxPolicyBytes = 1 << 20

// policyEntry is a policy as its file has it.
type policyEntry struct {
	Name  string      `yaml:"name"`
	Rules []ruleEntry `yaml:"rules"`
	Cases []caseEntry `yaml:"cases"`
}

type ruleEntry struct {
	ID      string `yaml:"id"`
	Effect  string `yaml:"effect"`
	When    string `yaml:"when"`
	Because string `yaml:"because"`
}

type caseEntry struct {
	Name    string     `yaml:"name"`
	Facts   factsEntry `yaml:"facts"`
	Denied  string     `yaml:"denied"`
	Flagged []string   `yaml:"flagged"`
}

// factsEntry is policy.Facts with the same names.
type factsEntry struct {
	Tenant        string           `yaml:"tenant"`
	ID            string           `yaml:"id"`
	Class         string           `yaml:"class"`
	Kind          string           `yaml:"kind"`
	Priority      string           `yaml:"priority"`
	User          string           `yaml:"user"`
	Department    string           `yaml:"department"`
	Purpose       string           `yaml:"purpose"`
	ReasonLength  int64            `yaml:"reason_length"`
	Trigger       string           `yaml:"trigger"`
	Model         string           `yaml:"model"`
	Temperature   float64          `yaml:"temperature"`
	MaxTokens     int64            `yaml:"max_tokens"`
	PromptBytes   int64            `yaml:"prompt_bytes"`
	Turns         int64            `yaml:"turns"`
	Images        int64            `yaml:"images"`
	Tools         int64            `yaml:"tools"`
	Inputs        int64            `yaml:"inputs"`
	BoundMicroUSD int64            `yaml:"bound_microusd"`
	Findings      map[string]int64 `yaml:"findings"`
	Data          []string         `yaml:"data"`
	Now           time.Time        `yaml:"now"`
	Submitted     time.Time        `yaml:"submitted"`
}

// LoadPolicy reads and compiles the bundle of a file. Its error joins a *Fault for everything that is wrong.
func LoadPolicy(path string) (*policy.Policy, error) {
	data, err := readFile(path, MaxPolicyBytes)
	if err != nil {
		return nil, err
	}
	return decodePolicy(path, data)
}

func decodePolicy(file string, data []byte) (*policy.Policy, error) {
	var entry policyEntry
	d, err := decodeYAML(file, data, nil, &entry)
	if err != nil {
		return nil, err
	}
	p, err := policy.Compile(entry.bundle())
	if err == nil {
		return p, nil
	}
	var wrong faults
	for _, one := range split(err) {
		at := &Fault{File: file, Text: one.Error()}
		if place, ok := errors.AsType[*policy.Fault](one); ok {
			at.Key, at.Line, at.Text = place.Where, d.lines[place.Where], place.Text
		}
		wrong = append(wrong, at)
	}
	return nil, wrong.join()
}

// split undoes errors.Join.
func split(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return []error{err}
}

func (e policyEntry) bundle() policy.Bundle {
	b := policy.Bundle{Name: e.Name}
	for _, r := range e.Rules {
		b.Rules = append(b.Rules, policy.Rule{ID: r.ID, Effect: policy.Effect(r.Effect), When: r.When, Because: r.Because})
	}
	for _, c := range e.Cases {
		b.Cases = append(b.Cases, policy.Case{Name: c.Name, Facts: policy.Facts(c.Facts), Denied: c.Denied, Flagged: c.Flagged})
	}
	return b
}
