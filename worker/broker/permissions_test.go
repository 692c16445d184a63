package broker_test

import (
	"slices"
	"testing"

	"flowgate/messages"
	"flowgate/worker/broker"
)

func TestOnlyWhoCallsProvidersSharesTheirLimits(t *testing.T) {
	topology, err := broker.NewTopology(broker.DefaultTopologyOptions(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		states []messages.State
		shares bool
	}{
		{[]messages.State{messages.StateCalling, messages.StateOptimizer}, true},
		{[]messages.State{messages.StateOptimizer, messages.StateDone}, false},
	} {
		p := topology.Permissions(broker.Duty{States: c.states})
		if slices.Contains(p.Publish, "flowgate.fleet.pace") != c.shares || slices.Contains(p.Subscribe, "flowgate.fleet.pace") != c.shares {
			t.Errorf("%v: publish %v, subscribe %v", c.states, p.Publish, p.Subscribe)
		}
	}
}
