package main

import "testing"

func TestSettingsThatChangeAnswersChangeWhatABackendMeans(t *testing.T) {
	seen := map[string]string{}
	for name, c := range map[string]struct{ backend, settings string }{
		"a guardrail":         {"bedrock", "flowgate: {backends: {bedrock: {guardrail: a, guardrail_version: 1}}}"},
		"its next version":    {"bedrock", "flowgate: {backends: {bedrock: {guardrail: a, guardrail_version: 2}}}"},
		"a server":            {"openai", "flowgate: {backends: {openai: {base_url: 'https://a.example/v1'}}}"},
		"another":             {"openai", "flowgate: {backends: {openai: {base_url: 'https://b.example/v1'}}}"},
		"one for Claude":      {"anthropic", "flowgate: {backends: {anthropic: {base_url: 'https://c.example'}}}"},
		"a server of Bedrock": {"bedrock", "aws: {bedrock: {endpoint: 'https://d.example'}}"},
	} {
		none := variables()
		s := settingsFrom(t, c.settings, none)
		for _, f := range detect(s, none) {
			m := meaning(s, f)
			if f.Name != c.backend {
				if m != "" && f.Address != "" {
					t.Errorf("%s: %s means %s", name, f.Name, m)
				}
				continue
			}
			if other, twice := seen[m]; twice || m == "" {
				t.Errorf("%s: %q, as %q", name, m, other)
			}
			seen[m] = name
		}
	}
}
