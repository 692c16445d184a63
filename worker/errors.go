package worker

import "errors"

var (
	// ErrPositionMoved says that another recorder committed to the same stream.
	ErrPositionMoved = errors.New("recorder position was moved by another recorder")
	// ErrNotFound says that a store has no such thing.
	ErrNotFound = errors.New("not found")
	// ErrClaimMissing says that the claim store has no body for a claim.
	ErrClaimMissing = errors.New("the claim store has no such body")
	// ErrClaimAltered says that the claim store has another body than the claim's.
	ErrClaimAltered = errors.New("the body in the claim store is not the one that was put")
)
