package worker

import (
	"context"

	"flowgate/pipelines/ai"
)

// Backend asks models of one provider.
type Backend interface {
	// Name is the backend's name in settings, records and results.
	Name() string
	// Billable is true where a call can cost money: each is then announced by the state calling before its first byte.
	Billable() bool
	// Check tells what of a call it cannot do, before anything is announced or sent: a fault of the class invalid, with Elsewhere. What it
	// cannot do MUST be refused here by name, never dropped. nil: it can.
	Check(call *ai.Call) *ai.Fault
	// Call asks once. It MUST NOT retry by itself, MUST obey ctx, and MUST return a *ai.Fault for every failure; the
	// class in_doubt wherever the provider may have billed. It is called concurrently.
	Call(ctx context.Context, call ai.Call) (ai.Answer, error)
}
