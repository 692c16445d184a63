package pricing

import (
	"math"
	"math/bits"
	"slices"
	"strings"

	"flowgate/messages"
)

// perTokens is how many tokens a price is for.
const perTokens = 1_000_000

// Bytes that a message and a conversation cost beyond their text: role, separators, and what providers add. Measured
// overheads are 3 to 8 tokens a message.
const (
	messageOverhead      = 16
	conversationOverhead = 16
)

// Bound is the worst case of one call in micro-dollars: all of the input in the dearest class of the dearest tier that so
// many tokens can reach, and a full answer, billed in the dearest way that the row has a multiplier for. It is rounded up, and
// math.MaxInt64 where it does not fit. Negative counts are taken as 0.
func (r Row) Bound(inputTokens, maxOutputTokens int64) int64 {
	r = r.filled()
	worst, dearest := int64(0), r.Multipliers.dearest()
	for _, t := range append([]Tier{r.base()}, r.Tiers...) {
		if t.Above > 0 && inputTokens <= t.Above {
			continue
		}
		class := max(t.Input, t.CacheRead, t.CacheWrite5m, t.CacheWrite1h)
		worst = max(worst, total(dearest, charge{inputTokens, class}, charge{maxOutputTokens, t.Output}))
	}
	return worst
}

// Cost is what a call cost in micro-dollars: each class of tokens at its price in the tier that the whole input reached,
// added up and multiplied exactly, and rounded up once, so that it is at most one micro-dollar above the true amount and never
// below it. It never exceeds Bound(u.Input(), u.Output). Negative counts are taken as 0. A way of billing without a multiplier
// costs what the list says; ask Prices first whether that can be told.
func (r Row) Cost(u messages.Usage) int64 {
	r = r.filled()
	t := r.tier(inputOf(u))
	return total(
		r.Multipliers.of(u),
		charge{u.InputUncached, t.Input},
		charge{u.InputCacheRead, t.CacheRead},
		charge{u.InputCacheWrite5m, t.CacheWrite5m},
		charge{u.InputCacheWrite1h, t.CacheWrite1h},
		charge{u.Output, t.Output},
	)
}

// InputBound is a number of tokens that what is asked cannot exceed, images apart: every token of today's tokenizers stands for
// at least one byte of text, and names, roles and separators are covered by a fixed allowance.
func InputBound(q *messages.Question) int64 {
	n := int64(conversationOverhead)
	for i := range q.Messages {
		m := &q.Messages[i]
		n += int64(len(m.Name)+len(m.ToolCallID)) + messageOverhead
		for j := range m.ToolCalls {
			n += int64(len(m.ToolCalls[j].Name)+len(m.ToolCalls[j].ID)) + messageOverhead
		}
	}
	for _, text := range q.Texts() {
		n += int64(len(text))
	}
	if len(q.Tools) > 0 {
		n += toolsOverhead
	}
	for i := range q.Tools {
		n += int64(len(q.Tools[i].Name)) + toolOverhead
	}
	if q.Format != nil {
		n += int64(len(q.Format.Name)) + formatOverhead
	}
	return n + int64(len(q.Input))*messageOverhead
}

// Tokens that providers add for tools and for the form of an answer. Anthropic tells 290 to 800 for the first tool, and the
// schema once more where it is a grammar.
const (
	toolsOverhead  = 1024
	toolOverhead   = 64
	formatOverhead = 512
)

// Tokens that one image cannot exceed. Anthropic's largest are 4,784, OpenAI's 1,445 at high detail and 3,779 for the models that count
// patches; gpt-4o-mini counts 2,833 and 5,667 a tile of at most eight, and is the dearest that is known.
const (
	imageMost    = 8_000
	imageDearest = 50_000
)

// imageTokens is a number of tokens that one image cannot exceed in a model, by its id. One of no known form, such as that of an endpoint, may
// be any model.
func imageTokens(model string) int64 {
	if strings.Contains(model, "gpt-4o-mini") {
		return imageDearest
	}
	if strings.HasPrefix(model, "arn:") {
		model = model[strings.LastIndexByte(model, '/')+1:]
	}
	_, behind, _ := strings.Cut(model, ".") // the geography of an inference profile
	begins := func(id string) func(string) bool {
		return func(known string) bool { return strings.HasPrefix(id, known) }
	}
	vendors := []string{"anthropic.claude-", "amazon.nova-"}
	own := []string{"claude-", "gpt-3", "gpt-4", "gpt-5", "o1", "o3", "o4-", "chatgpt-"}
	if slices.ContainsFunc(append(own, vendors...), begins(model)) || slices.ContainsFunc(vendors, begins(behind)) {
		return imageMost
	}
	return imageDearest
}

// tier is the dearest-reaching tier of an input of so many tokens.
func (r Row) tier(input int64) Tier {
	t := r.base()
	for _, next := range r.Tiers {
		if input > next.Above {
			t = next
		}
	}
	return t
}

// inputOf adds the input classes without overflow.
func inputOf(u messages.Usage) int64 {
	sum := int64(0)
	for _, n := range []int64{u.InputUncached, u.InputCacheRead, u.InputCacheWrite5m, u.InputCacheWrite1h} {
		n = max(n, 0)
		if sum > math.MaxInt64-n {
			return math.MaxInt64
		}
		sum += n
	}
	return sum
}

type charge struct{ tokens, price int64 }

// total adds charges and multiplies in 128 bits, divides once and rounds up.
func total(f factor, charges ...charge) int64 {
	var hi, lo, carry uint64
	for _, c := range charges {
		h, l := bits.Mul64(uint64(max(c.tokens, 0)), uint64(max(c.price, 0))) //nolint:gosec // both are at least 0
		lo, carry = bits.Add64(lo, l, 0)
		hi, carry = bits.Add64(hi, h, carry)
		if carry != 0 {
			return math.MaxInt64
		}
	}
	over, hi := bits.Mul64(hi, uint64(f)) // what does not fit into 128 bits is 2^128/10^12 at least
	up, lo := bits.Mul64(lo, uint64(f))
	hi, carry = bits.Add64(hi, up, 0)
	if over != 0 || carry != 0 || hi >= perTokens*uint64(list) {
		return math.MaxInt64
	}
	quotient, rest := bits.Div64(hi, lo, perTokens*uint64(list))
	if rest > 0 {
		quotient++ // at most 2^64/10^12 * 10^12: no overflow below the next check
	}
	if quotient > math.MaxInt64 {
		return math.MaxInt64
	}
	return int64(quotient)
}
