package backends

import "flowgate/messages"

// chatUsage sorts the usage object of OpenAI Chat Completions into our classes: prompt_tokens holds what was read from and written to the
// cache, completion_tokens holds the reasoning. Sound has prices of its own, which makes it unknown. MLflow and other compatible servers
// tell the same.
func chatUsage(raw []byte, f usageFacts) (messages.Usage, bool) {
	return openAIUsage(raw, f, "prompt_tokens", "completion_tokens")
}

// responsesUsage sorts the usage object of OpenAI Responses, which differs in its names.
func responsesUsage(raw []byte, f usageFacts) (messages.Usage, bool) {
	return openAIUsage(raw, f, "input_tokens", "output_tokens")
}

// embeddingsUsage sorts the usage object of OpenAI Embeddings, which knows input alone.
func embeddingsUsage(raw []byte, f usageFacts) (messages.Usage, bool) {
	c := readCounts(raw)
	u := messages.Usage{InputUncached: c.must("prompt_tokens")}
	c.bad = c.bad || c.may("completion_tokens") > 0
	c.agree("total_tokens", u.InputUncached)
	return f.settle(u, c)
}

func openAIUsage(raw []byte, f usageFacts, input, output string) (messages.Usage, bool) {
	c := readCounts(raw)
	u := messages.Usage{InputUncached: c.must(input), Output: c.must(output)}
	c.agree("total_tokens", u.InputUncached+u.Output)
	c.within(input+"_details", func(in *counts) {
		u.InputCacheRead, u.InputCacheWrite5m = in.may("cached_tokens"), in.may("cache_write_tokens")
		in.bad = in.bad || in.may("audio_tokens") > 0
	})
	c.within(output+"_details", func(in *counts) {
		u.OutputReasoning = in.may("reasoning_tokens")
		in.bad = in.bad || in.may("audio_tokens") > 0
	})
	u.InputUncached -= u.InputCacheRead + u.InputCacheWrite5m
	return f.settle(u, c)
}
