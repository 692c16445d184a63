package pricing

import "flowgate/messages"

// Bill is a cost, line by line.
type Bill struct {
	// Above is the threshold of the prices that held for the whole input; 0: those of short ones.
	Above int64 `json:"above_input_tokens"`
	// Lines are the classes that have tokens.
	Lines []BillLine `json:"lines"`
	// Multipliers are those that the call was billed with.
	Multipliers []BillMultiplier `json:"multipliers"`
	// CostMicroUSD is the sum of the lines, multiplied and then rounded up.
	CostMicroUSD int64 `json:"cost_microusd"`
}

// BillLine is a class of tokens and its price in micro-dollars per million of them.
type BillLine struct {
	Class  string `json:"class"`
	Tokens int64  `json:"tokens"`
	Price  int64  `json:"price"`
}

// Bill tells how the cost of a usage comes about.
func (r Row) Bill(u messages.Usage) Bill {
	r = r.filled()
	t := r.tier(inputOf(u))
	b := Bill{Above: t.Above, Lines: []BillLine{}, Multipliers: []BillMultiplier{}, CostMicroUSD: r.Cost(u)}
	for _, l := range []BillLine{
		{"input", u.InputUncached, t.Input},
		{"cache_read", u.InputCacheRead, t.CacheRead},
		{"cache_write_5m", u.InputCacheWrite5m, t.CacheWrite5m},
		{"cache_write_1h", u.InputCacheWrite1h, t.CacheWrite1h},
		{"output", u.Output, t.Output},
	} {
		if l.Tokens > 0 {
			b.Lines = append(b.Lines, l)
		}
	}
	all, _ := r.Multipliers.chosen(u)
	b.Multipliers = append(b.Multipliers, all...)
	return b
}
