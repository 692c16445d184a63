package backends

import (
	"encoding/json"
	"net/http"

	"flowgate/messages"
)

// Headers of Bedrock's InvokeModel that count tokens.
const (
	bedrockInputTokens      = "X-Amzn-Bedrock-Input-Token-Count"
	bedrockOutputTokens     = "X-Amzn-Bedrock-Output-Token-Count"
	bedrockCacheReadTokens  = "X-Amzn-Bedrock-Cache-Read-Input-Token-Count"
	bedrockCacheWriteTokens = "X-Amzn-Bedrock-Cache-Write-Input-Token-Count"
)

// maxCacheDetails is how many times to live Bedrock may break cache writes down by.
const maxCacheDetails = 16

// converseUsage sorts the TokenUsage of Bedrock's Converse into our classes: inputTokens excludes what was read from and written to the cache;
// writes without a breakdown are those of the default, five minutes.
func converseUsage(raw []byte, f usageFacts) (messages.Usage, bool) {
	c := readCounts(raw)
	u := messages.Usage{
		InputUncached: c.must("inputTokens"), InputCacheRead: c.may("cacheReadInputTokens"), InputCacheWrite5m: c.may("cacheWriteInputTokens"),
		Output: c.must("outputTokens"),
	}
	var details []json.RawMessage
	if c.has("cacheDetails") && json.Unmarshal(c.fields["cacheDetails"], &details) != nil || len(details) > maxCacheDetails {
		c.bad = true
	}
	if len(details) > 0 && !c.bad {
		u.InputCacheWrite5m = 0
		for _, d := range details {
			c.bad = !cacheDetail(d, &u) || c.bad
		}
	}
	c.agree("cacheWriteInputTokens", u.InputCacheWrite5m+u.InputCacheWrite1h)
	c.agree("totalTokens", u.InputUncached+u.Output, u.Input()+u.Output) // the documents say the one, its examples the other
	return f.settle(u, c)
}

// cacheDetail adds the writes of one time to live.
func cacheDetail(raw json.RawMessage, u *messages.Usage) bool {
	c := readCounts(raw)
	n := c.must("inputTokens")
	switch c.word("ttl") {
	case "5m":
		u.InputCacheWrite5m += n
	case "1h":
		u.InputCacheWrite1h += n
	default:
		return false
	}
	return !c.bad
}

// invokeUsage is what the headers of Bedrock's InvokeModel count. The bodies of models that count themselves (Claude: anthropicUsage) say more.
func invokeUsage(h http.Header, f usageFacts) (messages.Usage, bool) {
	c := &counts{}
	count := func(name string, must bool) int64 {
		switch values := h.Values(name); {
		case len(values) == 1:
			return c.number(values[0])
		case len(values) > 1 || must:
			c.bad = true
		}
		return 0
	}
	return f.settle(messages.Usage{
		InputUncached: count(bedrockInputTokens, true), Output: count(bedrockOutputTokens, !f.noOutput),
		InputCacheRead: count(bedrockCacheReadTokens, false), InputCacheWrite5m: count(bedrockCacheWriteTokens, false),
	}, c)
}
