package ai_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"flowgate/messages"
	"flowgate/pipelines/ai"
)

func cacheRules() ai.CacheRules {
	return ai.CacheRules{
		Enabled: true, Sampled: true, Default: ai.CacheRule{Enabled: true, TTL: time.Hour},
		Families: map[string]ai.CacheRule{"claude": {Enabled: true, TTL: 48 * time.Hour}, "titan": {TTL: time.Hour}, "llama": {Enabled: true}},
	}
}

func TestWhatACallMayDoWithTheCache(t *testing.T) {
	off, exact := cacheRules(), cacheRules()
	off.Enabled, exact.Sampled = false, false
	wish := func(w messages.CacheControl) *messages.CacheControl { return &w }
	for name, c := range map[string]struct {
		model       string
		temperature float64
		kind        messages.Kind
		free        bool
		rules       ai.CacheRules
		wish, other *messages.CacheControl

		read, write bool
		age, ttl    time.Duration
		why         ai.CacheReason
	}{
		"nothing said":                   {model: "claude-3", temperature: 0.7, read: true, write: true, age: 48 * time.Hour, ttl: 48 * time.Hour},
		"a family without rules":         {model: "gpt-5", read: true, write: true, age: time.Hour, ttl: time.Hour},
		"a family that is off":           {model: "titan-1", why: ai.CacheOff},
		"a family of no time":            {model: "llama-3", why: ai.CacheOff},
		"off":                            {model: "claude-3", rules: off, why: ai.CacheOff},
		"the offline backend":            {model: "claude-3", free: true, why: ai.CacheFree},
		"sampled, where it may not be":   {model: "claude-3", temperature: 0.7, rules: exact, why: ai.CacheSampled},
		"exact, where it has to be":      {model: "claude-3", rules: exact, read: true, write: true, age: 48 * time.Hour, ttl: 48 * time.Hour},
		"an embedding is never sampled":  {model: "claude-3", temperature: 0.7, kind: messages.KindEmbedding, rules: exact, read: true, write: true, age: 48 * time.Hour, ttl: 48 * time.Hour},
		"no_cache":                       {model: "claude-3", wish: wish(messages.CacheControl{NoCache: true}), why: ai.CacheNoCache},
		"no_cache wins":                  {model: "claude-3", wish: wish(messages.CacheControl{NoCache: true, Refresh: true, MaxAge: new(5.0)}), why: ai.CacheNoCache},
		"no_store":                       {model: "claude-3", wish: wish(messages.CacheControl{NoStore: true}), read: true, age: 48 * time.Hour, ttl: 48 * time.Hour, why: ai.CacheNoStore},
		"refresh":                        {model: "claude-3", wish: wish(messages.CacheControl{Refresh: true}), write: true, age: 48 * time.Hour, ttl: 48 * time.Hour, why: ai.CacheRefresh},
		"refresh and no_store":           {model: "claude-3", wish: wish(messages.CacheControl{Refresh: true, NoStore: true}), why: ai.CacheRefresh},
		"max_age":                        {model: "claude-3", wish: wish(messages.CacheControl{MaxAge: new(1.5)}), read: true, write: true, age: 1500 * time.Millisecond, ttl: 48 * time.Hour, why: ai.CacheMaxAge},
		"max_age of nothing":             {model: "claude-3", wish: wish(messages.CacheControl{MaxAge: new(0.0)}), write: true, ttl: 48 * time.Hour, why: ai.CacheMaxAge},
		"max_age of more than there is":  {model: "claude-3", wish: wish(messages.CacheControl{MaxAge: new(1e9)}), read: true, write: true, age: 48 * time.Hour, ttl: 48 * time.Hour},
		"an agreement that is stricter":  {model: "claude-3", wish: wish(messages.CacheControl{MaxAge: new(60.0)}), other: wish(messages.CacheControl{NoStore: true}), read: true, age: time.Minute, ttl: 48 * time.Hour, why: ai.CacheMaxAge},
		"a request that wishes for none": {model: "claude-3", wish: &messages.CacheControl{}, read: true, write: true, age: 48 * time.Hour, ttl: 48 * time.Hour},
	} {
		if reflect.DeepEqual(c.rules, ai.CacheRules{}) {
			c.rules = cacheRules()
		}
		call := ai.Call{Key: key, Kind: c.kind, Model: c.model, Temperature: c.temperature}
		got := ai.Caching(&call, !c.free, c.rules, c.wish, c.other)
		if got.Read != c.read || got.Write != c.write || got.MaxAge != c.age || got.TTL != c.ttl || got.Why != c.why {
			t.Errorf("%s: got %+v", name, got)
		}
		if used := c.read || c.write; (got.Key != "") != used || used && got.Key != ai.CacheKey(got.Family, &call) {
			t.Errorf("%s: key %q of %q", name, got.Key, got.Family)
		}
	}
}

