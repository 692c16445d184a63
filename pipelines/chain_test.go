package pipelines_test

import (
	"slices"
	"testing"

	"flowgate/messages"
	"flowgate/pipelines"
)

func TestChainHasTheLayersOfTheWireInTheirOrder(t *testing.T) {
	var names []messages.LayerName
	for _, layer := range pipelines.Chain() {
		names = append(names, layer.Name)
		if layer.Does == "" {
			t.Errorf("%s does not say what it does", layer.Name)
		}
	}
	if !slices.Equal(names, messages.Layers()) {
		t.Errorf("the chain is %v, the wire knows %v", names, messages.Layers())
	}
}

func TestChainRespectsNeeds(t *testing.T) {
	var passed []messages.LayerName
	for _, layer := range pipelines.Chain() {
		for _, need := range layer.Needs {
			if !slices.Contains(passed, need) {
				t.Errorf("%s needs %s, which does not come before it", layer.Name, need)
			}
		}
		passed = append(passed, layer.Name)
	}
}

func TestEveryStateThatCanWaitHasOneQueue(t *testing.T) {
	reads := map[messages.State]int{}
	names := map[string]bool{}
	for _, layer := range pipelines.Chain() {
		for _, q := range layer.Queues {
			reads[q.State]++
			if names[q.Name] {
				t.Errorf("two queues are named %s", q.Name)
			}
			names[q.Name] = true
		}
	}
	want := map[messages.State]int{"": 1, messages.StateHold: 1, messages.StateAI: 1, messages.StateOptimizer: 1}
	for _, s := range append(messages.States(), "") { // calling is delivered by nobody: its input still is; done has ended
		if reads[s] != want[s] {
			t.Errorf("state %q is read by %d queues, want %d", s, reads[s], want[s])
		}
	}
}
