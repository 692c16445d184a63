package handlers

import (
	"reflect"
	"testing"

	"flowgate/pipelines/ai"
	"flowgate/pipelines/corporate"
)

// TestLayer1DecidesByWhereAModelIsProcessed: allow-lists of regions look at the geography of an inference profile, not at the region that
// its backend is asked in.
func TestLayer1DecidesByWhereAModelIsProcessed(t *testing.T) {
	profile := ai.Menu{Profiles: true, Names: map[string]string{"claude-haiku-4-5": "eu.anthropic.claude-haiku-4-5-20251001-v1:0"}}
	c := &Corporate{Serving: []Serves{
		{corporate.Serving{Name: "anthropic", Region: "us"}, ai.Menu{Prefixes: ai.AnthropicPrefixes()}},
		{corporate.Serving{Name: "openai", Region: "us"}, ai.Menu{Prefixes: ai.OpenAIPrefixes()}},
		{corporate.Serving{Name: "bedrock", Region: "eu-west-1"}, profile},
	}}
	want := []corporate.Serving{
		{Name: "anthropic", Region: "us", Model: "claude-haiku-4-5"},
		{Name: "bedrock", Region: "eu", Model: "eu.anthropic.claude-haiku-4-5-20251001-v1:0"},
	}
	if got := c.serving("claude-haiku-4-5"); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := c.serving(""); got != nil {
		t.Errorf("no model is served by %+v", got)
	}
}
