package worker

import (
	"context"
	"fmt"
	"time"

	"flowgate/messages"
	"flowgate/pipelines"
	"flowgate/pipelines/ai"
)

// Canceller ends requests on an operator's word, from outside of the layers. Say MUST have been called before End: whoever
// acts meanwhile looks for the word, so that nothing moves on behind the back of the end.
type Canceller struct {
	Hop    *Hop
	Leader *Leader
	// Partitions is how many WORK streams there are.
	Partitions int
	Now        func() time.Time
}

// Standing is how a request stands.
type Standing struct {
	messages.Key

	Epoch int
	// State is the newest one; empty: layer 1 has not decided on it yet.
	State messages.State
	// End is set with the state done.
	End *messages.End
	// NotAfter is when the epoch ends by itself.
	NotAfter time.Time
}

// Open tells whether there is anything to cancel.
func (s Standing) Open() bool { return s.State != messages.StateDone }

// Find finds the newest epoch of a request in the streams. One that they do not have is ErrNotFound: it ended long ago, or was
// never submitted. Of one without a state the record has the last word: its states may be purged, or its replay be refused.
func (c *Canceller) Find(ctx context.Context, key messages.Key) (Standing, error) {
	s, decided, err := c.family(ctx, key)
	if err != nil || decided && s.Open() {
		return s, err
	}
	asked, found, err := c.submitted(ctx, key)
	switch {
	case err != nil:
		return s, fmt.Errorf("looking for %s: %w", key, err)
	case found && (!decided || asked.Epoch == s.Epoch+1 && s.End != nil && s.End.Replayable):
		return asked, nil
	case !decided:
		return s, fmt.Errorf("%s: %w", key, ErrNotFound)
	}
	return s, nil
}

// submitted reads what stands in the ingress stream: the newest replay, else the request. It may have been decided on, and
// its states be purged: the record knows.
func (c *Canceller) submitted(ctx context.Context, key messages.Key) (Standing, bool, error) {
	replay, found, err := c.Leader.Last(ctx, IngressStream, messages.ReplayFilter(key))
	if err != nil {
		return Standing{}, false, err
	}
	if found {
		a, err := messages.ParseSubject(replay.Subject)
		if err == nil {
			return Standing{Key: key, Epoch: a.Epoch, NotAfter: replay.Time.Add(messages.DefaultBatchLifetime)}, true, nil
		}
	}
	request, found, err := c.Leader.Submitted(ctx, key)
	if err != nil || !found {
		return Standing{}, false, err
	}
	d := &Delivery{Address: request.Address, Stored: request.Time, Data: request.Data}
	return Standing{Key: key, NotAfter: deadline(&Task{Delivery: d})}, true, nil
}

// family reads how a request stands by its newest state.
func (c *Canceller) family(ctx context.Context, key messages.Key) (Standing, bool, error) {
	n, found, err := c.Leader.Newest(ctx, messages.Partition(key, c.Partitions), key)
	if err != nil || !found {
		return Standing{}, false, err
	}
	e, err := c.envelope(ctx, n)
	if err != nil {
		return Standing{}, false, err
	}
	s := Standing{Key: key, Epoch: e.Epoch, State: n.State, End: e.End, NotAfter: e.NotAfter}
	return s, true, nil
}

// envelope is what a state is about: of a call, its input, with the call in doubt.
func (c *Canceller) envelope(ctx context.Context, n *Newest) (*messages.Envelope, error) {
	if n.State != messages.StateCalling {
		return readEnvelope(n.Address, n.Message), nil
	}
	call, err := messages.DecodeCalling(n.Data)
	if err != nil {
		return readEnvelope(n.Address, n.Message), nil //nolint:nilerr // nobody can read it: what can be read of it counts
	}
	input, found, err := c.Leader.Get(ctx, WorkStream(n.P), call.InputSeq)
	if err != nil {
		return nil, fmt.Errorf("reading the input of a call of %s: %w", n.Key, err)
	}
	if !found {
		input = n.Message
	}
	e := readEnvelope(n.Address, input)
	fault := &ai.Fault{Class: ai.ClassInDoubt, Detail: "cancelled while " + call.Worker + " called"}
	e.Epoch, e.History = call.Epoch, ai.Append(call.History, ai.Failed(call.Attempt, fault, c.Now()))
	return e, nil
}

