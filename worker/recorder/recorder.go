// Package recorder reads the WORK and EVENTS streams in order and writes what it reads into Postgres: intents before
// outcomes, attempts, settlements, each run of messages in one transaction with the position in the stream. Reading again
// changes nothing.
//
// Read recorder.go, then decode.go.
package recorder

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"flowgate/messages"
	"flowgate/worker"
)

// Claims reads and drops the bodies that are too large for an envelope.
type Claims interface {
	Get(ctx context.Context, claim messages.Claim) ([]byte, error)
	Delete(ctx context.Context, claim messages.Claim) error
}

// Options are what a recorder needs.
type Options struct {
	JS     jetstream.JetStream
	Leader *worker.Leader
	Hop    *worker.Hop
	Store  worker.RecordStore
	Claims Claims
	// Stream is the stream to record: a WORK stream or EVENTS.
	Stream string
	// Lock makes this the only recorder of the stream: it blocks until it has the lock, and lost is closed when it is gone.
	Lock worker.LockFunc
	// Batch is the most messages of one transaction (default 1000), Linger how long one waits for more (default 50 ms).
	Batch  int
	Linger time.Duration
	// Believe is for how long the stream must end before what is recorded until that is believed (default 30 s).
	Believe time.Duration
	Worker  string
	Logger  *zap.Logger
	Probe   worker.Probe
}

// Recorder records one stream.
type Recorder struct {
	opts Options
	log  *zap.Logger
}

// New wires and validates.
func New(opts Options) (*Recorder, error) {
	if opts.JS == nil || opts.Leader == nil || opts.Hop == nil || opts.Store == nil || opts.Lock == nil || opts.Stream == "" {
		return nil, errors.New("recorder needs JetStream, a leader, a hop, a store, a lock and a stream")
	}
	if opts.Batch <= 0 {
		opts.Batch = 1000
	}
	if opts.Linger <= 0 {
		opts.Linger = 50 * time.Millisecond
	}
	if opts.Believe <= 0 {
		opts.Believe = 30 * time.Second
	}
	if opts.Logger == nil {
		opts.Logger = zap.NewNop()
	}
	return &Recorder{opts: opts, log: opts.Logger.With(zap.String("stream", opts.Stream))}, nil
}

// Run records until ctx ends. Trouble with broker or database is waited out; nothing is passed over. What a newer version
// wrote is left to a recorder of that version: this one gives up the lock and stands aside.
func (r *Recorder) Run(ctx context.Context) {
	for round := 1; ctx.Err() == nil; round++ {
		began := time.Now()
		err := r.term(ctx)
		if ctx.Err() != nil {
			break
		}
		if time.Since(began) > 10*time.Second {
			round = 1
		}
		r.log.Warn("recording is interrupted", zap.Error(err))
		pauses := worker.DefaultDelays()
		if errors.Is(err, worker.ErrNewer) {
			pauses = aside()
		}
		pauses.Pause(ctx, round)
	}
}

// aside is longer than anybody waits between two tries to take the lock.
func aside() worker.Delays {
	return worker.Delays{Base: 3 * time.Second, Max: 30 * time.Second, Factor: 2, Jitter: 0.2}
}

// term is one term of office: from taking the lock until something breaks.
func (r *Recorder) term(ctx context.Context) error {
	release, lost, err := r.opts.Lock(ctx, "recorder "+r.opts.Stream)
	if err != nil {
		return fmt.Errorf("taking the recorder's lock: %w", err)
	}
	defer release()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := make(chan struct{})
	defer close(stop)
	go func() { // ends with the term
		select {
		case <-lost:
			cancel()
		case <-stop:
		}
	}()
	from, gap, err := r.resume(ctx)
	if err != nil {
		return err
	}
	if gap.To.Seq > 0 {
		r.log.Error("messages were purged before they were recorded",
			zap.Uint64("after", gap.From.Seq), zap.Uint64("to", gap.GapTo))
		if _, err := r.opts.Store.Commit(ctx, gap); err != nil {
			return fmt.Errorf("recording a gap: %w", err)
		}
		from = gap.To
	}
	return r.read(ctx, from)
}

