package worker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"flowgate/messages"
	"flowgate/pipelines"
)

// Layer judges tasks. It gathers facts, asks its package of pipelines for the decision and acts on it; the runtime does
// everything else.
type Layer interface {
	// Name is the layer's name.
	Name() messages.LayerName
	// Handle judges a micro-batch and returns one verdict each, in the same order. Tasks are of distinct families.
	Handle(ctx context.Context, tasks []*Task) []Verdict
	// End ends a task that the runtime cannot let go on: past its deadline, or crashed too often.
	End(ctx context.Context, t *Task, r *pipelines.Refusal) Verdict
}

// Queue is one consumer and the layer that judges what it delivers.
type Queue struct {
	// Name is the durable consumer's name, Stream the stream it reads.
	Name, Stream string
	Layer        Layer
	// Class is what the queue delivers (default std).
	Class messages.Class
	// Batch is the most deliveries of a micro-batch; Lanes how many micro-batches the layer has in hand at once. The queues of
	// a layer share them by the weights of their classes: 8 to 3 to 1.
	Batch, Lanes int
	// Holds is true for the queue of requests that wait at layer 1.
	Holds bool
	// Single hands tasks over one by one, each with a goroutine of its own: for calls that take their time. Batch is then how
	// many the layer has in hand at once, shared by its queues.
	Single bool
	// Full tells that nothing is to be taken from the queue for now, because more waits behind its layer than should. It MUST
	// return at once; nil: never.
	Full func() bool
}

// Options are what a runtime needs.
type Options struct {
	Conn   *nats.Conn
	JS     jetstream.JetStream
	Leader *Leader
	// Hop publishes under the law; layers that announce calls share it.
	Hop    *Hop
	Queues []Queue
	// Waiting lists the oldest waiting epochs of scopes; nil where this process has no layer 1.
	Waiting func(ctx context.Context, scopes []string, limit int) ([]Waiter, error)
	// Worker names this process; Earlier tells whether another name is that of a dead process under the same state lock.
	Worker  string
	Earlier func(worker string) bool
	// AckWait is the consumers' (default 30 s). Heartbeats go out every third of it.
	AckWait time.Duration
	// PullWait is how long a pull waits at the broker before it is renewed (default 500 ms). A process that hangs swallows
	// deliveries for as long, and a drain lasts as long.
	PullWait time.Duration
	// LongestPark is how long a message is parked at most before it is published again (default LongestPark, 5 min). The
	// stream is kept for as long behind a request that waits.
	LongestPark time.Duration
	// Grace is how long a drain waits for work in hand (default 20 s).
	Grace  time.Duration
	Now    func() time.Time
	Logger *zap.Logger
	Probe  Probe
	// Control tells what is paused; nil: nothing ever is.
	Control Control
	// Observer is told what becomes of deliveries; may be nil (see Observe for several).
	Observer Observer
	// Pulse is told that the loops go round; may be nil.
	Pulse *Pulse
	// Inflight knows the messages with which processes before this one ended; may be nil. Unclean: the last one did not end in
	// order, so messages are handled one at a time for a while.
	Inflight Inflight
	Unclean  bool
}

// Runtime moves requests from state to state.
type Runtime struct {
	opts  Options
	hop   *Hop
	log   *zap.Logger
	now   func() time.Time
	fresh *firstSequence
	held  *held
	// panics counts those of messages that have no history, or none that can be read.
	panics panics
	// alone has the messages that are handled one at a time.
	alone solitude
	// lookout spreads the looks at paused requests.
	lookout lookout
	// followers are in hand and hold no slot.
	followers followers
}

