package configs

import (
	"encoding/json"
	"errors"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"flowgate/pipelines/pricing"
)

// litellmEntry reads one model of LiteLLM's file.
type litellmEntry struct {
	fields map[string]json.RawMessage
	// tiers are by threshold, 0 is short inputs; variants are the prices of batches and service tiers.
	tiers    map[int64]*pricing.Tier
	variants map[string][]litellmVariant
	rounded  bool
}

// litellmVariant is a price of a batch or service tier, and that of the list.
type litellmVariant struct {
	key   string
	price *big.Rat
}

// litellmPlace is what a key is the price of.
type litellmPlace struct {
	class   int
	above   int64
	variant string
}

// litellmClasses are the keys of prices a token, longest first where one begins another.
func litellmClasses() []string {
	return []string{
		"input_cost_per_token", "output_cost_per_token", "cache_read_input_token_cost", "cache_creation_input_token_cost_above_1hr",
		"cache_creation_input_token_cost",
	}
}

// litellmClass is where a class stands in a tier.
func litellmClass(t *pricing.Tier, class int) *int64 {
	return []*int64{&t.Input, &t.Output, &t.CacheRead, &t.CacheWrite1h, &t.CacheWrite5m}[class]
}

// litellmKey says what a key is the price of; false: no price a token that we know.
func litellmKey(key string) (at litellmPlace, ok bool) {
	for class, name := range litellmClasses() {
		rest, is := strings.CutPrefix(key, name)
		if !is {
			continue
		}
		at.class = class
		for rest != "" {
			variant := slices.IndexFunc([]string{"_priority", "_flex", "_batches"}, func(v string) bool { return strings.HasPrefix(rest, v) })
			above, after, is := strings.Cut(strings.TrimPrefix(rest, "_above_"), "k_tokens")
			thousands, err := strconv.ParseUint(above, 10, 16)
			switch {
			case variant >= 0 && at.variant == "":
				at.variant = []string{"_priority", "_flex", "_batches"}[variant]
				rest = rest[len(at.variant):]
			case is && strings.HasPrefix(rest, "_above_") && err == nil && thousands > 0 && at.above == 0:
				at.above, rest = int64(thousands)*1000, after //nolint:gosec // 16 bits
			default:
				return at, false
			}
		}
		return at, true
	}
	return at, false
}

func (e *litellmEntry) read(model string, raw json.RawMessage) (pricing.Row, *LeftOut) {
	row := pricing.Row{Model: model}
	if json.Unmarshal(raw, &e.fields) != nil || e.fields == nil {
		return row, &LeftOut{Why: ImportForm, Detail: "is no object"}
	}
	if fault := repeatedKey(raw); fault != nil {
		return row, &LeftOut{Why: ImportForm, Detail: fault.Key + " is there twice"}
	}
	mode, provider := e.word("mode"), e.word("litellm_provider")
	switch {
	case !slices.Contains([]string{"chat", "completion", "responses", "embedding"}, mode):
		return row, &LeftOut{Why: ImportMode, Detail: mode}
	case !slices.Contains([]string{"openai", "text-completion-openai", "anthropic", "bedrock", "bedrock_converse"}, provider):
		return row, &LeftOut{Why: ImportProvider, Detail: provider}
	case len(model) > maxModelName || strings.HasPrefix(model, "ft:") || strings.ContainsFunc(model, func(r rune) bool {
		return r == '/' || r == '*' || unicode.IsSpace(r) || !unicode.IsPrint(r)
	}):
		return row, &LeftOut{Why: ImportName}
	}
	if left := e.prices(); left != nil {
		return row, left
	}
	return e.row(row, mode, provider)
}

// prices sorts every key that is a price.
func (e *litellmEntry) prices() *LeftOut {
	e.tiers, e.variants = map[int64]*pricing.Tier{0: {}}, map[string][]litellmVariant{}
	for _, key := range slices.Sorted(maps.Keys(e.fields)) {
		at, known := litellmKey(key)
		if !known {
			if e.charges(key) {
				return &LeftOut{Why: ImportCharges, Detail: key}
			}
			continue
		}
		exact, err := exactly(e.fields[key])
		switch {
		case err != nil:
			return &LeftOut{Why: ImportPrice, Detail: key + ": " + err.Error()}
		case exact == nil:
			continue
		case at.variant != "":
			e.variants[at.variant] = append(e.variants[at.variant], litellmVariant{strings.Replace(key, at.variant, "", 1), exact})
			continue
		}
		if e.tiers[at.above] == nil {
			e.tiers[at.above] = &pricing.Tier{Above: at.above}
		}
		price, rounded := wholeUp(exact)
		*litellmClass(e.tiers[at.above], at.class) = price
		e.rounded = e.rounded || rounded
	}
	return nil
}

// charges tells whether a key is a charge beside the tokens that are counted and priced. What is never asked for, or makes a usage
// unknown where it is told, is none.
func (e *litellmEntry) charges(key string) bool {
	if key == "tiered_pricing" || key == "off_peak_pricing" {
		return true
	}
	for _, word := range []string{"audio", "search", "code_interpreter", "vector_store", "computer_use", "file_"} {
		if strings.Contains(key, word) {
			return false
		}
	}
	if !strings.Contains(key, "cost") {
		return false
	}
	cost, err := exactly(e.fields[key])
	if err == nil && (cost == nil || cost.Sign() == 0) {
		return false
	}
	same := map[string]string{"output_cost_per_reasoning_token": "output_cost_per_token", "input_cost_per_image_token": "input_cost_per_token"}[key]
	usual, wrong := exactly(e.fields[same])
	return err != nil || wrong != nil || usual == nil || usual.Cmp(cost) != 0
}

