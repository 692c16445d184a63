// Package pipelines holds what the layers decide. Each layer's package decides from an envelope, gathered facts and a
// policy, and from nothing else: no clock, no context, no connection, no randomness, so that a recorded decision can be
// made again. The order of the product is the literal in Chain, from which topology, registry, commands and tests derive.
//
// Read next: registry.go, corporate/decide.go, ai/plan.go, optimizer/decide.go.
package pipelines

import "flowgate/messages"

// Layer is one link of the chain: a gateway, and a service of the registry.
type Layer struct {
	Name messages.LayerName
	// Queues are what the layer consumes, one durable consumer each, class and partition.
	Queues []Queue
	// Needs are the layers that must have passed the request before; without them it is not started.
	Needs []messages.LayerName
	// Uses are the services outside of flowgate without which it cannot work, by their names in `flowgate health`.
	Uses []string
	// Does says what the layer is for, Capabilities what it can do.
	Does         string
	Capabilities []string
}

// Queue names the consumers of one state.
type Queue struct {
	Name string
	// State is what the queue reads of the WORK stream; empty means requests and replays of the ingress stream.
	State messages.State
}

// Chain is the order of the product.
func Chain() []Layer {
	return []Layer{
		{
			Name:   messages.LayerCorporate,
			Queues: []Queue{{Name: "corporate"}, {Name: "corporate-hold", State: messages.StateHold}},
			Uses:   []string{"nats", "postgres"},
			Does:   "governance: audit reason, identity, allow-lists, agreement, limits on money",
			Capabilities: []string{
				"demands an audit reason", "knows user and department", "allows models by list", "validates FLOW agreements",
				"reserves money before it is spent", "admits replays", "records refusals",
			},
		},
		{
			Name:   messages.LayerAI,
			Queues: []Queue{{Name: "ai", State: messages.StateAI}},
			Needs:  []messages.LayerName{messages.LayerCorporate},
			Uses:   []string{"nats"},
			Does:   "processing: backend, call, classes of faults, usage, true cost",
			Capabilities: []string{
				"calls the first backend that serves the model", "announces billable calls", "retries by class of fault",
				"counts tokens and true cost", "takes over calls of dead workers",
			},
		},
		{
			Name:   messages.LayerOptimizer,
			Queues: []Queue{{Name: "optimizer", State: messages.StateOptimizer}},
			Needs:  []messages.LayerName{messages.LayerCorporate, messages.LayerAI},
			Uses:   []string{"nats"},
			Does:   "workflows, checks of the result against agreement and SLA, status",
			Capabilities: []string{
				"validates the result against the agreement", "checks the SLA", "gives the request its status",
			},
		},
	}
}

// Find is the layer of that name.
func Find(name messages.LayerName) (Layer, bool) {
	for _, l := range Chain() {
		if l.Name == name {
			return l, true
		}
	}
	return Layer{}, false
}
