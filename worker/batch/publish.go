package batch

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"flowgate/messages"
)

// codeStoreFailed is the broker's code for a message that it did not store; its text alone tells why.
const codeStoreFailed jetstream.ErrorCode = 10077

// textThere is the text with which codeStoreFailed says that the subject has its one message already.
const textThere = "maximum messages per subject exceeded"

// errDuplicate says that the broker took the message for one that it has seen, which is no acceptance.
var errDuplicate = errors.New("the broker took the request for another one")

// errNoAck says that the broker's answer did not come.
var errNoAck = errors.New("the broker does not answer")

// fate is what became of a publication.
type fate int

const (
	fateStored fate = iota // this publication was stored
	fateThere              // the broker has the request already
	fateAgain              // send it again
	fateFatal              // sending it again cannot help
)

// publisher hands requests to the broker.
type publisher struct {
	job *Job
	// trouble is why the newest publication has to be repeated; nil: it does not.
	trouble atomic.Pointer[string]
	// intake says when submissions are refused.
	intake intake
}

// sent tells that the i-th line is with the broker, or why it can never be. there: the broker had it already; ours: a
// publication of this run put it there.
type sent struct {
	i           int
	there, ours bool
	err         error
}

// publish publishes the i-th line until the broker has it. Only an error that repeating cannot heal, or the end of ctx,
// ends it otherwise.
func (p *publisher) publish(ctx context.Context, i int) sent {
	l := p.job.File.Line(i)
	doc, err := p.job.File.Document(i)
	if err != nil {
		return sent{i: i, err: err}
	}
	subject := messages.RequestSubject(l.Class, p.job.key(l.Number))
	lost := false // an earlier round may have been stored without an answer
	for round := 1; ; round++ {
		if !p.admitted(ctx, l.Class) {
			return sent{i: i, err: fmt.Errorf("publishing line %d: %w", l.Number, ctx.Err())}
		}
		err := p.once(ctx, subject, doc)
		switch fateOf(err) {
		case fateStored:
			p.trouble.Store(nil)
			return sent{i: i, ours: true}
		case fateThere:
			p.trouble.Store(nil)
			return sent{i: i, there: true, ours: lost}
		case fateFatal:
			return sent{i: i, err: fmt.Errorf("publishing line %d: %w", l.Number, err)}
		case fateAgain:
			var refused *jetstream.APIError
			lost = lost || !errors.As(err, &refused)
			why := publishTrouble(err)
			p.trouble.Store(&why)
		}
		if !p.job.pace.delays.Pause(ctx, round) {
			return sent{i: i, err: fmt.Errorf("publishing line %d: %w", l.Number, ctx.Err())}
		}
	}
}

// admitted waits while submissions of a class are refused; false: ctx ended.
func (p *publisher) admitted(ctx context.Context, class messages.Class) bool {
	for {
		why, again, open := p.intake.open(ctx, class)
		if open {
			return ctx.Err() == nil
		}
		p.trouble.Store(&why)
		timer := time.NewTimer(again)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return false
		}
	}
}

// once publishes and awaits the answer.
func (p *publisher) once(ctx context.Context, subject string, doc []byte) error {
	future, err := p.job.JS.PublishMsgAsync(&nats.Msg{Subject: subject, Data: doc})
	if err != nil {
		return err //nolint:wrapcheck // publish says what it was about
	}
	timer := time.NewTimer(p.job.pace.ack)
	defer timer.Stop()
	select {
	case ack := <-future.Ok():
		if ack.Duplicate {
			return errDuplicate
		}
		return nil
	case err := <-future.Err():
		return err
	case <-timer.C:
		return errNoAck
	case <-ctx.Done():
		return ctx.Err()
	}
}

func fateOf(err error) fate {
	var refused *jetstream.APIError
	switch {
	case err == nil:
		return fateStored
	case errors.As(err, &refused):
		return refusal(refused)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrConnectionClosed),
		errors.Is(err, nats.ErrMaxPayload), errors.Is(err, nats.ErrBadSubject), errors.Is(err, nats.ErrConnectionDraining):
		return fateFatal
	}
	return fateAgain
}

func refusal(refused *jetstream.APIError) fate {
	switch {
	case refused.ErrorCode == codeStoreFailed && strings.Contains(refused.Description, textThere):
		return fateThere
	case refused.ErrorCode == codeStoreFailed, refused.Code >= 500, refused.Code == 0:
		return fateAgain
	}
	return fateFatal
}

// publishTrouble says in words why a publication has to wait.
func publishTrouble(err error) string {
	var refused *jetstream.APIError
	switch {
	case errors.As(err, &refused) && refused.ErrorCode == codeStoreFailed:
		return "the queue is full (" + refused.Description + ")"
	case errors.Is(err, nats.ErrDisconnected), errors.Is(err, nats.ErrReconnectBufExceeded):
		return "the broker is away"
	case errors.Is(err, jetstream.ErrNoStreamResponse):
		return "the broker has no queue for requests"
	}
	return err.Error()
}
