package pricing

import (
	"time"

	"flowgate/messages"
)

// Again is what recorded attempts would have cost by this table at a moment, those in doubt, and those billed in a way that it has no
// price for, at the bound of so many tokens; false where a model has no price or a cost was recorded without its tokens.
func (t *Table) Again(history []messages.Attempt, at time.Time, input, output int64) (sum int64, ok bool) {
	for i := range history {
		a := &history[i]
		if a.Billing == messages.BillingNone {
			continue
		}
		row, found := t.Row(a.Model, at)
		switch {
		case !found:
			return 0, false
		case a.Usage != nil && row.Prices(*a.Usage):
			sum += row.Cost(*a.Usage)
		case a.Usage != nil, a.Billing == messages.BillingInDoubt:
			sum += row.Bound(input, output)
		case a.CostMicroUSD != 0:
			return 0, false
		}
	}
	return sum, true
}
