package postgres

import (
	"time"

	"flowgate/messages"
	"flowgate/worker"
)

// returnArrays are the parameters of flowgate.return_tokens: the ended epochs that were counted in limits, and
// the tokens that they used.
type returnArrays struct {
	tenant, id []string
	epoch      []int32
	seq, used  []int64
	stored     []time.Time
}

func (a *returnArrays) add(o *worker.Outcome) {
	c := o.Corporate
	if c == nil || c.RateTokens == 0 || c.Verdict != messages.VerdictApproved {
		return
	}
	a.tenant, a.id, a.epoch = append(a.tenant, o.Tenant), append(a.id, o.ID), append(a.epoch, int32(o.Epoch)) //nolint:gosec // small
	a.seq, a.stored = append(a.seq, int64(o.Seq)), append(a.stored, o.At)                                     //nolint:gosec // a sequence
	a.used = append(a.used, tokensUsed(o.History, c.RateTokens))
}

// mostUsed is more than one call uses: a backend that says so counts as this.
const mostUsed = 1_000_000_000

// tokensUsed are the tokens of the calls of an epoch: none of one that was not billed, the bound of one whose use nobody knows.
func tokensUsed(history []messages.Attempt, bound int64) int64 {
	used := int64(0)
	for i := range history {
		switch a := &history[i]; {
		case a.Usage != nil:
			used += min(max(a.Usage.Input(), 0), mostUsed) + min(max(a.Usage.Output, 0), mostUsed)
		case a.Billing != messages.BillingNone:
			used += bound
		}
	}
	return used
}

func (a *returnArrays) args() []any {
	return []any{a.tenant, a.id, a.epoch, a.seq, a.stored, a.used}
}
