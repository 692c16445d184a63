package handlers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"flowgate/messages"
	"flowgate/worker"
)

// Claims keeps bodies that are too large for an envelope.
type Claims interface {
	// Put stores a body; the same body of the same epoch twice is one.
	Put(ctx context.Context, key messages.Key, epoch int, body []byte) (messages.Claim, error)
	// Get reads a body, or gives worker.ErrClaimMissing.
	Get(ctx context.Context, claim messages.Claim) ([]byte, error)
}

// Bodies moves large bodies out of envelopes before every publication, and back when they are read.
type Bodies struct {
	Claims Claims
	// MaxPayload is the most bytes of a message, headers included, as the broker says now; nil: enough for every envelope.
	MaxPayload func() int64
}

// seal encodes an envelope; bodies over messages.InlineBytes go to the claim store first, and smaller ones with which it would
// be larger than the broker takes.
func (b Bodies) seal(ctx context.Context, key messages.Key, e *messages.Envelope) ([]byte, error) {
	data, err := b.sealOver(ctx, key, e, messages.InlineBytes)
	if err != nil || b.MaxPayload == nil {
		return data, err
	}
	if most := b.MaxPayload(); most > 0 && int64(len(data)) > most-messages.HeaderRoom {
		return b.sealOver(ctx, key, e, smallBody)
	}
	return data, nil
}

// smallBody is what always travels inside.
const smallBody = 1 << 10

func (b Bodies) sealOver(ctx context.Context, key messages.Key, e *messages.Envelope, inline int) ([]byte, error) {
	if len(e.Request) > inline {
		claim, err := b.Claims.Put(ctx, key, e.Epoch, e.Request)
		if err != nil {
			return nil, fmt.Errorf("storing the request's body: %w", err)
		}
		e.Request, e.RequestClaim = nil, &claim
	}
	if e.AI != nil && len(e.AI.Answer) > inline {
		claim, err := b.Claims.Put(ctx, key, e.Epoch, []byte(e.AI.Answer))
		if err != nil {
			return nil, fmt.Errorf("storing the answer's body: %w", err)
		}
		section := *e.AI
		section.Answer, section.AnswerClaim = "", &claim
		e.AI = &section
	}
	return messages.EncodeEnvelope(e)
}

// raw reads the request's document.
func (b Bodies) raw(ctx context.Context, e *messages.Envelope) (json.RawMessage, error) {
	if e.RequestClaim == nil {
		return e.Request, nil
	}
	return b.Claims.Get(ctx, *e.RequestClaim)
}

// request reads and decodes the request, which layer 1 has checked.
func (b Bodies) request(ctx context.Context, e *messages.Envelope) (*messages.Request, error) {
	data, err := b.raw(ctx, e)
	if err != nil {
		return nil, err
	}
	return messages.ReadAdmittedRequest(data)
}

// patience is how long a missing body is waited for before its request ends as claim_missing.
const patience = 60 * time.Second

// gone tells whether a body has been missing for too long; until then the message is handed back.
func gone(err error, t *worker.Task) bool {
	return errors.Is(err, worker.ErrClaimAltered) || errors.Is(err, worker.ErrClaimMissing) && t.Started.Sub(t.Stored) > patience
}
