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
	// Hold keeps everything younger; 0 keeps nothing for its age.
	Hold time.Duration
	// Now is the clock; nil: time.Now.
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
	if o.Now == nil {
		o.Now = time.Now
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
	last := bounds.Last
	limits, err := j.limits(ctx, last, bounds.Created)
	if err != nil {
		return Swept{}, fmt.Errorf("sweeping %s: %w", j.o.Stream, err)
	}
	floor := Floor(limits...)
	s := Swept{Floor: floor, Left: last - floor.Seq}
	if floor.Seq < bounds.First {
		return s, nil
	}
	s.Purged, err = purge(ctx, j.js, j.o.Stream, purgeRequest{Sequence: floor.Seq + 1})
	if err != nil {
		return Swept{}, fmt.Errorf("sweeping %s: %w", j.o.Stream, err)
	}
	return s, nil
}

func (j *Janitor) limits(ctx context.Context, last uint64, created time.Time) ([]Limit, error) {
	limits := []Limit{{Name: "end", Seq: last}}
	if j.o.Hold > 0 {
		seq, err := j.older(ctx, last)
		if err != nil {
			return nil, err
		}
		limits = append(limits, Limit{Name: "age", Seq: seq})
	}
	if j.o.Recorded != nil {
		seq, err := j.o.Recorded(ctx, created)
		if err != nil {
			return nil, fmt.Errorf("reading the recorder's position: %w", err)
		}
		limits = append(limits, Limit{Name: "recorder", Seq: seq})
	}
	for _, r := range j.o.Readers {
		seq, err := j.readerFloor(ctx, r, last)
		if err != nil {
			return nil, err
		}
		limits = append(limits, Limit{Name: r.Name, Seq: seq})
	}
	return limits, nil
}

// older is the last sequence before the first message that is younger than Hold. The server searches by time itself.
func (j *Janitor) older(ctx context.Context, last uint64) (uint64, error) {
	young := j.o.Now().Add(-j.o.Hold)
	m, found, err := j.leader.Since(ctx, j.o.Stream, young)
	if err != nil {
		return 0, err
	}
	return before(m, found, last), nil
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
