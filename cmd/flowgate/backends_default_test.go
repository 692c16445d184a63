package main

import (
	"os"
	"strings"
	"testing"
	"time"

	"flowgate/configs"
)

func TestDefaultModelThatNobodyServesIsWarnedOf(t *testing.T) {
	for name, c := range map[string]struct {
		settings string
		env      []string
		want     string // empty: nothing
	}{
		"no key at all":          {"", nil, ""},
		"Bedrock":                {"aws: {bedrock: {region: eu-west-1}}", nil, ""},
		"only an Anthropic key":  {"", []string{"ANTHROPIC_API_KEY=k"}, "no backend in use (anthropic) serves the default model anthropic.claude-3-sonnet-20240229-v1:0"},
		"another default":        {"aws: {bedrock: {default_model: claude-haiku-4-5}}", []string{"ANTHROPIC_API_KEY=k"}, ""},
		"an alias":               {"aws: {bedrock: {default_model: small, model_mapping: {small: claude-haiku-4-5}}}", []string{"ANTHROPIC_API_KEY=k"}, ""},
		"a name there":           {"flowgate: {backends: {anthropic: {names: {'anthropic.claude-3-sonnet-20240229-v1:0': claude-haiku-4-5}}}}", []string{"ANTHROPIC_API_KEY=k"}, ""},
		"a default of no price":  {"aws: {bedrock: {default_model: gpt-nobody}}", []string{"OPENAI_API_KEY=k"}, "model_unknown"},
		"nobody is used, anyway": {"flowgate: {backends: {allowed: [openai]}}", nil, ""},
	} {
		env := variables(c.env...)
		s := settingsFrom(t, c.settings, env)
		prices, err := configs.PricesOf(s)
		if err != nil {
			t.Fatal(err)
		}
		got := warnDefault(s, env, prices)
		if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
		if _, other, named := strings.Cut(got, "such as "); got != "" && (!named || len((&backendsView{Backends: viewsOf(detect(s, env), prices, time.Now())}).serving(prices, other, time.Now())) == 0) {
			t.Errorf("%s: %q names no model that is served", name, got)
		}
	}
}

func TestEveryCommandThatSeesTheDefaultModelWarns(t *testing.T) {
	t.Setenv("ANTHROPIC_API_KEY", "k")
	file := written(t, "flowgate: {backends: {allowed: [anthropic]}}", 0o600)
	var text strings.Builder
	r := checkSettings(file)
	if err := r.print(&text, false); err != nil || !r.OK || !strings.Contains(text.String(), "aws.bedrock.default_model: in this environment no backend in use (anthropic)") {
		t.Errorf("%v: config check says %s", err, text.String())
	}
	s := settingsFrom(t, "flowgate: {backends: {allowed: [anthropic]}}", os.LookupEnv)
	prices, err := configs.PricesOf(s)
	if err != nil {
		t.Fatal(err)
	}
	n := &node{settings: s, prices: prices, found: detect(s, os.LookupEnv)}
	if said := n.sayBackends(); !strings.Contains(said, "  warning   aws.bedrock.default_model: no backend in use (anthropic)") {
		t.Errorf("up says %s", said)
	}
	v := &backendsView{Backends: viewsOf(n.found, prices, time.Now()), settings: s, Warnings: []configs.Warning{{Key: "k", Text: "leads nowhere"}}}
	var out strings.Builder
	if err := v.show(&out, false, false); err != nil || !strings.Contains(out.String(), "\nWarning: k: leads nowhere\n") {
		t.Errorf("%v: backends says %s", err, out.String())
	}
}
