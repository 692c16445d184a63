package worker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"flowgate/messages"
)

// Publication is the next state of a request.
type Publication struct {
	messages.Address // State is the next one

	Data []byte
	// Header has what a wake-up tells; may be nil.
	Header nats.Header
	// Expect is S: the sequence of the state that was acted on, 0 where there is none.
	Expect uint64
	// Trace is the trace that it belongs to; the zero Trace is none.
	Trace Trace

	token string
	// envelope is what Data holds, for the observer; nil where it holds none.
	envelope *messages.Envelope
}

// Newest reads the newest state of a request from the leader.
func (h *Hop) Newest(ctx context.Context, p int, key messages.Key) (*Newest, bool, error) {
	return h.Leader.Newest(ctx, p, key)
}

// Fate is what became of a publication.
type Fate int

// The fates.
const (
	// FateStored: it is, or was for a moment, the newest state; Receipt.Seq is its sequence.
	FateStored Fate = iota
	// FateMoved: somebody else moved the request; Receipt.Newest is what stands there now.
	FateMoved
	// FateUnknown: the broker could not be asked until the context ended, or refused for a reason of its own.
	FateUnknown
)

// Receipt tells the fate of a publication.
type Receipt struct {
	Fate   Fate
	Seq    uint64
	Newest *Newest
	Err    error
}

// Hop publishes under the law: the newest message of a family decides, in the broker, who may go on.
type Hop struct {
	JS     jetstream.JetStream
	Leader *Leader
	// Backoff is the pause before a publication is repeated.
	Backoff Delays
	// Group lets publications reach the disk together; nil: each goes by itself.
	Group *Group
}

// Error codes of the broker.
const (
	codeWrongLastSequence jetstream.ErrorCode = 10071
	codePassingConflict   jetstream.ErrorCode = 10164
	codeMessageTooLarge   jetstream.ErrorCode = 10054
)

// TooLarge tells that a message is larger than the broker takes: it never will be taken.
func TooLarge(err error) bool {
	refused, ok := errors.AsType[*jetstream.APIError](err)
	return errors.Is(err, nats.ErrMaxPayload) || ok && refused.ErrorCode == codeMessageTooLarge
}

// Publish publishes a micro-batch, all at once, and awaits every answer. Lost answers, passing conflicts and lost
// connections are repeated with the same S and token until ctx ends. Publications MUST be of distinct families.
func (h *Hop) Publish(ctx context.Context, pubs []*Publication) []Receipt {
	receipts := make([]Receipt, len(pubs))
	for _, p := range pubs {
		p.token = nuid.Next()
	}
	pending, leave := h.together(ctx, pubs, receipts)
	defer leave()
	for round := 1; len(pending) > 0; round++ {
		pending = h.round(ctx, pubs, receipts, pending)
		leave()
		if round >= mostRefusals {
			pending = slices.DeleteFunc(pending, func(i int) bool { return unfounded(receipts[i].Err) })
		}
		if len(pending) > 0 && !h.Backoff.Pause(ctx, round) {
			for _, i := range pending {
				receipts[i] = Receipt{Fate: FateUnknown, Err: errors.Join(receipts[i].Err, ctx.Err())}
			}
			return receipts
		}
	}
	return receipts
}

// mostRefusals is how often a publication is repeated that is refused on account of what nobody shows: then its input is taken up
// again, and judged by what stands by then.
const mostRefusals = 10

// unfounded tells whether a publication was refused on account of what nobody shows.
func unfounded(err error) bool { return errors.Is(err, errLags) || errors.Is(err, errUnmoved) }

// together lets publications go with those of others, where there is a group. What is pending then goes out singly; leave
// MUST be called when that was tried once, since others wait for it.
func (h *Hop) together(ctx context.Context, pubs []*Publication, receipts []Receipt) (pending []int, leave func()) {
	stored, leave := make([]uint64, len(pubs)), func() {}
	if h.Group != nil && len(pubs) > 0 && onePartition(pubs) {
		stored, leave = h.Group.join(ctx, h, pubs[0].P, pubs)
	}
	for i, seq := range stored {
		if seq == 0 {
			pending = append(pending, i)
			continue
		}
		receipts[i] = Receipt{Fate: FateStored, Seq: seq}
	}
	return pending, leave
}

func onePartition(pubs []*Publication) bool {
	for _, p := range pubs {
		if p.P != pubs[0].P {
			return false
		}
	}
	return true
}

