package backends

import (
	"net/http"
	"strings"
	"testing"

	"flowgate/messages"
)

type usageReader func([]byte, usageFacts) (messages.Usage, bool)

func TestUsageIsSortedIntoClasses(t *testing.T) {
	bounded := usageFacts{input: 2000, output: 500, tier: "default"}
	for _, test := range []struct {
		name  string
		read  usageReader
		raw   string
		facts usageFacts
		want  messages.Usage
	}{
		{
			"anthropic, everything", anthropicUsage,
			`{"input_tokens":100,"output_tokens":50,"cache_read_input_tokens":20,"cache_creation_input_tokens":7,
			"cache_creation":{"ephemeral_5m_input_tokens":3,"ephemeral_1h_input_tokens":4},"output_tokens_details":{"thinking_tokens":10},
			"server_tool_use":{"web_search_requests":0,"web_fetch_requests":2},"service_tier":"standard","inference_geo":"us","speed":"standard","iterations":null}`,
			usageFacts{},
			messages.Usage{
				InputUncached: 100, InputCacheRead: 20, InputCacheWrite5m: 3, InputCacheWrite1h: 4, Output: 50, OutputReasoning: 10,
				ServiceTier: "standard", InferenceGeo: "us",
			},
		},
		{
			"anthropic, writes without a breakdown", anthropicUsage,
			`{"input_tokens":1,"output_tokens":2,"cache_creation_input_tokens":7,"cache_creation":null,"cache_read_input_tokens":null,"service_tier":"batch"}`,
			usageFacts{},
			messages.Usage{InputUncached: 1, InputCacheWrite5m: 7, Output: 2, ServiceTier: "batch", Batch: true},
		},
		{
			"anthropic, a faster speed is a tier", anthropicUsage, `{"input_tokens":1,"output_tokens":2,"service_tier":"standard","speed":"fast"}`,
			usageFacts{},
			messages.Usage{InputUncached: 1, Output: 2, ServiceTier: "fast"},
		},
		{
			"chat, everything", chatUsage,
			`{"prompt_tokens":1000,"completion_tokens":300,"total_tokens":1300,"prompt_tokens_details":{"cached_tokens":600,"cache_write_tokens":150,"audio_tokens":0},
			"completion_tokens_details":{"reasoning_tokens":200,"audio_tokens":0,"accepted_prediction_tokens":5,"rejected_prediction_tokens":6}}`,
			bounded,
			messages.Usage{InputUncached: 250, InputCacheRead: 600, InputCacheWrite5m: 150, Output: 300, OutputReasoning: 200, ServiceTier: "default"},
		},
		{
			"mlflow, what it tells", chatUsage, `{"prompt_tokens":12,"completion_tokens":3,"total_tokens":15,"prompt_tokens_details":null}`,
			usageFacts{},
			messages.Usage{InputUncached: 12, Output: 3},
		},
		{
			"responses, everything", responsesUsage,
			`{"input_tokens":10,"input_tokens_details":{"cached_tokens":4,"cache_write_tokens":1},"output_tokens":8,"output_tokens_details":{"reasoning_tokens":8},"total_tokens":18}`,
			usageFacts{tier: "flex", batch: true},
			messages.Usage{InputUncached: 5, InputCacheRead: 4, InputCacheWrite5m: 1, Output: 8, OutputReasoning: 8, ServiceTier: "flex", Batch: true},
		},
		{"embeddings", embeddingsUsage, `{"prompt_tokens":8,"total_tokens":8}`, usageFacts{}, messages.Usage{InputUncached: 8}},
		{
			"converse, everything", converseUsage,
			`{"inputTokens":20,"outputTokens":300,"totalTokens":2144,"cacheReadInputTokens":0,"cacheWriteInputTokens":1824,
			"cacheDetails":[{"inputTokens":1800,"ttl":"1h"},{"inputTokens":24,"ttl":"5m"}],"serverToolUsage":{}}`,
			usageFacts{tier: "priority"},
			messages.Usage{InputUncached: 20, InputCacheWrite5m: 24, InputCacheWrite1h: 1800, Output: 300, ServiceTier: "priority"},
		},
		{
			"converse, writes without a breakdown", converseUsage, `{"inputTokens":20,"outputTokens":30,"totalTokens":50,"cacheReadInputTokens":9,"cacheWriteInputTokens":8,"cacheDetails":[]}`,
			usageFacts{},
			messages.Usage{InputUncached: 20, InputCacheRead: 9, InputCacheWrite5m: 8, Output: 30},
		},
		{
			"more than max_tokens, within the margin", chatUsage, `{"prompt_tokens":135072,"completion_tokens":132072}`,
			bounded,
			messages.Usage{InputUncached: 135072, Output: 132072, ServiceTier: "default"},
		},
		{"an answer without a token", anthropicUsage, `{"input_tokens":9,"output_tokens":0}`, usageFacts{}, messages.Usage{InputUncached: 9}},
	} {
		if got, known := test.read([]byte(test.raw), test.facts); !known || got != test.want {
			t.Errorf("%s: %+v, known %v; want %+v", test.name, got, known, test.want)
		}
	}
}