func TestAnswersOfBackendsThatARequestMayNotAskAreNotReused(t *testing.T) {
	c := &messages.CorporateSection{}
	if ai.Reusable(nil, "bedrock", "") || !ai.Reusable(c, "bedrock", "") {
		t.Error("without lists everything may be reused")
	}
	c.AllowedBackends, c.AllowedRegions = []string{"bedrock"}, []string{"eu-west-1"}
	for at, want := range map[[2]string]bool{{"bedrock", "eu-west-1"}: true, {"openai", "eu-west-1"}: false, {"bedrock", "us-east-1"}: false, {"bedrock", ""}: false} {
		if ai.Reusable(c, at[0], at[1]) != want {
			t.Errorf("%v", at)
		}
	}
}

func TestOnlyWholeAnswersAreKept(t *testing.T) {
	for _, reason := range []string{"stop", "end_turn", "max_tokens", "length", "tool_use"} {
		if a := (ai.Answer{Text: "x", FinishReason: reason}); !ai.Keepable(&a) {
			t.Errorf("%s is not kept", reason)
		}
	}
	for name, a := range map[string]ai.Answer{
		"refused": {Text: "x", FinishReason: "stop", Refused: true}, "empty": {FinishReason: "stop"}, "filtered": {Text: "x", FinishReason: "content_filter"},
		"filtered at Bedrock": {Text: "x", FinishReason: "content_filtered"}, "stopped by a guardrail": {Text: "x", FinishReason: "guardrail_intervened"},
		"a refusal": {Text: "x", FinishReason: "refusal"}, "paused": {Text: "x", FinishReason: "pause_turn"}, "malformed": {Text: "x", FinishReason: "malformed_model_output"},
		"a word of a newer version": {Text: "x", FinishReason: "whatever"}, "without a word": {Text: "x"},
	} {
		if ai.Keepable(&a) {
			t.Errorf("an answer that is %s is kept", name)
		}
		if _, err := ai.Keep(&a); err == nil {
			t.Errorf("an answer that is %s is encoded", name)
		}
	}
	if _, err := ai.Recall(json.RawMessage(`{"text":"x","finish_reason":"content_filter"}`), messages.Usage{}); err == nil {
		t.Error("an answer that was filtered is recalled")
	}
}

func TestKeptAnswersComeBackAsTheyWere(t *testing.T) {
	for name, a := range map[string]ai.Answer{
		"a text":    {Text: "Dear <EMAIL_1> & co", Model: "claude-3-x", FinishReason: "end_turn", ProviderRequestID: "req_1", Usage: messages.Usage{InputUncached: 3, Output: 4}},
		"a tool":    {ToolCalls: []messages.ToolCall{{ID: "t", Name: "look", Arguments: `{"broken`}}, FinishReason: "tool_use", UsageUnknown: true},
		"a vector":  {Embeddings: [][]float32{{0.1, -3.4028235e38, 1e-45}, {0, 1, 2}}, FinishReason: "stop"},
		"bad UTF-8": {Text: strings.ToValidUTF8("a\xffb", "\ufffd"), FinishReason: "stop"},
	} {
		data, err := ai.Keep(&a)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(data), `\u003c`) {
			t.Errorf("%s: %s", name, data)
		}
		if got, err := ai.Recall(data, a.Usage); err != nil || !reflect.DeepEqual(got, a) {
			t.Errorf("%s: %+v became %+v, %v", name, a, got, err)
		}
	}
	if _, err := ai.Recall(json.RawMessage(`[]`), messages.Usage{}); err == nil {
		t.Error("a list was recalled")
	}
}

func TestWhatWasAskedIsShownWithoutImages(t *testing.T) {
	c := fullCall()
	data, err := ai.Asked(&c)
	if err != nil {
		t.Fatal(err)
	}
	var shown map[string]any
	if err := json.Unmarshal(data, &shown); err != nil || shown["model"] != "claude-3" || strings.Contains(string(data), "AAAA") || !strings.Contains(string(data), "4 bytes of base64") {
		t.Errorf("%s %v", data, err)
	}
	if c.Messages[1].Images[0].Data != "AAAA" {
		t.Error("the call was changed")
	}
}
