package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"flowgate/worker"
)

// DefaultHold is how long everything is kept, so that a promoted replica that lags can be fed again.
const DefaultHold = 10 * time.Minute

// Limit is how far one party lets a stream be purged: Seq is the last sequence that it no longer needs.
type Limit struct {
	// Name is a consumer's name, "recorder", "age" or "end".
	Name string
	Seq  uint64
}

// Floor is the lowest of the limits: everything up to its sequence may be purged, and its name is who holds the rest.
// Without limits nothing may be.
func Floor(limits ...Limit) Limit {
	if len(limits) == 0 {
		return Limit{}
	}
	lowest := limits[0]
	for _, l := range limits[1:] {
		if l.Seq < lowest.Seq {
			lowest = l
		}
	}
	return lowest
}

// JanitorOptions is what a janitor needs to know of its stream.
type JanitorOptions struct {
	Stream string
	// Readers are all durable consumers of the stream (Topology.ConsumersOf). One that does not exist holds everything.
	Readers []Consumer
	// Recorded gives the last recorded sequence of the stream that was created at the given time, 0 for none; nil: the
	// recorder does not read this stream.
	Recorded func(ctx context.Context, created time.Time) (uint64, error)
	// Apart purges the subjects of each reader behind that reader alone: a class that stands still keeps nothing of the
	// others. It is for the ingress stream, where each subject has one message and nobody is judged by the order of others;
	// a stream that is recorded MUST be purged in order.
	Apart bool
	// Hold keeps everything younger; 0 keeps nothing for its age.
	Hold time.Duration
	// Now is the clock; nil: the broker's, which stamps what it stores.
	Now func() time.Time
}

// Janitor purges one stream by sequence behind all its readers. At most one may run for a stream: the caller holds the
// lock and runs the loop.
type Janitor struct {
	js     jetstream.JetStream
	leader *worker.Leader
	o      JanitorOptions
}

// NewJanitor makes the janitor of one stream. A stream that nobody reads is refused: all of it would be purged.
func NewJanitor(js jetstream.JetStream, o JanitorOptions) (*Janitor, error) {
	var faults []error
	if o.Stream == "" {
		faults = append(faults, errors.New("it has no stream"))
	}
	if len(o.Readers) == 0 && o.Recorded == nil {
		faults = append(faults, errors.New("the stream has neither readers nor recorder"))
	}
	if o.Apart && o.Recorded != nil {
		faults = append(faults, errors.New("a stream that is recorded is purged in order, not each reader's subjects apart"))
	}
	if o.Hold < 0 {
		faults = append(faults, fmt.Errorf("hold is %s, must not be negative", o.Hold))
	}
	for _, r := range o.Readers {
		if r.Stream != o.Stream {
			faults = append(faults, fmt.Errorf("consumer %s reads %s", r.Name, r.Stream))
		}
		if len(r.Filters()) == 0 {
			faults = append(faults, fmt.Errorf("consumer %s has no filter", r.Name))
		}
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("making the janitor of %s: %w", o.Stream, err)
	}
	return &Janitor{js: js, leader: &worker.Leader{JS: js}, o: o}, nil
}

// Swept is what one sweep did.
type Swept struct {
	// Purged is how many messages are gone.
	Purged uint64
	// Floor is up to where the stream was purged and who holds the rest.
	Floor Limit
	// Left is how many sequences above the floor the stream has.
	Left uint64
}

// Sweep purges what nobody needs. After an error nothing was purged.
func (j *Janitor) Sweep(ctx context.Context) (Swept, error) {
	// Read first: where a reader has nothing left, this is how far that was seen.
	bounds, err := j.leader.Bounds(ctx, j.o.Stream)
	if err != nil {
		return Swept{}, err
	}
	limits, err := j.limits(ctx, bounds)
	if err != nil {
		return Swept{}, fmt.Errorf("sweeping %s: %w", j.o.Stream, err)
	}
	if j.o.Apart {
		return j.apart(ctx, bounds, limits)
	}
	readers, err := j.readers(ctx, bounds.Last)
	if err != nil {
		return Swept{}, fmt.Errorf("sweeping %s: %w", j.o.Stream, err)
	}
	floor := Floor(append(limits, readers...)...)
	s := Swept{Floor: floor, Left: bounds.Last - floor.Seq}
	if floor.Seq < bounds.First {
		return s, nil
	}
	s.Purged, err = purge(ctx, j.js, j.o.Stream, purgeRequest{Sequence: floor.Seq + 1})
	if err != nil {
		return Swept{}, fmt.Errorf("sweeping %s: %w", j.o.Stream, err)
	}
	return s, nil
}

