package backends

import (
	"encoding/json"
	"fmt"
	"math/big"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"flowgate/configs"
	"flowgate/messages"
	"flowgate/pipelines/ai"
)

// priceList is written down apart from the table that ships, in dollars per million tokens: input, output, cache read, cache write of five
// minutes; behind a > the threshold and the prices of long inputs. The hour's write is twice the input where the list says so.
const priceList = `
claude-fable-5-1 10 50 0.25 12.5
claude-fable-5 10 50 1 12.5
claude-opus-5-5 4 20 0.2 5
claude-opus-5 5 25 0.5 6.25
claude-opus-4-8 5 25 0.5 6.25
claude-opus-4-7 5 25 0.5 6.25
claude-opus-4-6 5 25 0.5 6.25
claude-opus-4-5 5 25 0.5 6.25
claude-sonnet-5-5 2 10 0.1 2.5
claude-sonnet-5 2 10 0.2 2.5
claude-sonnet-4-6 3 15 0.3 3.75
claude-sonnet-4-5 3 15 0.3 3.75 > 200000 6 22.5 0.6 7.5
claude-haiku-5-5 0.1 0.5 0.01 0.125 > 100000 0.5 2.5 0.05 0.625
claude-haiku-4-5 1 5 0.1 1.25
claude-3-sonnet 3 15 0.3 3.75
claude-3-haiku 0.25 1.25 0.03 0.3
claude-3-opus 15 75 1.5 18.75
gpt-6-astra 10 50 1 12.5 > 272000 20 75 2 25
gpt-6-sol 2 10 0.2 2.5 > 272000 4 15 0.4 5
gpt-6-luna 0.1 0.5 0.01 0.125 > 272000 0.2 0.75 0.02 0.25
gpt-5.6-sol 4 20 0.4 5 > 272000 8 30 0.8 10
gpt-5.6-terra 2 12 0.2 2.5 > 272000 4 18 0.4 5
gpt-5.6-luna 0.2 1.2 0.02 0.25 > 272000 0.4 1.8 0.04 0.5
gpt-5.5 5 30 0.5 5 > 272000 10 45 1 10
gpt-5.4 2.5 15 0.25 2.5 > 272000 5 22.5 0.5 5
gpt-5.4-mini 0.75 4.5 0.075 0.75
gpt-5.4-nano 0.2 1.25 0.02 0.2
gpt-5.2 1.75 14 0.175 1.75
gpt-5 1.25 10 0.125 1.25
gpt-5-mini 0.25 2 0.025 0.25
gpt-5-nano 0.05 0.4 0.005 0.05
gpt-4.1 2 8 0.5 2
gpt-4.1-mini 0.4 1.6 0.1 0.4
gpt-4o 2.5 10 1.25 2.5
gpt-4o-mini 0.15 0.6 0.075 0.15
o3 2 8 0.5 2
o4-mini 1.1 4.4 0.275 1.1
amazon.nova-micro-v1:0 0.035 0.14 0.009 0.035
amazon.nova-lite-v1:0 0.06 0.24 0.015 0.06
amazon.nova-pro-v1:0 0.8 3.2 0.2 0.8
amazon.nova-premier-v1:0 2.5 12.5 0.625 2.5
global.amazon.nova-2-lite-v1:0 0.3 2.5 0.075 0.3
us.amazon.nova-2-lite-v1:0 0.33 2.75 0.0825 0.33
eu.amazon.nova-2-lite-v1:0 0.33 2.75 0.0825 0.33
jp.amazon.nova-2-lite-v1:0 0.33 2.75 0.0825 0.33
meta.llama3-3-70b-instruct-v1:0 0.72 0.72 0.72 0.72
us.meta.llama4-maverick-17b-instruct-v1:0 0.24 0.97 0.24 0.24
us.meta.llama4-scout-17b-instruct-v1:0 0.17 0.66 0.17 0.17
meta.llama3-1-8b-instruct-v1:0 0.22 0.22 0.22 0.22
amazon.titan-text-express-v1 0.2 0.6 0.2 0.2
text-embedding-3-small 0.02 0 0.02 0.02
text-embedding-3-large 0.13 0 0.13 0.13
amazon.titan-embed-text-v2:0 0.02 0 0.02 0.02
cohere.embed-english-v3 0.1 0 0.1 0.1
`

