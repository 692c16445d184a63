package workertest

import (
	"slices"
	"testing"

	"flowgate/messages"
	"flowgate/worker/provider"
)

func testUsage(t *testing.T, s Stage) {
	said := provider.Usage{Input: 30, Output: 20}
	want := messages.Usage{InputUncached: 30, Output: 20}
	reply := provider.Reply{Outcome: provider.Success}
	if slices.Contains(s.Tells, TellsCache) {
		said.CacheRead, said.CacheWrite5m = 12, 7
		want.InputCacheRead, want.InputCacheWrite5m = 12, 7
	}
	if slices.Contains(s.Tells, TellsReasoning) {
		said.Reasoning, want.OutputReasoning = 15, 15
	}
	if slices.Contains(s.Tells, TellsTier) {
		reply.Tier = "priority"
	}
	reply.Usage = &said
	call := NewCall("usage")
	call.InputBound = 1000
	s.Provider.Reply(call, reply)
	got := answer(t, s, call)
	if reply.Tier == "" {
		got.Usage.ServiceTier = "" // whatever it is by default
	}
	want.ServiceTier = reply.Tier
	if got.UsageUnknown || got.Usage != want {
		t.Errorf("usage is %+v (unknown %v), want %+v", got.Usage, got.UsageUnknown, want)
	}
}

func testUnknownUsage(t *testing.T, s Stage) {
	for _, outcome := range []provider.Outcome{provider.NoUsage, provider.NegativeUsage, provider.AbsurdUsage, provider.ZeroUsage} {
		call := NewCall("usage-" + string(outcome))
		s.Provider.Reply(call, provider.Reply{Outcome: outcome})
		if got := answer(t, s, call); !got.UsageUnknown || got.Usage != (messages.Usage{}) || got.Text == "" {
			t.Errorf("%s: usage is %+v, unknown %v; want an answer of unknown usage", outcome, got.Usage, got.UsageUnknown)
		}
	}
}