// NewRuntime wires and validates.
func NewRuntime(opts Options) (*Runtime, error) {
	var faults []error
	if opts.Conn == nil || opts.JS == nil || opts.Leader == nil || opts.Hop == nil {
		faults = append(faults, errors.New("runtime needs a connection, JetStream, a leader and a hop"))
	}
	if opts.Worker == "" {
		faults = append(faults, errors.New("runtime needs a worker name"))
	}
	faults = append(faults, checkQueues(opts.Queues)...)
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	if opts.AckWait <= 0 {
		opts.AckWait = 30 * time.Second
	}
	if opts.PullWait <= 0 {
		opts.PullWait = 500 * time.Millisecond
	}
	if opts.LongestPark <= 0 {
		opts.LongestPark = LongestPark
	}
	if opts.Grace <= 0 {
		opts.Grace = 20 * time.Second
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Logger == nil {
		opts.Logger = zap.NewNop()
	}
	if opts.Earlier == nil {
		opts.Earlier = func(string) bool { return false }
	}
	return &Runtime{
		opts: opts, log: opts.Logger, now: opts.Now,
		hop:   opts.Hop,
		fresh: newFirstSequence(opts.Leader),
		held:  newHeld(),
		alone: solitude{inflight: opts.Inflight},
	}, nil
}

// Run works until ctx ends, then drains: it stops fetching, finishes what is in hand within the grace, hands the rest back
// at once. It returns when every goroutine has ended.
func (r *Runtime) Run(ctx context.Context) error {
	consumers := make([]jetstream.Consumer, len(r.opts.Queues))
	for i, q := range r.opts.Queues {
		var err error
		if consumers[i], err = r.opts.JS.Consumer(ctx, q.Stream, q.Name); err != nil {
			if ctx.Err() != nil {
				return nil // it was drained before it began
			}
			return fmt.Errorf("opening consumer %s of %s: %w", q.Name, q.Stream, err)
		}
	}
	r.followers.ended = ctx.Done()
	r.alone.begin(r.now(), r.opts.Unclean, r.opts.AckWait)
	work, cancelWork := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancelWork(nil)
	beating, cancelBeats := context.WithCancel(context.WithoutCancel(ctx))
	defer cancelBeats()
	var lanes, beats sync.WaitGroup
	beats.Go(func() { r.heartbeats(beating) }) // to the end: what is still in hand must not go to others
	beats.Go(func() { r.fresh.run(beating) })
	if r.opts.Waiting != nil {
		lanes.Go(func() { r.wake(ctx, work) })
	}
	pools := make(map[messages.LayerName]*pool)
	for i, q := range r.opts.Queues {
		if q.Class == "" {
			q.Class = messages.ClassStd
		}
		if pools[q.Layer.Name()] == nil {
			pools[q.Layer.Name()] = newPool(q.slots())
		}
		t := &taker{Runtime: r, queue: q, consumer: consumers[i], pool: pools[q.Layer.Name()], work: work, hands: &lanes}
		lanes.Go(func() { t.run(ctx) })
	}
	done := make(chan struct{})
	go func() { lanes.Wait(); close(done) }()
	<-ctx.Done()
	grace := time.NewTimer(r.opts.Grace)
	defer grace.Stop()
	select {
	case <-done:
	case <-grace.C:
		cancelWork(errGrace)
		<-done
	}
	cancelWork(nil)
	r.followers.going.Wait()
	cancelBeats()
	beats.Wait()
	r.flush()
	return nil
}

// flush waits until the broker has heard every answer: what was handed back is to be taken up at once.
func (r *Runtime) flush() {
	if !r.opts.Conn.IsConnected() {
		return
	}
	if err := r.opts.Conn.FlushTimeout(time.Second); err != nil {
		r.log.Warn("flushing the last answers", zap.Error(err))
	}
}

// slots is how many of what the queue hands over its layer may have in hand.
func (q *Queue) slots() int {
	if q.Single {
		return q.Batch
	}
	return q.Lanes
}

// checkQueues tells what queues lack. Those of one layer share its slots, so they must agree about them.
func checkQueues(queues []Queue) (faults []error) {
	slots := make(map[messages.LayerName]int)
	for _, q := range queues {
		if q.Layer == nil || q.Batch < 1 || q.Lanes < 1 {
			faults = append(faults, fmt.Errorf("queue %s needs a layer, a batch and a lane", q.Name))
			continue
		}
		if n := slots[q.Layer.Name()]; n != 0 && n != q.slots() {
			faults = append(faults, fmt.Errorf("queue %s has %d slots, another of its layer %d", q.Name, q.slots(), n))
		}
		slots[q.Layer.Name()] = q.slots()
	}
	return faults
}

var errGrace = errors.New("the grace of the drain is over")
