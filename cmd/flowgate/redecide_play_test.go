package main

import (
	"testing"
	"time"

	"flowgate/messages"
	"flowgate/pipelines/corporate"
)

// TestLimitsOfMoneyLiftNoLimitOnRequests: only what money refused can pass under another limit of money, and it brings its sums along.
func TestLimitsOfMoneyLiftNoLimitOnRequests(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 10, 1, 12, 0, 0, 0, time.UTC)
	decided := func(s messages.Status, reason messages.Reason) redone {
		now, was := messages.CorporateSection{BoundMicroUSD: 7}, messages.CorporateSection{BoundMicroUSD: 7}
		now.FinishedAt = at
		d := redone{Word: corporate.AgainSame, Was: &was, Now: &now, Asks: true, Amount: 14, Stored: at.Add(time.Second)}
		d.Scopes = []corporate.Scope{{Name: "tenant:default:day:x", Limit: 100, Reason: messages.ReasonLimitDay}}
		d.WasEnd = &messages.End{Status: s, Reason: reason, Layer: messages.LayerCorporate}
		end := *d.WasEnd
		d.NowEnd = &end
		return d
	}
	report := func(all ...redone) *redecision {
		playAgain(all, map[string]int64{})
		r := &redecision{Causes: map[corporate.Gap]int{}}
		for i := range all {
			r.count(&all[i])
		}
		return r
	}
	var rated []redone
	for _, kind := range []messages.Reason{
		messages.ReasonLimitRateUser, messages.ReasonLimitRateDepartment, messages.ReasonLimitRateTenant, messages.ReasonLimitRateModel,
		messages.ReasonLimitRateBackend, messages.ReasonLimitRateRequest,
	} {
		rated = append(rated, decided(messages.StatusRateLimited, kind))
	}
	if r := report(rated...); !r.good() || r.Same != len(rated) || r.Now != r.Was || len(r.Examples) != 0 {
		t.Errorf("refused by limits on requests: %+v", r)
	}
	if r := report(decided(messages.StatusDenied, messages.ReasonLimitDay)); r.good() || r.Passed != 1 || r.Now != (redecidedMoney{Bound: 7, Reserved: 14, Cost: 7}) {
		t.Errorf("refused by a limit of money: %+v", r)
	}
}
