// Package pipelines holds what the layers decide. Each layer's package decides from an envelope, gathered facts and a
// policy, and from nothing else: no clock, no context, no connection, no randomness, so that a recorded decision can be
// made again. The order of the product is the literal in Chain, from which topology, commands and tests derive.
//
// Read next: corporate/decide.go, ai/plan.go, optimizer/decide.go.
package pipelines

import "flowgate/messages"

// Layer is one link of the chain.
type Layer struct {
	Name messages.LayerName
	// Queues are what the layer consumes, one durable consumer each, class and partition.
	Queues []Queue
	// Needs are the layers that must have passed the request before.
	Needs []messages.LayerName
	// Does says what the layer is for.
	Does string
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
			Does:   "governance: audit reason, identity, allow-lists, agreement, limits on money",
		},
		{
			Name:   messages.LayerAI,
			Queues: []Queue{{Name: "ai", State: messages.StateAI}},
			Needs:  []messages.LayerName{messages.LayerCorporate},
			Does:   "processing: backend, call, classes of faults, usage, true cost",
		},
		{
			Name:   messages.LayerOptimizer,
			Queues: []Queue{{Name: "optimizer", State: messages.StateOptimizer}},
			Needs:  []messages.LayerName{messages.LayerCorporate, messages.LayerAI},
			Does:   "workflows, checks of the result against agreement and SLA, status",
		},
	}
}