// resume finds the position to go on from. A first sequence above it is a gap; a last sequence below it, another
// message in its place, or another creation time is a new incarnation of the stream, which is read from its beginning.
func (r *Recorder) resume(ctx context.Context) (from worker.Position, gap worker.RecordBatch, err error) {
	from, err = r.opts.Store.Position(ctx, r.opts.Stream)
	if err != nil {
		return from, gap, fmt.Errorf("reading the recorder's position: %w", err)
	}
	from.Stream = r.opts.Stream
	bounds, err := r.bounds(ctx, from)
	if err != nil {
		return from, gap, err
	}
	changed, err := r.changed(ctx, from, bounds)
	if err != nil {
		return from, gap, err
	}
	at := from
	if changed {
		at = worker.Position{Stream: r.opts.Stream, Incarnation: bounds.Incarnation()}
		if from.Incarnation != "" {
			gap.Events = append(gap.Events, r.streamLost(from, at))
		}
	}
	if bounds.First > at.Seq+1 {
		to := worker.Position{Stream: at.Stream, Incarnation: at.Incarnation, Seq: bounds.First - 1}
		gap.From, gap.To, gap.GapTo = from, to, to.Seq
		return from, gap, nil
	}
	if at != from {
		gap.From, gap.To = from, at
		if _, err := r.opts.Store.Commit(ctx, gap); err != nil {
			return from, worker.RecordBatch{}, fmt.Errorf("recording a new incarnation: %w", err)
		}
	}
	return at, worker.RecordBatch{}, nil
}

// changed tells whether the stream is another than the one that was recorded, or lost its end: then it ends before what is
// recorded or, having grown again since, has another message in that place.
func (r *Recorder) changed(ctx context.Context, from worker.Position, bounds worker.Bounds) (bool, error) {
	if from.Incarnation != bounds.Incarnation() || bounds.Last < from.Seq {
		return true, nil
	}
	if from.StoredNS == 0 {
		return false, nil
	}
	m, found, err := r.opts.Leader.Get(ctx, r.opts.Stream, from.Seq)
	return found && m.Time.UnixNano() != from.StoredNS, err
}

// bounds asks for the stream's bounds. That it ends before what is recorded is believed when it has been so for Believe: a leader
// that was cut off from the others, and does not know yet, lags.
func (r *Recorder) bounds(ctx context.Context, from worker.Position) (worker.Bounds, error) {
	tick := time.NewTicker(min(r.opts.Believe, time.Second))
	defer tick.Stop()
	for began := time.Now(); ; {
		bounds, err := r.opts.Leader.Bounds(ctx, r.opts.Stream)
		if err != nil || bounds.Incarnation() != from.Incarnation || bounds.Last >= from.Seq || time.Since(began) >= r.opts.Believe {
			return bounds, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return bounds, ctx.Err()
		}
	}
}

// streamLost alarms, and is the event that the record keeps of it. What the stream had beyond the position is not known.
func (r *Recorder) streamLost(from, at worker.Position) worker.EventRecord {
	r.log.Error("the stream is another, or was set back: what it had and the record has not is lost",
		zap.Uint64("recorded", from.Seq), zap.String("incarnation", from.Incarnation), zap.String("now", at.Incarnation))
	now := time.Now().UTC()
	return worker.EventRecord{Seq: from.Seq, At: now, Event: messages.Event{
		V: messages.Version, Kind: messages.EventStreamLost, Key: messages.Key{Tenant: messages.SystemTenant}, At: now, Worker: r.opts.Worker,
		Detail: fmt.Sprintf("%s of %s was recorded up to %d; now it is of %s", from.Stream, from.Incarnation, from.Seq, at.Incarnation),
	}}
}

