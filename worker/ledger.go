package worker

import (
	"context"
	"time"

	"flowgate/messages"
)

// Ledger is the admission table and the money behind it: one statement a micro-batch, one implicit commit.
type Ledger interface {
	// Admit judges the members in input order and returns one grant each, in the same order. Either every grant is
	// durable when it returns, or it returns an error and nothing is. Members MUST be of distinct (tenant, id, epoch).
	// Conflicts between batches are repeated inside, then halved; what then still fails is the error of the member
	// (Grant.Err), not of the batch.
	Admit(ctx context.Context, members []Member) ([]Grant, error)
	// Waiting lists the oldest waiting epochs of the named scopes and rates (nil: of all), at most limit, oldest first.
	Waiting(ctx context.Context, scopes []string, limit int) ([]Waiter, error)
}

// Member is one epoch of a request that asks for its first decision, or, with Hold, for a new decision on its waiting.
type Member struct {
	messages.Address // Epoch is 0 for a request; P is the partition of a new row

	// IngressStream is the incarnation of the ingress stream, IngressSeq the sequence there of the request or replay.
	IngressStream string
	IngressSeq    uint64
	// RequestSHA256 is hexadecimal.
	RequestSHA256 string
	// Hold: the row exists and waits; it is decided anew WHERE state = 'waiting' AND outcome_at IS NULL.
	Hold bool

	// Refused is set where the layer itself refuses; nothing is reserved then.
	Refused messages.Reason
	// WaitUntil, where set, makes the member wait (not_before, a pause); nothing is reserved then.
	WaitUntil time.Time
	// WaitReason says for what (default not_before).
	WaitReason messages.Reason
	// Amount is what to reserve in every scope, in micro-dollars.
	Amount int64
	// Least is what is reserved instead where Amount can never fit any more; 0: that is refused.
	Least int64
	// Scopes are all reserved or none.
	Scopes []Scope
	// Tokens are counted in every one of Rates, beside one request; scopes and rates are all taken or none.
	Tokens int64
	Rates  []Rate
	// Decision is the layer's decision, kept so that the same ingress sequence gets the same answer again.
	Decision []byte
}

// Scope is one bound on money: a name such as "tenant:acme:day:2026-01-31" and the limit that holds in it now.
type Scope struct {
	Name string
	// Limit is in micro-dollars.
	Limit int64
	// Reason is what a request is refused with that does not fit.
	Reason messages.Reason
}

// Rate is one window of a limit on requests and tokens, such as "rate:acme/user/ann:minute".
type Rate struct {
	Name string
	// Span is how long the window is; a name MUST always come with the same.
	Span time.Duration
	// Requests and Tokens are what it lets through in a span; 0 is no limit.
	Requests, Tokens int64
	// Wait holds back what finds no room; else Reason refuses it.
	Wait   bool
	Reason messages.Reason
}

// GrantOutcome is what the ledger found for a member.
type GrantOutcome int

// The outcomes of an admission.
const (
	// GrantNew: this call decided; State and Reason say what.
	GrantNew GrantOutcome = iota
	// GrantAgain: the same ingress sequence was decided before and neither intent nor outcome is recorded; State, Reason
	// and Decision are the stored ones. A hold gets this too, whose row was decided and nothing is recorded yet: whoever
	// decided may have died before publishing. The expected sequence keeps two who act on it apart.
	GrantAgain
	// GrantPassed: the same ingress sequence was decided before and its intent or outcome is recorded: acknowledge.
	GrantPassed
	// GrantDuplicate: another ingress sequence has this (tenant, id, epoch): acknowledge and tell.
	GrantDuplicate
	// GrantReplayRefused: the replay does not follow the newest failure: no row was written.
	GrantReplayRefused
	// GrantGone: a hold whose row went on (its intent or outcome is recorded) or does not exist: acknowledge; nothing was
	// reserved.
	GrantGone
)

// AdmissionState is the state of an admission row.
type AdmissionState string

// The states of an admission row.
const (
	AdmissionApproved AdmissionState = "approved"
	AdmissionRefused  AdmissionState = "refused"
	AdmissionWaiting  AdmissionState = "waiting"
)

// GrantedLeast is the reason of an approval for which Member.Least was reserved instead of Member.Amount.
const GrantedLeast messages.Reason = "least"

// Grant is the ledger's answer for one member.
type Grant struct {
	Outcome GrantOutcome
	State   AdmissionState
	// Reason says why refused (the member's own, or its scope's or rate's) or waiting (waiting_money, waiting_rate, not_before, paused);
	// of an approval it is GrantedLeast or empty.
	Reason messages.Reason
	// Blocked names the rate that had no room, RetryAt tells by the ledger's clock when it has, if nobody else comes.
	Blocked string
	RetryAt time.Time
	// P is the partition in the row.
	P int
	// IntentSeq is the sequence of the recorded intent of this epoch; 0 where there is none.
	IntentSeq uint64
	// Decision is the stored decision of GrantAgain; for GrantNew the member's own.
	Decision []byte
	// Err is set where this member alone could not be decided: a delayed retry.
	Err error
}

// Waiter is an epoch that waits.
type Waiter struct {
	messages.Address
	Since time.Time
}
