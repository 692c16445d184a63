package backends

import "flowgate/messages"

// anthropicUsage sorts the usage object of Anthropic Messages into our classes: input_tokens excludes what was read from and written to
// the cache; writes without a breakdown are those of the default, five minutes. What is charged beside tokens (searches on the web) makes it
// unknown.
func anthropicUsage(raw []byte, f usageFacts) (messages.Usage, bool) {
	c := readCounts(raw)
	u := messages.Usage{
		InputUncached: c.must("input_tokens"), InputCacheRead: c.may("cache_read_input_tokens"), InputCacheWrite5m: c.may("cache_creation_input_tokens"),
		Output: c.must("output_tokens"), ServiceTier: c.word("service_tier"), InferenceGeo: c.word("inference_geo"),
	}
	c.within("cache_creation", func(in *counts) {
		u.InputCacheWrite5m, u.InputCacheWrite1h = in.may("ephemeral_5m_input_tokens"), in.may("ephemeral_1h_input_tokens")
	})
	c.agree("cache_creation_input_tokens", u.InputCacheWrite5m+u.InputCacheWrite1h)
	c.within("output_tokens_details", func(in *counts) { u.OutputReasoning = in.may("thinking_tokens") })
	c.within("server_tool_use", func(in *counts) { in.bad = in.bad || in.may("web_search_requests") > 0 })
	if speed := c.word("speed"); speed != "" && speed != "standard" {
		u.ServiceTier = speed // dearer whatever the tier
	}
	return f.settle(u, c)
}
