package handlers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"

	"flowgate/messages"
	"flowgate/pipelines/corporate"
	"flowgate/worker"
)

// gatherReplay decides a replay: the request and the earlier sections come from our own store, never from the message.
func (c *Corporate) gatherReplay(ctx context.Context, t *worker.Task, p corporate.Policy) (*candidate, worker.Verdict) {
	ask, err := messages.DecodeReplay(t.Data)
	if err == nil {
		err = t.SubjectErr
	}
	if err != nil {
		return nil, replayRefused(t, err.Error())
	}
	old, stored, err := c.dead(ctx, t)
	switch {
	case errors.Is(err, worker.ErrNotFound):
		return nil, c.refuseReplay(ctx, t, "no failure of this request is stored")
	case messages.Newer(stored):
		return nil, worker.ParkForNewer(t)
	case err != nil:
		return nil, c.handBack(err)
	}
	if old.Epoch >= t.Epoch {
		// This very replay may have ended before; the ledger knows. What is decided here is not used then.
		old.AI = nil
	}
	e := c.fresh(t)
	sum := sha256.Sum256(stored)
	e.Replay = &messages.ReplayOrigin{
		Reason: ask.Reason, By: ask.By, CarriedFrom: old.Epoch, CarriedSHA256: hex.EncodeToString(sum[:]), Edited: len(ask.Request) > 0,
	}
	if old.Corporate != nil {
		e.Corporate = &messages.CorporateSection{Credential: old.Corporate.Credential}
	}
	document, err := c.document(ctx, ask, old)
	if err != nil {
		if !errors.Is(err, worker.ErrClaimMissing) {
			return nil, c.handBack(err)
		}
		return nil, replayRefused(t, "the stored body of the request is gone: replay with a request")
	}
	d, err := c.decide(ctx, t, e, document, p)
	if err != nil {
		return nil, c.undecided(ctx, t, err)
	}
	corporate.Resume(&d, old, ask.ResumeAt, e.Replay.Edited)
	if old.AI != nil { // dropped again where the stored decision resumes before the model
		carried := *old.AI
		carried.Verdict = messages.VerdictCarriedOver
		e.AI = &carried
	}
	return c.candidate(t, e, d), worker.Verdict{}
}

func (c *Corporate) dead(ctx context.Context, t *worker.Task) (*messages.Envelope, []byte, error) {
	stored, err := c.Dead.DeadLetter(ctx, t.Key)
	if err != nil {
		return nil, nil, err
	}
	old, err := messages.DecodeEnvelope(stored)
	return old, stored, err
}

// document is what the replay asks: the operator's new request, or the old one.
func (c *Corporate) document(ctx context.Context, ask messages.Replay, old *messages.Envelope) ([]byte, error) {
	if len(ask.Request) > 0 {
		return ask.Request, nil
	}
	document, err := c.Bodies.raw(ctx, old)
	switch {
	case err != nil || len(document) > 0:
		return document, err
	case old.Malformed != nil:
		return old.Malformed.Head, nil
	}
	return nil, worker.ErrClaimMissing // it was too large to be kept
}

// refuseReplay refuses a replay for what the record says, unless the record is behind the end that it follows (nobody records, or
// the database was set back): then it is judged when that end is recorded.
func (c *Corporate) refuseReplay(ctx context.Context, t *worker.Task, detail string) worker.Verdict {
	newest, found, err := c.Leader.Newest(ctx, messages.Partition(t.Key, c.Partitions), t.Key)
	if err != nil {
		return c.handBack(err)
	}
	if !found || newest.State != messages.StateDone {
		return replayRefused(t, detail)
	}
	epoch, err := messages.EpochOf(newest.Data)
	if err != nil || epoch != t.Epoch-1 {
		return replayRefused(t, detail)
	}
	_, ended, err := c.Admissions.Standing(ctx, t.Key, epoch)
	switch {
	case err != nil && !errors.Is(err, worker.ErrNotFound):
		return c.handBack(err)
	case !ended:
		return c.handBack(nil)
	}
	return replayRefused(t, detail)
}

func replayRefused(t *worker.Task, detail string) worker.Verdict {
	return worker.Verdict{Action: worker.ActionAck, Events: []messages.Event{
		{Kind: messages.EventReplayRefused, Key: t.Key, Epoch: t.Epoch, IngressSeq: t.Seq, Detail: detail},
	}}
}
