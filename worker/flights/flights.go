// Package flights lets identical questions that are on their way at the same time make one call, in one process and across
// workers: the first that joins a flight leads it, the others follow until it has landed.
//
// A flight is an entry of the bucket flowgate_flights, in the servers' memory, by the key of the question. Creating it is a
// comparison in the broker, so one leads. Its worker renews it; what nobody renews is over after Expiry. The bucket decides who
// calls, never whether somebody may: where it cannot be asked the question is called.
//
// Read next: watch.go (how a process knows the flights of others).
package flights

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"flowgate/worker"
)

// Bucket is the name of the bucket.
const Bucket = "flowgate_flights"

const (
	// Expiry is after how long a flight is over that nobody renews.
	Expiry = 15 * time.Second
	// renewEvery is how often a worker renews its flights.
	renewEvery = Expiry / 3
	// patience bounds asking the bucket.
	patience = time.Second
	// maxFlights bounds those of one process; questions over it are called without one.
	maxFlights = 10_000
)

// Options are what flights need.
type Options struct {
	// JS is where the bucket is; nil: flights are this process's alone.
	JS     jetstream.JetStream
	Worker string
	Logger *zap.Logger
	Now    func() time.Time
}

// Flights are those that this process leads or knows of. Its methods may be called from any goroutine.
type Flights struct {
	opts Options

	mu     sync.Mutex
	own    map[string]*flight
	others map[string]*flight // those of other workers
	// each has until when a question is one that each asks for itself.
	each map[string]time.Time
	kv   jetstream.KeyValue
}

// flight is one question on its way.
type flight struct {
	leader string
	landed chan struct{}
	// heard is when another worker's flight was renewed last; revision is the entry's.
	heard    time.Time
	revision uint64
}

// entry is what the bucket has of a flight.
type entry struct {
	Worker string `json:"worker"`
	Leader string `json:"leader"`
	// Own tells that it brought nothing that others may have: for as long as the entry stands each asks for itself.
	Own bool `json:"own,omitempty"`
}

// ownFor is for how long a process knows that a question is one that each asks for itself.
const ownFor = 5 * time.Second

// New wires.
func New(o Options) *Flights {
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Flights{opts: o, own: make(map[string]*flight), others: make(map[string]*flight), each: make(map[string]time.Time)}
}

// Join joins the flight of a question. With lead the caller leads it and MUST call Land; without, landed closes when whoever leads has
// landed, or is believed dead. Leader names who leads; a leader that joins again leads on.
func (f *Flights) Join(ctx context.Context, key, leader string) (lead bool, landed <-chan struct{}) {
	f.mu.Lock()
	if own := f.own[key]; own != nil {
		defer f.mu.Unlock()
		return own.leader == leader, own.landed
	}
	if other := f.others[key]; other != nil && other.leader != leader && f.opts.Now().Sub(other.heard) < Expiry {
		defer f.mu.Unlock()
		return false, other.landed
	}
	if len(f.own) >= maxFlights || f.opts.Now().Before(f.each[key]) {
		f.mu.Unlock()
		return true, nil
	}
	mine := &flight{leader: leader, landed: make(chan struct{})}
	f.own[key] = mine // those of this process follow from now on, whoever leads
	kv := f.kv
	f.mu.Unlock()
	other, revision := f.claim(ctx, kv, key, leader)
	f.mu.Lock()
	defer f.mu.Unlock()
	if other == "" {
		mine.revision = revision
		return true, mine.landed
	}
	if other == eachItself {
		delete(f.own, key)
		close(mine.landed)
		f.itself(key)
		return true, nil
	}
	delete(f.own, key)
	close(mine.landed) // who followed meanwhile looks again
	known := f.others[key]
	if known == nil {
		known = &flight{landed: make(chan struct{})}
		f.others[key] = known
	}
	known.leader, known.heard = other, f.opts.Now()
	told := known.landed
	f.mu.Unlock()
	f.verify(ctx, kv, key)
	f.mu.Lock()
	return false, told
}

// eachItself stands for a leader where each asks for itself.
const eachItself = "*"

// itself notes that each asks for itself, under the lock.
func (f *Flights) itself(key string) {
	if len(f.each) < maxFlights {
		f.each[key] = f.opts.Now().Add(ownFor)
	}
}

// verify ends another worker's flight whose entry went before this process knew of it: nobody would tell.
func (f *Flights) verify(ctx context.Context, kv jetstream.KeyValue, key string) {
	if kv == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if _, err := kv.Get(ctx, key); errors.Is(err, jetstream.ErrKeyNotFound) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.land(key)
	}
}