// read consumes from a position on, in order.
func (r *Recorder) read(ctx context.Context, from worker.Position) error {
	consumer, err := r.opts.JS.CreateConsumer(ctx, r.opts.Stream, jetstream.ConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: from.Seq + 1,
		AckPolicy: jetstream.AckNonePolicy, FilterSubjects: filters(r.opts.Stream), MemoryStorage: true,
		InactiveThreshold: time.Minute, MaxDeliver: 1, Replicas: 1,
	})
	if err != nil {
		return fmt.Errorf("creating the recorder's consumer: %w", err)
	}
	source := &source{consumer: consumer, batch: r.opts.Batch, linger: r.opts.Linger}
	for {
		msgs, err := source.next(ctx)
		if err != nil {
			return err
		}
		if len(msgs) == 0 {
			if from, err = r.idle(ctx, from); err != nil {
				return err
			}
			continue
		}
		batch, err := r.batch(ctx, from, msgs)
		if err != nil && !errors.Is(err, worker.ErrNewer) {
			return err
		}
		if batch.To != from {
			if err := r.commit(ctx, batch); err != nil {
				return err
			}
		}
		if err != nil {
			return err
		}
		from = batch.To
	}
}

// commit writes a batch, waits out the database's trouble, and tells what money became free.
func (r *Recorder) commit(ctx context.Context, batch worker.RecordBatch) error {
	delays := worker.DefaultDelays()
	for round := 1; ; round++ {
		r.opts.Probe.At(worker.StepDecided, "recorder", messages.Key{})
		done, err := r.opts.Store.Commit(ctx, batch)
		if err == nil {
			r.opts.Probe.At(worker.StepPublished, "recorder", messages.Key{})
			r.afterwards(ctx, batch, done)
			return nil
		}
		if errors.Is(err, worker.ErrPositionMoved) {
			return err
		}
		r.log.Warn("recording", zap.Uint64("to", batch.To.Seq), zap.Error(err))
		if !delays.Pause(ctx, round) {
			return ctx.Err()
		}
	}
}

// tenantOf is the tenant of a scope of money: tenant:acme:day:2026-01-31, or user:acme/anna:day:2026-01-31.
func tenantOf(scope string) string {
	_, rest, _ := strings.Cut(scope, ":")
	if end := strings.IndexAny(rest, ":/"); end >= 0 {
		return rest[:end]
	}
	return ""
}

// afterwards does what may be lost: waking those who wait for money, dropping bodies that nobody needs any more.
func (r *Recorder) afterwards(ctx context.Context, batch worker.RecordBatch, done worker.Committed) {
	for _, key := range done.Second {
		r.log.Error("second outcome", worker.LogRequest(key, 0))
	}
	byTenant := make(map[string][]string)
	for _, scope := range done.Freed {
		if tenant := tenantOf(scope); messages.CheckTenant(tenant) == nil {
			byTenant[tenant] = append(byTenant[tenant], scope)
		}
	}
	for tenant, scopes := range byTenant {
		data, err := json.Marshal(&messages.Event{
			V: messages.Version, Kind: messages.EventFreed, Key: messages.Key{Tenant: tenant}, At: time.Now().UTC(), Scopes: scopes, Worker: r.opts.Worker,
		})
		if err == nil {
			err = r.opts.Hop.PublishEvent(ctx, data, messages.EventSubject(tenant, messages.EventFreed))
		}
		if err != nil {
			r.log.Warn("telling that money is free", zap.Error(err))
		}
	}
	for i := range batch.Outcomes {
		if o := &batch.Outcomes[i]; !slices.Contains(done.Second, o.Key) {
			r.drop(ctx, o)
		}
	}
}

// drop deletes the claims of an epoch that ended and cannot be replayed.
func (r *Recorder) drop(ctx context.Context, o *worker.Outcome) {
	if o.End.Replayable || o.RequestClaim == nil {
		return
	}
	if err := r.opts.Claims.Delete(ctx, *o.RequestClaim); err != nil {
		r.log.Debug("dropping a body", zap.Error(err)) // the sweep finds it
	}
}