// readEnvelope reads a state; bytes that are no envelope give what can be read of them.
func readEnvelope(a messages.Address, m Message) *messages.Envelope {
	e, err := messages.DecodeEnvelope(m.Data)
	if err != nil {
		return messages.UnreadableEnvelope(a, m.Time, m.Data)
	}
	return e
}

// Cancelled is what became of an epoch that was to be cancelled.
type Cancelled struct {
	// Was is the state from which it ended, or in which it stands.
	Was messages.State
	// End is how it ended; nil: it has not, because layer 1 has not decided on it yet or has to ask the ledger about it, or a
	// newer version of flowgate has it. Whoever takes it up ends it.
	End *messages.End
	// Here is true where this very call ended it.
	Here bool
}

// End publishes the end of an epoch with the newest state as S, and again when somebody moved it meanwhile.
func (c *Canceller) End(ctx context.Context, key messages.Key, epoch int, why *pipelines.Refusal) (Cancelled, error) {
	for round := 1; ; round++ {
		done, again, err := c.end(ctx, key, epoch, why)
		if err == nil && !again {
			return done, nil
		}
		if !c.Hop.Backoff.Pause(ctx, round) {
			if err == nil {
				err = ctx.Err()
			}
			return done, fmt.Errorf("cancelling %s: %w", key, err)
		}
	}
}

func (c *Canceller) end(ctx context.Context, key messages.Key, epoch int, why *pipelines.Refusal) (done Cancelled, again bool, err error) {
	n, found, err := c.Leader.Newest(ctx, messages.Partition(key, c.Partitions), key)
	if err != nil || !found {
		return Cancelled{}, false, err
	}
	at, err := messages.EpochOf(n.Data)
	if err != nil {
		at = epoch // unreadable: its layer ends it, if this does not
	}
	done.Was = n.State
	switch {
	case at < epoch, messages.Newer(n.Data): // a replay that is not decided yet; what only a newer version can read
		return done, false, nil
	case at > epoch: // it had failed, and is replayed
		done.Was, done.End = messages.StateDone, &messages.End{Status: messages.StatusFailure}
		return done, false, nil
	case n.State == messages.StateDone:
		if done.End = readEnvelope(n.Address, n.Message).End; done.End == nil {
			done.End = &messages.End{Status: messages.StatusFailure, Reason: messages.ReasonMalformed}
		}
		return done, false, nil
	}
	e, err := c.envelope(ctx, n)
	if err != nil {
		return done, false, err
	}
	if doubtful, err := c.doubtful(ctx, n, e); err != nil || doubtful {
		return done, false, err // whoever takes it up asks the admission's row, and ends it if it is to be ended
	}
	pipelines.Cancel(e, n.State, why, c.Now())
	task := &Task{Delivery: &Delivery{Address: n.Address, Header: n.Header}, Envelope: e, Expect: n.Seq, Trace: follow(n.Header)}
	verdict, err := task.advance(messages.StateDone)
	if err != nil {
		return done, false, err
	}
	switch receipt := c.Hop.Publish(ctx, []*Publication{verdict.Next})[0]; receipt.Fate {
	case FateStored:
		done.End, done.Here = e.End, true
		return done, false, nil
	case FateMoved:
		return done, true, nil
	case FateUnknown:
		err = receipt.Err
	}
	return done, false, err
}

// doubtful tells of a state whether its writer slept through a purge, or may have: the request may have ended long ago.
func (c *Canceller) doubtful(ctx context.Context, n *Newest, e *messages.Envelope) (bool, error) {
	if n.State == messages.StateCalling || e.Slept != nil {
		return e.Slept != nil, nil
	}
	return mayHaveSlept(e, n.Header, n.Seq, func() (uint64, error) {
		bounds, err := c.Leader.Bounds(ctx, WorkStream(n.P))
		return bounds.First, err
	})
}
