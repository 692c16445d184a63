package chaos

import (
	"time"

	"flowgate/messages"
	"flowgate/worker/provider"
)

// Evidence is what a drill has seen, from four sides: who sent and asked, who listened, the provider, and the record.
type Evidence struct {
	// Submitted were sent, Accepted are those of them that the broker has acknowledged.
	Submitted, Accepted map[string]bool
	// Cancelled are those of which whoever cancelled them was told that they are.
	Cancelled map[string]bool
	// Results are the newest answers of the result service.
	Results map[string]messages.Result
	// Wakes are the ends that a subscriber heard of.
	Wakes []Wake
	// Calls are the provider's books.
	Calls  []provider.Call
	Record Record
	// Limit is the limit of money that every scope had.
	Limit int64
	// Struck are the faults as they happened.
	Struck []Struck
}

// Wake is one message that says that an epoch has ended.
type Wake struct {
	ID    string
	Epoch int
	// Seq is that of the state done in the stream: two of one epoch are two results.
	Seq string
}

// Struck is a fault as it happened.
type Struck struct {
	Fault

	Hit   string    `json:"hit,omitempty"`
	Began time.Time `json:"began"`
	// Healed is when everything that the fault took away was back.
	Healed time.Time `json:"healed"`
	// RecoverySeconds is from then to the next result; 0 where none followed.
	RecoverySeconds float64 `json:"recovery_seconds"`
	Error           string  `json:"error,omitempty"`
}

// Record is what the database has.
type Record struct {
	Admissions, Open, Intents, DeadLetters int
	Outcomes                               []Outcome
	Attempts                               []Attempt
	// Reserved is what all scopes hold together, Spent what each has spent.
	Reserved int64
	Spent    map[string]int64
	// NotReproduced are decisions that come out otherwise when they are made again out of the record, or cannot be.
	NotReproduced int
	// Broken are the invariants of `audit check` that do not hold, in words.
	Broken []string
}

// Outcome is a recorded end.
type Outcome struct {
	ID    string
	Epoch int
	Ending
}

// Attempt is a recorded call.
type Attempt struct {
	ID       string
	Epoch, K int
	// InDoubt tells that it was given up as in doubt, also where its cost became known later.
	InDoubt bool
}

// epoch names one epoch of a request.
type epoch struct {
	id string
	n  int
}