// listed is a model of priceList; its prices are those of short inputs, then those of long ones.
type listed struct {
	above  int64
	prices [2][5]*big.Rat // input, output, cache read, write 5 m, write 1 h
}

func readPriceList(t testing.TB) map[string]listed {
	t.Helper()
	all := map[string]listed{}
	for line := range strings.Lines(strings.TrimSpace(priceList)) {
		short, long, _ := strings.Cut(strings.TrimSpace(line), " > ")
		model, short, _ := strings.Cut(short, " ")
		l := listed{above: 1 << 62}
		if long != "" {
			threshold, prices, _ := strings.Cut(long, " ")
			l.above, _ = strconv.ParseInt(threshold, 10, 64)
			long = prices
		} else {
			long = short
		}
		for i, text := range []string{short, long} {
			for j, word := range strings.Fields(text) {
				price, good := new(big.Rat).SetString(word)
				if !good {
					t.Fatal(line)
				}
				l.prices[i][j] = price
			}
			l.prices[i][4] = l.prices[i][3]
			if strings.HasPrefix(model, "claude") {
				l.prices[i][4] = new(big.Rat).Mul(l.prices[i][0], big.NewRat(2, 1))
			}
		}
		all[model] = l
	}
	return all
}

var dated = strings.NewReplacer("-20251101", "", "-20250929", "", "-20251001", "", "-20240229", "", "-20240307", "", "-v1:0", "", "-v1", "")

// find is the listing of an exact id: Claude is also sold by its dated id, and on Bedrock, there in us. and eu. at a tenth more.
func find(list map[string]listed, model string) (listed, bool) {
	if l, ok := list[model]; ok {
		return l, true
	}
	region, name, bedrock := strings.Cut(model, "anthropic.")
	if !bedrock {
		name, region = model, ""
	}
	l, ok := list[dated.Replace(name)]
	if name := dated.Replace(name); bedrock && name == "claude-sonnet-5-5" {
		l.prices[0][2], l.prices[1][2] = big.NewRat(2, 10), big.NewRat(2, 10) // Bedrock's has not followed
	}
	if region == "us." || region == "eu." {
		for i := range l.prices {
			for j := range l.prices[i] {
				if ok {
					l.prices[i][j] = new(big.Rat).Mul(l.prices[i][j], big.NewRat(11, 10))
				}
			}
		}
	}
	return l, ok
}

var today = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

func TestEveryShippedPriceIsThatOfTheList(t *testing.T) {
	table, err := configs.LoadPrices("")
	if err != nil {
		t.Fatal(err)
	}
	list := readPriceList(t)
	for _, model := range table.Models() {
		row, _ := table.Row(model, today)
		l, ok := find(list, model)
		if !ok {
			t.Errorf("%s is in no list", model)
			continue
		}
		got := [2][5]int64{{row.Input, row.Output, row.CacheRead, row.CacheWrite5m, row.CacheWrite1h}}
		got[1] = got[0]
		if len(row.Tiers) > 0 {
			long := row.Tiers[0]
			got[1] = [5]int64{long.Input, long.Output, long.CacheRead, long.CacheWrite5m, long.CacheWrite1h}
			if long.Above != l.above || len(row.Tiers) > 1 {
				t.Errorf("%s: tiers %+v", model, row.Tiers)
			}
		}
		for i := range got {
			for j := range got[i] {
				if want := new(big.Rat).Mul(l.prices[i][j], big.NewRat(1_000_000, 1)); want.Cmp(big.NewRat(got[i][j], 1)) != 0 {
					t.Errorf("%s: price %d of %d is %d, the list says %s", model, j, i, got[i][j], want.RatString())
				}
			}
		}
	}
	for model := range list {
		if !slices.ContainsFunc(table.Models(), func(m string) bool { return m == model || dated.Replace(m) == model }) {
			t.Errorf("%s is listed and has no row", model)
		}
	}
}

// spent is what one generated answer used, as its provider would bill it: the five classes of the list.
type spent struct {
	tokens [5]int64 // input, output, cache read, write 5 m, write 1 h
	// percents multiply.
	percents []int64
	// batch tells that a batch job answered it.
	batch bool
	// unpriced tells that it was billed in a way that nobody can price.
	unpriced bool
}

