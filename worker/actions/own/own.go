// Package own has the actions that this deployment adds in Go: a file for each, and a line in Actions. `flowgate flow new --go` writes both,
// and a test. A name that another action has, or that is none, keeps every process from starting.
//
// An action is given an order: the agreement, whose parameters are checked by then, and in whose name it is carried out. It asks models with
// Order.Ask, through the chain and under the agreement, and returns a document with the number of samples that it rests on and a
// confidence: see flow.Confidence. It MUST end soon after its context has.
package own

import "flowgate/worker/actions"

// Actions lists them.
func Actions() []actions.Own {
	return []actions.Own{
		// `flowgate flow new --go` adds a line above this one.
	}
}
