package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"flowgate/messages"
	"flowgate/worker/postgres"
)

func TestExplainTellsOfFailoversAndReuse(t *testing.T) {
	for _, c := range []struct {
		name string
		e    explanation
		want string
	}{
		{"nothing", explanation{}, ""},
		{
			"a call",
			explanation{CostMicroUSD: 5, Attempts: []postgres.Attempt{{K: 1, Backend: "openai", Billing: "known", Charged: 5}}},
			"  charged   $0.000005 for 1 call(s)\n  call 1    openai, known $0.000005\n",
		},
		{
			"a call under way",
			explanation{CostMicroUSD: 12, HeldMicroUSD: 7, Attempts: []postgres.Attempt{{K: 1, Backend: "openai", Billing: "in_doubt", Charged: 5}, {K: 2, Backend: "openai", Billing: "calling", Charged: 7}}},
			"  charged   $0.000005 for 1 call(s)\n  held      $0.000007 for a call under way\n  call 1    openai, in_doubt $0.000005 529: busy\n  call 2    openai, calling $0.000007\n",
		},
		{"a failover", explanation{CostMicroUSD: 5, Attempts: []postgres.Attempt{
			{K: 1, Backend: "bedrock", Billing: "none", Class: "overloaded"},
			{K: 2, Backend: "bedrock", Billing: "none", Class: "transient"},
			{K: 3, Backend: "openai", Billing: "known", Charged: 5},
		}}, "  charged   $0.000005 for 3 call(s)\n  call 1    bedrock, none $0.000000, overloaded 529: busy\n  call 2    bedrock, none $0.000000, transient\n" +
			"  call 3    openai, known $0.000005\n  failover  bedrock, then openai\n"},
		{
			"the cache",
			explanation{Reused: &messages.Reused{From: "memory", AgeSeconds: 3, SavedMicroUSD: 9, SavedSeconds: 0.5}},
			"  reused    the answer from the cache (memory), 3.0 s old\n  saved     $0.000009 and 0.500 s\n",
		},
		{
			"a follower",
			explanation{Reused: &messages.Reused{From: messages.ReusedRequest, Leader: "a-1", SavedMicroUSD: 9}},
			"  reused    the answer of the identical request a-1, which was on its way and pays\n  saved     $0.000009 and 0.000 s\n" +
				"  share     $0.000000 of the call's cost: who leads pays it, who follows pays nothing\n",
		},
	} {
		var out strings.Builder
		c.e.Failovers = failovers(c.e.Attempts)
		c.e.codes([]messages.Attempt{{K: 1}})
		if len(c.e.Attempts) > 1 {
			c.e.codes([]messages.Attempt{{K: 1, Code: "529", Detail: "busy"}, {K: 9, Code: "x"}})
		}
		c.e.writeCalls(func(format string, a ...any) { fmt.Fprintf(&out, format+"\n", a...) })
		if out.String() != c.want {
			t.Errorf("%s: it says\n%s\nwant\n%s", c.name, out.String(), c.want)
		}
	}
	calls := []postgres.Attempt{{Backend: "a"}, {Backend: "b"}, {Backend: "a"}}
	if got := failovers(calls); !slices.Equal(got, []string{"a", "b", "a"}) {
		t.Errorf("%v", got)
	}
}