func TestUsageThatCannotBeIsNotKnown(t *testing.T) {
	bounded := usageFacts{input: 2000, output: 500}
	chat := func(s string) string { return `{"prompt_tokens":10,"completion_tokens":5,` + s + `}` }
	claude := func(s string) string { return `{"input_tokens":10,"output_tokens":5,` + s + `}` }
	converse := func(s string) string { return `{"inputTokens":10,"outputTokens":5,` + s + `}` }
	for name, test := range map[string]struct {
		read usageReader
		raw  string
	}{
		"nothing":                 {chatUsage, ``},
		"null":                    {chatUsage, `null`},
		"no object":               {anthropicUsage, `[1,2]`},
		"cut off":                 {chatUsage, `{"prompt_tokens":10,"completion_tokens":5`},
		"more than one":           {chatUsage, `{"prompt_tokens":10,"completion_tokens":5} {}`},
		"no input":                {chatUsage, `{"completion_tokens":5}`},
		"no output":               {anthropicUsage, `{"input_tokens":5}`},
		"output null":             {responsesUsage, `{"input_tokens":5,"output_tokens":null}`},
		"names in capitals":       {converseUsage, `{"InputTokens":10,"OutputTokens":5}`},
		"names of another":        {responsesUsage, `{"prompt_tokens":10,"completion_tokens":5}`},
		"all zero":                {converseUsage, `{"inputTokens":0,"outputTokens":0,"totalTokens":0}`},
		"negative":                {chatUsage, `{"prompt_tokens":10,"completion_tokens":-5}`},
		"a fraction":              {chatUsage, `{"prompt_tokens":10.5,"completion_tokens":5}`},
		"a power":                 {chatUsage, `{"prompt_tokens":1e1,"completion_tokens":5}`},
		"a word":                  {chatUsage, `{"prompt_tokens":"10","completion_tokens":5}`},
		"more than any context":   {embeddingsUsage, `{"prompt_tokens":1073741825,"total_tokens":1073741825}`},
		"more than a number has":  {chatUsage, `{"prompt_tokens":99999999999999999999,"completion_tokens":5}`},
		"far over max_tokens":     {chatUsage, `{"prompt_tokens":10,"completion_tokens":132074}`},
		"far over the input":      {anthropicUsage, `{"input_tokens":10,"cache_read_input_tokens":135064,"output_tokens":1}`},
		"another total":           {chatUsage, chat(`"total_tokens":16`)},
		"no total that fits":      {converseUsage, converse(`"totalTokens":16`)},
		"embeddings with output":  {embeddingsUsage, chat(`"total_tokens":15`)},
		"more cached than input":  {chatUsage, chat(`"prompt_tokens_details":{"cached_tokens":8,"cache_write_tokens":3}`)},
		"negative detail":         {chatUsage, chat(`"prompt_tokens_details":{"cached_tokens":-1}`)},
		"details are a list":      {chatUsage, chat(`"prompt_tokens_details":[]`)},
		"sound in":                {chatUsage, chat(`"prompt_tokens_details":{"audio_tokens":1}`)},
		"sound out":               {responsesUsage, `{"input_tokens":10,"output_tokens":5,"output_tokens_details":{"audio_tokens":1}}`},
		"more reasoning than out": {chatUsage, chat(`"completion_tokens_details":{"reasoning_tokens":6}`)},
		"more thinking than out":  {anthropicUsage, claude(`"output_tokens_details":{"thinking_tokens":6}`)},
		"writes that differ":      {anthropicUsage, claude(`"cache_creation_input_tokens":9,"cache_creation":{"ephemeral_5m_input_tokens":3,"ephemeral_1h_input_tokens":4}`)},
		"searches":                {anthropicUsage, claude(`"server_tool_use":{"web_search_requests":1}`)},
		"a tier that is no word":  {anthropicUsage, claude(`"service_tier":"a tier"`)},
		"a tier that is a number": {anthropicUsage, claude(`"service_tier":5`)},
		"a tier that is long":     {anthropicUsage, claude(`"service_tier":"` + strings.Repeat("x", 65) + `"`)},
		"a detail of no time":     {converseUsage, converse(`"cacheWriteInputTokens":3,"cacheDetails":[{"inputTokens":3}]`)},
		"a detail of a new time":  {converseUsage, converse(`"cacheWriteInputTokens":3,"cacheDetails":[{"inputTokens":3,"ttl":"2h"}]`)},
		"details that differ":     {converseUsage, converse(`"cacheWriteInputTokens":3,"cacheDetails":[{"inputTokens":2,"ttl":"1h"}]`)},
		"details are an object":   {converseUsage, converse(`"cacheDetails":{}`)},
		"too many details":        {converseUsage, converse(`"cacheDetails":[` + strings.Repeat(`{"inputTokens":0,"ttl":"1h"},`, 16) + `{"inputTokens":0,"ttl":"1h"}]`)},
		"larger than it may be":   {chatUsage, chat(`"note":"` + strings.Repeat("x", maxUsageBytes) + `"`)},
	} {
		if got, known := test.read([]byte(test.raw), bounded); known || got != (messages.Usage{}) {
			t.Errorf("%s: %+v, known %v", name, got, known)
		}
	}
	if got, known := chatUsage([]byte(chat(`"a":1`)), usageFacts{tier: "a tier"}); known {
		t.Errorf("a tier that is no word beside it: %+v", got)
	}
}