// round publishes what is pending once and returns what has to be repeated.
func (h *Hop) round(ctx context.Context, pubs []*Publication, receipts []Receipt, pending []int) (again []int) {
	futures := make([]jetstream.PubAckFuture, len(pending))
	for n, i := range pending {
		future, err := h.JS.PublishMsgAsync(pubs[i].message())
		if err != nil {
			receipts[i] = Receipt{Fate: FateUnknown, Err: fmt.Errorf("publishing %s: %w", pubs[i].State, err)}
		}
		futures[n] = future
	}
	for n, i := range pending {
		if futures[n] != nil {
			receipts[i] = h.await(ctx, pubs[i], futures[n])
		}
		if receipts[i].Fate == FateUnknown && repeatable(receipts[i].Err) {
			again = append(again, i)
		}
	}
	return again
}

func (h *Hop) await(ctx context.Context, p *Publication, future jetstream.PubAckFuture) Receipt {
	select {
	case ack := <-future.Ok():
		return Receipt{Fate: FateStored, Seq: ack.Sequence}
	case err := <-future.Err():
		var refused *jetstream.APIError
		if errors.As(err, &refused) && refused.ErrorCode == codeWrongLastSequence {
			return h.resolve(ctx, p)
		}
		return Receipt{Fate: FateUnknown, Err: fmt.Errorf("publishing %s: %w", p.State, err)}
	case <-ctx.Done():
		return Receipt{Fate: FateUnknown, Err: ctx.Err()}
	}
}

var (
	// errLags says that a stream showed an older state than the one that was acted on: its leader was just elected and has not
	// stored yet all that was acknowledged.
	errLags = errors.New("the stream's leader lags behind")
	// errUnmoved says that a stream refused to go on from the very state that it shows as the newest: its leader counted what it
	// had only proposed, such as this publication when it was sent before, or did not know the state yet.
	errUnmoved = errors.New("the stream's leader refused, and nobody moved the request")
)

// resolve finds out after a mismatch whether this very publication had succeeded before, or somebody else's. Only what is shown
// counts: a leader that is being cut off, or was just elected, refuses on account of what others never see.
func (h *Hop) resolve(ctx context.Context, p *Publication) Receipt {
	const rounds = 5
	for round := 1; ; round++ {
		newest, found, err := h.Leader.Newest(ctx, p.P, p.Key)
		switch {
		case err != nil:
		case found && newest.Token() == p.token:
			return Receipt{Fate: FateStored, Seq: newest.Seq}
		case found && newest.Seq > p.Expect:
			return Receipt{Fate: FateMoved, Newest: newest}
		case found && newest.Seq == p.Expect:
			err = errUnmoved
		case found:
			err = errLags
		case round >= rounds:
			// Purged between refusal and reading, what was expected or what somebody wrote; or not there yet. Nobody may
			// acknowledge on account of what is not shown.
			return Receipt{Fate: FateMoved}
		}
		if round >= rounds && unfounded(err) {
			return Receipt{Fate: FateUnknown, Err: err} // it is published again
		}
		if !h.Backoff.Pause(ctx, round) {
			return Receipt{Fate: FateUnknown, Err: errors.Join(err, ctx.Err())}
		}
	}
}

func (p *Publication) message() *nats.Msg {
	header := make(nats.Header, len(p.Header)+4)
	maps.Copy(header, p.Header)
	header[messages.HeaderToken] = []string{p.token}
	if p.Trace != (Trace{}) {
		header[messages.HeaderTrace] = []string{p.Trace.header()}
	}
	header[jetstream.ExpectedLastSubjSeqHeader] = []string{strconv.FormatUint(p.Expect, 10)}
	header[jetstream.ExpectedLastSubjSeqSubjHeader] = []string{messages.Family(p.P, p.Key)}
	return &nats.Msg{Subject: messages.WorkSubject(p.P, p.State, p.Class, p.Key), Header: header, Data: p.Data}
}

// repeatable tells whether the same publication may be sent again: everything but the broker's own final words.
func repeatable(err error) bool {
	if refused, ok := errors.AsType[*jetstream.APIError](err); ok {
		return refused.ErrorCode == codePassingConflict || refused.Code == 503
	}
	switch {
	case errors.Is(err, nats.ErrMaxPayload), errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, context.Canceled),
		errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrBadSubject):
		return false
	}
	return err != nil
}

// PublishEvent publishes an event and awaits its ack.
func (h *Hop) PublishEvent(ctx context.Context, data []byte, subject string) error {
	msg := &nats.Msg{Subject: subject, Data: data}
	for round := 1; ; round++ {
		_, err := h.JS.PublishMsg(ctx, msg)
		if err == nil {
			return nil
		}
		slow := ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) // one answer was late; ctx goes on
		if !slow && !repeatable(err) || !h.Backoff.Pause(ctx, round) {
			return fmt.Errorf("publishing event %s: %w", subject, err)
		}
	}
}

// lag is how long an input stays unanswered whose request could not be moved for reasons of our own.
const lag = time.Second