// claim creates the entry of a flight; other is who leads it already. Where the bucket cannot be asked nobody does.
func (f *Flights) claim(ctx context.Context, kv jetstream.KeyValue, key, leader string) (other string, revision uint64) {
	if kv == nil {
		return "", 0
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	value, err := json.Marshal(entry{Worker: f.opts.Worker, Leader: leader})
	if err != nil {
		return "", 0
	}
	for round := 1; ; round++ {
		revision, err = kv.Create(ctx, key, value)
		switch {
		case err == nil:
			return "", revision
		case errors.Is(err, jetstream.ErrKeyExists):
			found, err := kv.Get(ctx, key)
			if err == nil {
				return f.standing(ctx, kv, found, value, leader)
			}
			if !errors.Is(err, jetstream.ErrKeyNotFound) { // else it landed in that moment
				return "", 0
			}
		case !passing(err):
			f.opts.Logger.Warn("a question's flight is this process's alone", zap.Error(err))
			return "", 0
		}
		if !worker.DefaultDelays().Pause(ctx, round) {
			return "", 0
		}
	}
}

// codePassing is the broker's word that another publication of the same subject is on its way: who won is not known yet.
const codePassing jetstream.ErrorCode = 10164

func passing(err error) bool {
	refused, is := errors.AsType[*jetstream.APIError](err)
	return is && refused.ErrorCode == codePassing
}

// standing reads the entry of a flight that somebody created before; a leader takes up its own.
func (f *Flights) standing(ctx context.Context, kv jetstream.KeyValue, found jetstream.KeyValueEntry, value []byte, leader string) (other string, revision uint64) {
	key := found.Key()
	var e entry
	if json.Unmarshal(found.Value(), &e) == nil && e.Own {
		return eachItself, 0
	}
	if e.Leader == "" || e.Leader == leader {
		revision, err := kv.Update(ctx, key, value, found.Revision())
		if err != nil {
			return "", 0
		}
		return "", revision
	}
	return e.Leader, 0
}

// Land ends a flight that the caller leads, whatever came of it. With own it brought nothing that others may have: they ask at once, each
// for itself, instead of one after the other.
func (f *Flights) Land(ctx context.Context, key, leader string, own bool) {
	f.mu.Lock()
	mine := f.own[key]
	if mine == nil || mine.leader != leader {
		f.mu.Unlock()
		return
	}
	delete(f.own, key)
	if own {
		f.itself(key)
	}
	close(mine.landed)
	kv, revision := f.kv, mine.revision
	f.mu.Unlock()
	if kv == nil || revision == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	err := f.close(ctx, kv, key, leader, revision, own)
	if coded(err) { // it was renewed in that moment
		if found, again := kv.Get(ctx, key); again == nil && f.mine(found.Value(), leader) {
			err = f.close(ctx, kv, key, leader, found.Revision(), own)
		}
	}
	if err != nil {
		f.opts.Logger.Debug("a flight stays until it expires", zap.Error(err))
	}
}

// close removes the entry of a flight, or says in it that each asks for itself.
func (f *Flights) close(ctx context.Context, kv jetstream.KeyValue, key, leader string, revision uint64, own bool) error {
	if !own {
		return kv.Delete(ctx, key, jetstream.LastRevision(revision))
	}
	value, err := json.Marshal(entry{Worker: f.opts.Worker, Leader: leader, Own: true})
	if err == nil {
		_, err = kv.Update(ctx, key, value, revision)
	}
	return err
}

// mine tells whether an entry is this worker's for a leader.
func (f *Flights) mine(value []byte, leader string) bool {
	var e entry
	return json.Unmarshal(value, &e) == nil && e.Worker == f.opts.Worker && e.Leader == leader
}

// coded tells whether the broker refused because the entry is another one by now.
func coded(err error) bool {
	refused, is := errors.AsType[*jetstream.APIError](err)
	return is && refused.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence
}

// State is what is on its way.
type State struct {
	// Own counts the flights that this process leads, Others those that it knows of.
	Own    int `json:"own"`
	Others int `json:"others"`
	// Shared tells whether other workers are heard of.
	Shared bool `json:"shared"`
}

// State tells what is on its way.
func (f *Flights) State() State {
	f.mu.Lock()
	defer f.mu.Unlock()
	return State{Own: len(f.own), Others: len(f.others), Shared: f.kv != nil}
}
