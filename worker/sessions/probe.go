package sessions

import (
	"context"
	"errors"
)

// Probe asks one service how it is.
type Probe interface {
	// Name is the service's: lower case, without spaces, always the same.
	Name() string
	// Check asks once. It MUST return soon after ctx is done, MUST cost nothing and change nothing, and is never called while
	// a call of it runs. An error means that the service cannot be used; one that wraps ErrUnknown that nothing can be said.
	Check(ctx context.Context) (Finding, error)
}

// Finding is what a check found out about a service that answered.
type Finding struct {
	// Detail is worth reading by a person: a version, a name, a number. It MUST hold no secret.
	Detail string
	// Source names where the credentials came from; it is heeded beside an error too.
	Source string
	// Degraded says what is not as it should be though the service can be used; empty for nothing.
	Degraded string
}

// ErrUnknown marks the error of a check that could not ask: there were no credentials to ask with.
var ErrUnknown = errors.New("nothing to ask with")

// Unused is a service that is not configured.
type Unused struct {
	// Service is its name.
	Service string
	// Why says what is missing, for a person who expected it.
	Why string
}