// exactly is what the list says that it costs, in micro-dollars, rounded up.
func (s spent) exactly(l listed) int64 {
	prices := l.prices[0]
	if s.tokens[0]+s.tokens[2]+s.tokens[3]+s.tokens[4] > l.above {
		prices = l.prices[1]
	}
	sum := new(big.Rat) // dollars per million tokens times tokens: micro-dollars
	for i, n := range s.tokens {
		sum.Add(sum, new(big.Rat).Mul(prices[i], big.NewRat(n, 1)))
	}
	for _, p := range s.percents {
		sum.Mul(sum, big.NewRat(p, 100))
	}
	whole, rest := new(big.Int).QuoRem(sum.Num(), sum.Denom(), new(big.Int))
	if rest.Sign() > 0 {
		whole.Add(whole, big.NewInt(1))
	}
	return whole.Int64()
}

// invoice makes answers of providers.
type invoice struct{ *rand.Rand }

func (r invoice) tokens() int64 {
	return []int64{0, 1, r.Int64N(10), r.Int64N(5000), r.Int64N(5000), r.Int64N(200_000), r.Int64N(400_000)}[r.IntN(7)]
}

func (r invoice) pick(of ...string) string { return of[r.IntN(len(of))] }

func (r invoice) model(list map[string]listed, fits func(string) bool) string {
	var all []string
	for m := range list {
		if fits(m) {
			all = append(all, m)
		}
	}
	slices.Sort(all)
	return all[r.IntN(len(all))]
}

func prefixed(words ...string) func(string) bool {
	return func(m string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.HasPrefix(m, w) })
	}
}

// generate makes an answer of a protocol: what its provider tells of it, and what that is.
func (r invoice) generate(list map[string]listed, protocol string) (model, raw, tier string, s spent) {
	for i := range s.tokens {
		s.tokens[i] = r.tokens()
	}
	s.tokens[0]++ // something was asked
	in, out, read, write5m, write1h := s.tokens[0], s.tokens[1], s.tokens[2], s.tokens[3], s.tokens[4]
	reasoning := r.Int64N(out + 1)
	if s.batch = protocol != "invoke" && r.IntN(5) == 0; s.batch {
		s.percents = append(s.percents, 50)
	}
	switch protocol {
	case "anthropic":
		model = r.model(list, func(m string) bool { return strings.HasPrefix(m, "claude-") && !strings.HasPrefix(m, "claude-3") })
		told, where := r.pick("standard", "priority"), r.pick("global", "not_available", "us")
		if s.batch {
			told = "batch"
		}
		if where == "us" && !prefixed("claude-opus-4-5", "claude-sonnet-4-5", "claude-haiku-4-5")(model) {
			s.percents = append(s.percents, 110)
		} else if where == "us" {
			s.unpriced = true
		}
		raw = fmt.Sprintf(`{"input_tokens":%d,"output_tokens":%d,"cache_read_input_tokens":%d,"cache_creation_input_tokens":%d,
			"cache_creation":{"ephemeral_5m_input_tokens":%d,"ephemeral_1h_input_tokens":%d},"output_tokens_details":{"thinking_tokens":%d},
			"service_tier":%q,"inference_geo":%q}`, in, out, read, write5m+write1h, write5m, write1h, reasoning, told, where)
	case "chat", "mlflow", "responses":
		model = r.model(list, prefixed("gpt-", "o3", "o4"))
		s.tokens[4] = 0
		if tier = r.pick("", "default", "priority", "scale"); tier == "priority" {
			s.unpriced = true
		}
		prompt := in + read + write5m
		names := []any{"prompt", "completion"}
		if protocol == "responses" {
			names = []any{"input", "output"}
		}
		raw = fmt.Sprintf(`{"%[1]s_tokens":%[3]d,"%[2]s_tokens":%[4]d,"total_tokens":%[5]d,"%[1]s_tokens_details":{"cached_tokens":%[6]d,"cache_write_tokens":%[7]d},
			"%[2]s_tokens_details":{"reasoning_tokens":%[8]d}}`, append(names, prompt, out, prompt+out, read, write5m, reasoning)...)
	case "embeddings":
		model = r.model(list, prefixed("text-embedding"))
		s.tokens = [5]int64{in}
		raw = fmt.Sprintf(`{"prompt_tokens":%d,"total_tokens":%[1]d}`, in)
	case "converse":
		model, tier = r.converse(list, &s)
		raw = fmt.Sprintf(`{"inputTokens":%d,"outputTokens":%d,"totalTokens":%d,"cacheReadInputTokens":%d,"cacheWriteInputTokens":%d,
			"cacheDetails":[{"inputTokens":%d,"ttl":"1h"},{"inputTokens":%d,"ttl":"5m"}]}`, in, out, in+out, read, write5m+write1h, write1h, write5m)
	case "invoke":
		model = r.model(list, prefixed("amazon.titan", "cohere", "meta."))
		s.tokens = [5]int64{in, out}
		if strings.Contains(model, "embed") {
			s.tokens[1] = 0
		}
		raw = fmt.Sprintf("%d %d", s.tokens[0], s.tokens[1])
	}
	return model, raw, tier, s
}