// apart purges the subjects of each reader up to its own floor.
func (j *Janitor) apart(ctx context.Context, b worker.Bounds, limits []Limit) (Swept, error) {
	var s Swept
	readers, err := j.readers(ctx, b.Last)
	if err != nil {
		return s, fmt.Errorf("sweeping %s: %w", j.o.Stream, err)
	}
	s.Floor = Floor(append(readers, limits...)...)
	s.Left = b.Last - s.Floor.Seq
	for i, r := range j.o.Readers {
		floor := Floor(append([]Limit{readers[i]}, limits...)...)
		for _, filter := range r.Filters() {
			m, found, err := j.leader.Next(ctx, j.o.Stream, 1, filter)
			if err == nil && found && m.Seq <= floor.Seq {
				var purged uint64
				purged, err = purge(ctx, j.js, j.o.Stream, purgeRequest{Sequence: floor.Seq + 1, Subject: filter})
				s.Purged += purged
			}
			if err != nil {
				return s, fmt.Errorf("sweeping %s: %w", j.o.Stream, err)
			}
		}
	}
	return s, nil
}

// limits are those that hold for all readers together.
func (j *Janitor) limits(ctx context.Context, b worker.Bounds) ([]Limit, error) {
	limits := []Limit{{Name: "end", Seq: b.Last}}
	if j.o.Hold > 0 {
		seq, err := j.older(ctx, b)
		if err != nil {
			return nil, err
		}
		limits = append(limits, Limit{Name: "age", Seq: seq})
	}
	if j.o.Recorded != nil {
		seq, err := j.o.Recorded(ctx, b.Created)
		if err != nil {
			return nil, fmt.Errorf("reading the recorder's position: %w", err)
		}
		limits = append(limits, Limit{Name: "recorder", Seq: seq})
	}
	return limits, nil
}

// readers are the limits of the readers, in their order.
func (j *Janitor) readers(ctx context.Context, last uint64) ([]Limit, error) {
	limits := make([]Limit, 0, len(j.o.Readers))
	for _, r := range j.o.Readers {
		seq, err := j.readerFloor(ctx, r, last)
		if err != nil {
			return nil, err
		}
		limits = append(limits, Limit{Name: r.Name, Seq: seq})
	}
	return limits, nil
}

// everything is the filter of all that streams have. For ">" itself the server looks at its last sequence alone, which may be
// gone.
const everything = "flowgate.>"

// older is the last sequence before the first message that is younger than Hold. The server searches by time itself. Where it
// shows none that young, the newest one that it does show is the answer, by that message's own time, not the stream's last
// sequence: a leader that was just elected has not stored yet all that was acknowledged.
func (j *Janitor) older(ctx context.Context, b worker.Bounds) (uint64, error) {
	now := b.Now
	if j.o.Now != nil {
		now = j.o.Now()
	}
	if now.IsZero() {
		return 0, errors.New("the broker says no time")
	}
	since := now.Add(-j.o.Hold)
	m, found, err := j.leader.Since(ctx, j.o.Stream, since)
	if err != nil {
		return 0, err
	}
	if found {
		return before(m, found, b.Last), nil
	}
	if b.First > b.Last || b.Last == 0 {
		return b.Last, nil // it is empty
	}
	newest, found, err := j.leader.Last(ctx, j.o.Stream, everything)
	if err == nil && (!found || !newest.Time.Before(since)) {
		err = errors.New("the stream's leader lags behind: it is swept next time")
	}
	return min(newest.Seq, b.Last), err
}

// readerFloor is the sequence before the first message of the reader's filters above its ack floor. Neither its pending
// count nor a follower is asked: both may lag.
func (j *Janitor) readerFloor(ctx context.Context, r Consumer, last uint64) (uint64, error) {
	c, err := j.js.Consumer(ctx, r.Stream, r.Name)
	if err != nil {
		return 0, fmt.Errorf("reading consumer %s: %w", r.Name, err)
	}
	acked := c.CachedInfo().AckFloor.Stream
	lowest := last
	for _, filter := range r.Filters() {
		m, found, err := j.leader.Next(ctx, r.Stream, acked+1, filter)
		if err != nil {
			return 0, err
		}
		lowest = min(lowest, before(m, found, last))
	}
	return lowest, nil
}

// before is the sequence before a message, or the last one seen where there is no such message.
func before(m worker.Message, found bool, last uint64) uint64 {
	if !found {
		return last
	}
	return min(m.Seq-1, last)
}

// purgeRequest is a request of the JetStream API STREAM.PURGE: everything below Sequence, or everything of Subject.
type purgeRequest struct {
	Sequence uint64 `json:"seq,omitempty"`
	Subject  string `json:"filter,omitempty"`
}

// purge tells how many messages are gone.
func purge(ctx context.Context, js jetstream.JetStream, stream string, r purgeRequest) (uint64, error) {
	if r == (purgeRequest{}) {
		return 0, errors.New("purging without a bound")
	}
	var purged struct {
		Error  *jetstream.APIError `json:"error"`
		Purged uint64              `json:"purged"`
	}
	leader := worker.Leader{JS: js, Timeout: bodyTimeout}
	if err := leader.Ask(ctx, "STREAM.PURGE."+stream, r, &purged); err != nil {
		return 0, fmt.Errorf("purging %s: %w", stream, err)
	}
	if purged.Error != nil {
		return 0, fmt.Errorf("purging %s: %w", stream, purged.Error)
	}
	return purged.Purged, nil
}
