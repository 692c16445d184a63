package worker

import (
	"context"
	"encoding/json"
	"time"

	"flowgate/messages"
)

// RecordStore keeps what the recorder reads. A commit is one transaction.
type RecordStore interface {
	// Position tells how far a stream has been recorded. A stream never recorded gives the zero Position.
	Position(ctx context.Context, stream string) (Position, error)
	// Commit writes the records and moves the position from batch.From to batch.To in one transaction. A position other
	// than batch.From in the table is ErrPositionMoved: another recorder was here, read it again. Committing what was
	// committed before changes nothing.
	Commit(ctx context.Context, batch RecordBatch) (Committed, error)
}

// Position is how far a stream has been recorded.
type Position struct {
	Stream string
	// Incarnation tells one life of the stream from another: its creation time.
	Incarnation string
	// Seq is the last recorded stream sequence.
	Seq uint64
	// StoredNS is when the message at Seq was stored, in nanoseconds since 1970; 0: not known.
	StoredNS int64
}

// RecordBatch is a run of messages of one stream, in stream order.
type RecordBatch struct {
	From, To Position
	// GapTo is set where the stream no longer has the messages From.Seq+1 … GapTo: recorded and alarmed.
	GapTo    uint64
	Intents  []Intent
	Callings []CallingRecord
	Outcomes []Outcome
	Events   []EventRecord
}

// Committed tells what a commit did beside storing.
type Committed struct {
	// Freed are the names of scopes in which reserved money became free.
	Freed []string
	// Second are the outcomes that were not counted because their epoch had ended before.
	Second []messages.Key
}

// Stored is where and when a message was stored.
type Stored struct {
	messages.Address // with the epoch from the body

	Seq uint64
	At  time.Time
}

// Intent is the first ai state of an epoch: stored before any byte reached a backend.
type Intent struct {
	Stored

	Kind          messages.Kind
	RequestSHA256 string
	IngressSeq    uint64
	SubmittedAt   time.Time
	Corporate     messages.CorporateSection
	// Again is true for later ai states of the epoch (retries): only intent_seq's presence is checked.
	Again bool
}

// CallingRecord is a state calling: an attempt that may cost money, at its bound until better is known.
type CallingRecord struct {
	Stored

	Attempt messages.Attempt
	// Before is the attempt before this one in its final form, where there is one: later ones may be folded into it.
	Before *messages.Attempt
}

// Outcome is a state done.
type Outcome struct {
	Stored

	Kind          messages.Kind
	RequestSHA256 string
	IngressSeq    uint64
	SubmittedAt   time.Time
	End           messages.End
	Corporate     *messages.CorporateSection
	AI            *messages.AISection
	Optimizer     *messages.OptimizerSection
	Replay        *messages.ReplayOrigin
	History       []messages.Attempt
	// RequestClaim is where the request's body is, where it is not inline.
	RequestClaim *messages.Claim
	// Sections is the envelope without request, answer and documents that may have answers, as JSON: every section, every attempt, the end.
	Sections json.RawMessage
	// Answer is the model's text, or the document of an action that may have such, kept apart under a retention of its own.
	Answer string
	// DeadLetter is the whole envelope, where the end can be replayed.
	DeadLetter []byte
}

// EventRecord is an event.
type EventRecord struct {
	Seq uint64
	At  time.Time
	messages.Event
}
