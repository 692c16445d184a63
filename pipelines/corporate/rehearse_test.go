package corporate_test

import (
	"testing"
	"time"

	"flowgate/messages"
	"flowgate/pipelines/corporate"
)

func TestALimitIsRehearsedInTheOrderOfDecisions(t *testing.T) {
	at := func(s int) time.Time { return noon.Add(time.Duration(s) * time.Second) }
	scope := []corporate.Scope{{Name: "tenant:acme:day:x", Limit: 10, Reason: messages.ReasonLimitDay}}
	spends := []corporate.Spend{
		{At: at(5), Ended: at(6), Amount: 4, Cost: 4, Scopes: scope}, // last: 3 + 3 are settled, 1 was before
		{At: at(0), Ended: at(3), Amount: 5, Cost: 3, Scopes: scope},
		{At: at(1), Ended: at(4), Amount: 5, Cost: 3, Scopes: scope}, // 1 + 5 + 5 is too much while the first is open
		{At: at(4), Ended: at(4), Amount: 9, Cost: 9, Scopes: scope}, // 1 + 3 + 9 is too much for ever; the one before is still open
		{At: at(5), Ended: at(9), Amount: 99, Cost: 9},               // in no scope
	}
	said := corporate.Rehearse(spends, map[string]int64{"tenant:acme:day:x": 1})
	want := []corporate.Rehearsed{{Reason: messages.ReasonLimitDay}, {}, {Waits: true}, {Reason: messages.ReasonLimitDay}, {}}
	for i := range want {
		if said[i] != want[i] {
			t.Errorf("%d: got %+v, want %+v", i, said[i], want[i])
		}
	}
}
