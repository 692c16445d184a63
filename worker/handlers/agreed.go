package handlers

import (
	"context"
	"errors"

	"flowgate/messages"
	"flowgate/pipelines/corporate"
	"flowgate/worker"
)

// errUntold keeps requests waiting until it is known under which agreement they run: at the first start of a deployment, and where the
// control bucket was lost.
var errUntold = errors.New("nobody has told of agreements yet: a process that has the database does")

// agree finds the agreement that a request runs under. One that was admitted runs on under the agreement that it was admitted under,
// as it stands now.
func (c *Corporate) agree(ctx context.Context, t *worker.Task, e *messages.Envelope, r *messages.Request, f *corporate.Facts) error {
	if c.Agreements == nil {
		return nil
	}
	book, err := c.Agreements()
	if err == nil && book == nil {
		err = errUntold
	}
	if err != nil {
		return err
	}
	f.Agreement, f.Meant = corporate.Agree(r, t.Tenant, book, c.MatchTexts)
	if was := e.Corporate; was != nil && was.Agreement != nil && r.Trigger == "" {
		if now, found := book.Find(was.Agreement.Trigger); found {
			f.Agreement, f.Meant = &corporate.Agreed{Entry: now, By: corporate.AgreedByDefault}, nil
			if fact := was.Facts; fact != nil && fact.Agreement != nil {
				f.Agreement.By, f.Agreement.Confidence = corporate.AgreedBy(fact.Agreement.By), fact.Agreement.Confidence
			}
		}
	}
	a := f.Agreement
	if a == nil {
		return nil
	}
	if r.PartOf != nil {
		a.By = corporate.AgreedByExecution
	}
	if r.Purpose == "" {
		r.Purpose = a.Purpose
	}
	if c.KeepTerms == nil {
		return nil
	}
	return c.KeepTerms(ctx, a.TermsVersion(), corporate.TermsBody(a.Agreement))
}

// forged is what is wrong with a request that says that an action asks it, and has no proof of that.
func (c *Corporate) forged(ctx context.Context, key messages.Key, r *messages.Request) (*messages.FieldError, error) {
	if r.PartOf == nil {
		return nil, nil
	}
	if c.Seal != nil {
		seal, err := c.Seal(ctx)
		if err != nil {
			return nil, err
		}
		if seal.Proves(key, r.Trigger, *r.PartOf) {
			return nil, nil
		}
	}
	return &messages.FieldError{Field: "part_of", Rule: "is written by actions of this deployment alone: leave it out", Reason: messages.ReasonMalformed}, nil
}