// row is the row of what was read.
func (e *litellmEntry) row(row pricing.Row, mode, provider string) (pricing.Row, *LeftOut) {
	base := e.tiers[0]
	row.NoOutput = mode == "embedding" && base.Output == 0
	if base.Input == 0 || base.Output == 0 && !row.NoOutput {
		return row, &LeftOut{Why: ImportPrice, Detail: "input or output has none"}
	}
	claude := provider == "anthropic" || strings.Contains(row.Model, "anthropic.")
	for _, above := range slices.Sorted(maps.Keys(e.tiers)) {
		t := *e.tiers[above]
		if claude && t.CacheWrite5m > 0 && t.CacheWrite1h == 0 {
			t.CacheWrite1h = 2 * t.Input // Anthropic's multiple
		}
		if above > 0 {
			inProportion(&t, *base)
			row.Tiers = append(row.Tiers, t)
			continue
		}
		row.Input, row.Output, row.CacheRead, row.CacheWrite5m, row.CacheWrite1h = t.Input, t.Output, t.CacheRead, t.CacheWrite5m, t.CacheWrite1h
	}
	row.Multipliers = pricing.Multipliers{Batch: e.percent("_batches"), Flex: e.percent("_flex"), Priority: e.percent("_priority")}
	var places struct {
		US json.RawMessage `json:"us"`
	}
	if json.Unmarshal(e.fields["provider_specific_entry"], &places) == nil && claude {
		if us, err := exactDecimal(places.US); err == nil && us != nil {
			row.Multipliers.InferenceGeoUS = wholePercent(us)
		}
	}
	row.Source = "LiteLLM's price file"
	return row, nil
}

// inProportion gives a tier the cache classes that it does not say and another one does, in proportion to their inputs.
func inProportion(t *pricing.Tier, of pricing.Tier) {
	for _, c := range []struct {
		into  *int64
		price int64
	}{{&t.CacheRead, of.CacheRead}, {&t.CacheWrite5m, of.CacheWrite5m}, {&t.CacheWrite1h, of.CacheWrite1h}} {
		if *c.into != 0 || c.price == 0 || of.Input == 0 {
			continue
		}
		price := new(big.Int).Mul(big.NewInt(c.price), big.NewInt(t.Input))
		price.Add(price, big.NewInt(of.Input-1)).Quo(price, big.NewInt(of.Input))
		if *c.into = pricing.MaxPrice; price.IsInt64() {
			*c.into = min(price.Int64(), pricing.MaxPrice)
		}
	}
}

// percent is the one multiple of the list's prices, in percent, that the prices of a batch or service tier are; 0: they are none.
func (e *litellmEntry) percent(variant string) int64 {
	all := e.variants[variant]
	percent, input := int64(0), false
	for _, v := range all {
		usual, err := exactly(e.fields[v.key])
		if err != nil || usual == nil || usual.Sign() == 0 {
			return 0
		}
		p := wholePercent(new(big.Rat).Quo(v.price, usual))
		if p == 0 || percent != 0 && p != percent {
			return 0
		}
		percent, input = p, input || v.key == "input_cost_per_token"
	}
	if !input {
		return 0
	}
	return percent
}

// wholePercent is a factor in percent; 0 where it is no whole number of them that a row may have.
func wholePercent(factor *big.Rat) int64 {
	p := new(big.Rat).Mul(factor, big.NewRat(100, 1))
	if !p.IsInt() || !p.Num().IsInt64() || p.Num().Int64() < 1 || p.Num().Int64() > pricing.MaxPercent {
		return 0
	}
	return p.Num().Int64()
}

func (e *litellmEntry) word(key string) string {
	var text string
	if json.Unmarshal(e.fields[key], &text) != nil {
		return ""
	}
	return text
}

// exactly is a price in dollars a token; nil where there is none.
func exactly(raw json.RawMessage) (*big.Rat, error) {
	value, err := exactDecimal(raw)
	if value != nil && value.Cmp(big.NewRat(1, 1)) > 0 {
		return nil, errors.New("is more than a dollar a token")
	}
	return value, err
}

// exactDecimal is the exact value of a number's literal that is not negative; nil where there is none.
func exactDecimal(raw json.RawMessage) (*big.Rat, error) {
	const longest, largest = 40, 40
	text := string(raw)
	if text == "" || text == "null" {
		return nil, nil
	}
	if len(text) > longest || text[0] < '0' || text[0] > '9' || strings.Trim(text, "0123456789.eE+-") != "" {
		return nil, errors.New("is no price")
	}
	if _, exponent, is := strings.Cut(strings.ToLower(text), "e"); is {
		if n, err := strconv.Atoi(exponent); err != nil || n < -largest || n > largest {
			return nil, errors.New("is no price: its exponent is too large")
		}
	}
	value, ok := new(big.Rat).SetString(text)
	if !ok {
		return nil, errors.New("is no number")
	}
	return value, nil
}

// wholeUp is a price in dollars a token in micro-dollars per million tokens, rounded up.
func wholeUp(dollars *big.Rat) (price int64, rounded bool) {
	v := new(big.Rat).Mul(dollars, big.NewRat(1_000_000_000_000, 1))
	whole, rest := new(big.Int).QuoRem(v.Num(), v.Denom(), new(big.Int))
	if rest.Sign() > 0 {
		whole.Add(whole, big.NewInt(1))
	}
	return whole.Int64(), rest.Sign() > 0 // a dollar a token at most
}
