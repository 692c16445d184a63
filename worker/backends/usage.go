package backends

import (
	"encoding/json"
	"strconv"

	"flowgate/messages"
	"flowgate/pipelines/ai"
	"flowgate/pipelines/pricing"
)

// What a provider may tell of an answer's usage: more is no count.
const (
	maxUsageBytes = 64 << 10
	maxUsageWord  = 64
	// maxTokenCount is far over the largest context of any model; sums of a few of them cannot overflow.
	maxTokenCount = 1 << 30
)

// An answer's counts may pass their bounds so far: providers add tokens of their own, and some let a model think beyond max_tokens. What a
// model can have written and read is believed, charged and, over the bound, told as an alarm; beyond it counts are absurd.
const (
	usageMargin = 2
	usageSlack  = 128 << 10
)

// usageFacts is what is known of an answer beside its usage.
type usageFacts struct {
	// input and output are the most tokens that question and answer can have; 0: not known.
	input, output int64
	// tier is the service tier that the answer names outside of its usage; empty: it names none there.
	tier string
	// batch tells that it comes from a batch job of the provider.
	batch bool
	// noOutput tells that the model has none, as of embeddings.
	noOutput bool
}

// factsOf are those of a call whose answer names its service tier outside of its usage.
func factsOf(call *ai.Call, tier string) usageFacts {
	f := usageFacts{input: call.InputBound, output: int64(call.MaxTokens), tier: tier, noOutput: call.Kind == messages.KindEmbedding}
	if f.input == 0 {
		f.input = pricing.InputBound(&call.Question)
	}
	return f
}

// settle holds usage to what can be. Counts that contradict each other (c knows), are all zero or absurd are not known: the answer then
// costs its bound.
func (f usageFacts) settle(u messages.Usage, c *counts) (messages.Usage, bool) {
	if u.ServiceTier == "" {
		u.ServiceTier = c.checkWord(f.tier)
	}
	u.Batch = f.batch || u.ServiceTier == "batch"
	c.bad = c.bad || min(u.InputUncached, u.InputCacheRead, u.InputCacheWrite5m, u.InputCacheWrite1h, u.Output, u.OutputReasoning) < 0 ||
		u.OutputReasoning > u.Output || u.Input()+u.Output == 0 ||
		absurd(u.Output, f.output) || absurd(u.Input(), f.input)
	if c.bad {
		return messages.Usage{}, false
	}
	return u, true
}

// absurd tells whether a count is far over its bound; 0 is no bound.
func absurd(n, bound int64) bool {
	return bound > 0 && (n-usageSlack)/usageMargin > bound
}

// counts reads an object of counts. Names are exact. The first thing that is not what it may be spoils all that was read.
type counts struct {
	fields map[string]json.RawMessage
	bad    bool
}

func readCounts(raw []byte) *counts {
	c := &counts{}
	c.bad = len(raw) > maxUsageBytes || json.Unmarshal(raw, &c.fields) != nil || c.fields == nil
	return c
}

// has tells whether there is a value that is not null.
func (c *counts) has(name string) bool {
	raw, there := c.fields[name]
	return there && string(raw) != "null"
}

// must is a count that has to be there.
func (c *counts) must(name string) int64 {
	c.bad = c.bad || !c.has(name)
	return c.may(name)
}

// may is a count, 0 where there is none.
func (c *counts) may(name string) int64 {
	if !c.has(name) {
		return 0
	}
	return c.number(string(c.fields[name]))
}

func (c *counts) number(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > maxTokenCount {
		c.bad = true
		return 0
	}
	return n
}

// word is a short name, empty where there is none.
func (c *counts) word(name string) string {
	if !c.has(name) {
		return ""
	}
	var text string
	if json.Unmarshal(c.fields[name], &text) != nil {
		c.bad = true
	}
	return c.checkWord(text)
}

func (c *counts) checkWord(text string) string {
	plain := len(text) <= maxUsageWord
	for _, r := range text {
		plain = plain && (r == '_' || r == '-' || r == '.' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z')
	}
	if !plain {
		c.bad = true
		return ""
	}
	return text
}

// within does read with an object of counts inside this one; where there is none it does nothing.
func (c *counts) within(name string, read func(*counts)) {
	if !c.has(name) {
		return
	}
	inner := readCounts(c.fields[name])
	read(inner)
	c.bad = c.bad || inner.bad
}

// agree demands that a total, where the provider tells one, is one of sums.
func (c *counts) agree(name string, sums ...int64) {
	if !c.has(name) {
		return
	}
	total, equal := c.may(name), false
	for _, sum := range sums {
		equal = equal || total == sum
	}
	c.bad = c.bad || !equal
}