func TestUsageOfInvokeModelIsInItsHeaders(t *testing.T) {
	read := func(f usageFacts, pairs ...string) (messages.Usage, bool) {
		h := http.Header{}
		for i := 0; i < len(pairs); i += 2 {
			h.Add(pairs[i], pairs[i+1])
		}
		return invokeUsage(h, f)
	}
	got, known := read(usageFacts{tier: "flex"}, "x-amzn-bedrock-input-token-count", "12", bedrockOutputTokens, "3", bedrockCacheReadTokens, "4", bedrockCacheWriteTokens, "5")
	if want := (messages.Usage{InputUncached: 12, InputCacheRead: 4, InputCacheWrite5m: 5, Output: 3, ServiceTier: "flex"}); !known || got != want {
		t.Errorf("%+v, known %v; want %+v", got, known, want)
	}
	if got, known = read(usageFacts{noOutput: true}, bedrockInputTokens, "12"); !known || got != (messages.Usage{InputUncached: 12}) {
		t.Errorf("embeddings: %+v, known %v", got, known)
	}
	for name, pairs := range map[string][]string{
		"none": nil, "no output": {bedrockInputTokens, "12"}, "no number": {bedrockInputTokens, "12", bedrockOutputTokens, "x"}, "empty": {bedrockInputTokens, "", bedrockOutputTokens, "1"},
		"negative": {bedrockInputTokens, "-12", bedrockOutputTokens, "3"}, "told twice": {bedrockInputTokens, "1", bedrockInputTokens, "1", bedrockOutputTokens, "1"},
		"zero": {bedrockInputTokens, "0", bedrockOutputTokens, "0"}, "absurd": {bedrockInputTokens, "1", bedrockOutputTokens, "999999"},
	} {
		if got, known := read(usageFacts{output: 100}, pairs...); known {
			t.Errorf("%s: %+v is known", name, got)
		}
	}
}

func FuzzUsage(f *testing.F) {
	f.Add([]byte(`{"input_tokens":10,"output_tokens":5,"cache_creation":{"ephemeral_5m_input_tokens":3},"service_tier":"batch"}`), "default", int64(100), int64(100))
	f.Add([]byte(`{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,"prompt_tokens_details":{"cached_tokens":8}}`), "", int64(0), int64(0))
	f.Add([]byte(`{"inputTokens":10,"outputTokens":5,"cacheWriteInputTokens":3,"cacheDetails":[{"inputTokens":3,"ttl":"1h"}]}`), "flex", int64(1), int64(-1))
	f.Fuzz(func(t *testing.T, raw []byte, tier string, input, output int64) {
		facts := usageFacts{input: input, output: output, tier: tier}
		header := http.Header{bedrockInputTokens: {string(raw)}, bedrockOutputTokens: {tier}}
		for name, read := range map[string]usageReader{
			"anthropic": anthropicUsage, "chat": chatUsage, "responses": responsesUsage, "embeddings": embeddingsUsage, "converse": converseUsage,
			"invoke": func(_ []byte, f usageFacts) (messages.Usage, bool) { return invokeUsage(header, f) },
		} {
			u, known := read(raw, facts)
			if !known {
				if u != (messages.Usage{}) {
					t.Errorf("%s: unknown, and yet %+v", name, u)
				}
				continue
			}
			least := min(u.InputUncached, u.InputCacheRead, u.InputCacheWrite5m, u.InputCacheWrite1h, u.Output, u.OutputReasoning)
			if least < 0 || u.Input()+u.Output <= 0 || u.OutputReasoning > u.Output || len(u.ServiceTier)+len(u.InferenceGeo) > 2*maxUsageWord {
				t.Errorf("%s: %+v cannot be", name, u)
			}
		}
	})
}