// converse picks a model of Bedrock and the tier that served it.
func (r invoice) converse(list map[string]listed, s *spent) (model, tier string) {
	region := r.pick("us.", "eu.", "global.")
	model = r.pick("anthropic.claude-opus-5-5", "anthropic.claude-sonnet-4-5-20250929-v1:0", "anthropic.claude-haiku-5-5", "anthropic.claude-fable-5")
	if r.IntN(2) == 0 {
		region, model = "", r.model(list, func(m string) bool { return strings.Contains(m, "amazon.nova") })
	}
	tier = r.pick("", "default", "reserved", "flex", "priority")
	switch {
	case tier == "flex" && region == "":
		s.percents = append(s.percents, 50)
	case tier == "priority" && region == "":
		s.percents = append(s.percents, 175)
	case tier == "priority":
		s.unpriced = true
	}
	return region + model, tier
}

func TestAThousandAnswersCostExactlyWhatTheListSays(t *testing.T) {
	table, err := configs.LoadPrices("")
	if err != nil {
		t.Fatal(err)
	}
	list := readPriceList(t)
	r := invoice{rand.New(rand.NewPCG(7, 11))}
	read := map[string]usageReader{
		"anthropic": anthropicUsage, "chat": chatUsage, "mlflow": chatUsage, "responses": responsesUsage, "embeddings": embeddingsUsage, "converse": converseUsage,
		"invoke": func(raw []byte, f usageFacts) (messages.Usage, bool) {
			in, out, _ := strings.Cut(string(raw), " ")
			return invokeUsage(http.Header{bedrockInputTokens: {in}, bedrockOutputTokens: {out}}, f)
		},
	}
	protocols := []string{"anthropic", "chat", "mlflow", "responses", "embeddings", "converse", "invoke"}
	bound, priced := int64(1)<<50, 0
	for i := range 1000 {
		protocol := protocols[i%len(protocols)]
		model, raw, tier, s := r.generate(list, protocol)
		facts := usageFacts{input: 1_000_000, output: 400_000, tier: tier, batch: s.batch}
		usage, known := read[protocol]([]byte(raw), facts)
		row, found := table.Row(model, today)
		l, listed := find(list, model)
		if !known || !found || !listed {
			t.Fatalf("%s of %s: known %v, row %v, list %v: %s", protocol, model, known, found, listed, raw)
		}
		answered := ai.Answered(messages.Attempt{BoundMicroUSD: bound}, ai.Answer{Usage: usage}, row, today)
		want, billing := s.exactly(l), messages.BillingKnown
		if s.unpriced {
			want, billing = bound, messages.BillingInDoubt
		} else {
			priced++
		}
		if answered.CostMicroUSD != want || answered.Billing != billing {
			t.Errorf("%s of %s (tier %q) costs %d (%s), the list says %d (%s): %s", protocol, model, tier, answered.CostMicroUSD, answered.Billing, want, billing, raw)
		}
		if limit := row.Bound(usage.Input(), usage.Output); !s.unpriced && want > limit {
			t.Errorf("%s of %s costs %d, its bound is %d: %s", protocol, model, want, limit, raw)
		}
		if data, err := json.Marshal(usage); err != nil || len(data) > 400 {
			t.Errorf("%s, %v", data, err)
		}
	}
	if priced < 700 {
		t.Errorf("only %d of 1000 have a price", priced)
	}
}
