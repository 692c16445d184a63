package pace

import (
	"context"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"

	"flowgate/pipelines/ai"
)

// Key is what has a limit of its own.
type Key struct{ Backend, Model string }

// Sign is what an answer, good or bad, told of the provider's capacity.
type Sign struct {
	// Class is the fault's; empty where an answer came. Rate_limited and overloaded say something by themselves, of the others
	// only the quota counts.
	Class ai.Class
	// RetryAfter is what the provider asked for; 0 where it did not.
	RetryAfter time.Duration
	Quota      ai.Quota
	// Sent is when the call was sent: after Enter let it go.
	Sent time.Time
}

// Bounds.
const (
	// MaxKeys is how many backends and models are paced; calls of more go unpaced until an idle one is forgotten.
	MaxKeys = 1000
	// DefaultHorizon is the default of Options.Horizon, DefaultLongestBlock that of Options.LongestBlock.
	DefaultHorizon      = 5 * time.Second
	DefaultLongestBlock = 10 * time.Minute

	forgetAfter = 10 * time.Minute
	maxQueue    = 4096 // calls that wait in slots, and that were told to come back, a key
)

// Options are what a Pace needs.
type Options struct {
	// Conn reaches the other workers; nil: there are none.
	Conn *nats.Conn
	// Worker names this process among them.
	Worker string
	Logger *zap.Logger
	// Horizon is how far ahead a call is told to come back: later ones come to ask again, and keep their turn (0: DefaultHorizon).
	// It bounds for how long a lifted limit goes unused by calls that are parked.
	Horizon time.Duration
	// LongestBlock is the longest that a Retry-After is obeyed for before one call tries again (0: DefaultLongestBlock).
	LongestBlock time.Duration
}

// Pace paces the calls of one worker. Its methods may be called concurrently.
type Pace struct {
	opts Options
	log  *zap.Logger
	poke chan struct{} // something changed that others should know at once

	mu      sync.Mutex
	buckets map[Key]*bucket
	swept   time.Time
	gone    map[string]time.Duration // what the forgotten buckets of a backend had waited
}

// New makes a Pace. Without Run it works alone.
func New(o Options) *Pace {
	if o.Horizon <= 0 {
		o.Horizon = DefaultHorizon
	}
	if o.LongestBlock <= 0 {
		o.LongestBlock = DefaultLongestBlock
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	return &Pace{opts: o, log: o.Logger, poke: make(chan struct{}, 1), buckets: map[Key]*bucket{}, gone: map[string]time.Duration{}}
}

// Ask is what a call says before it goes.
type Ask struct {
	// Tokens are those that the call may use, as far as they count against a limit; 0: not known.
	Tokens int64
	// Since orders the calls of a key, oldest first: when its request first wanted to be sent, or any other time that is the same
	// whenever it comes back, on whichever worker. Zero: now.
	Since time.Time
	// Patience is how long the call may wait here; 0: it may not.
	Patience time.Duration
}

// Enter returns ok when a call may be sent, at once or after a wait of at most its patience. The caller then MUST send it without
// delay and tell Heard what came of it, or Leave if it is not sent after all. Else it returns when to come back, never more than
// the horizon from now (or the end of a block, if that is later); whoever comes back with the same Since has kept its turn.
func (p *Pace) Enter(ctx context.Context, key Key, a Ask) (at time.Time, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if a.Since.IsZero() || a.Since.After(now) {
		a.Since = now
	}
	b := p.bucket(key, now)
	if b == nil {
		return now, true
	}
	b.used = now
	b.demand.add(now, 1)
	b.redeem(now, a.Since)
	tokens := float64(max(a.Tokens, 0))
	if len(b.queue) == 0 && b.ready(now, tokens) <= 0 {
		b.spend(now, tokens, len(b.promises) > 0)
		return now, true
	}
	due := b.due(now, a.Since, tokens)
	if a.Patience <= 0 || due.After(now.Add(a.Patience)) || len(b.queue) >= maxQueue {
		return b.promise(now, due, a, p.opts.Horizon), false
	}
	return p.wait(ctx, b, &waiter{Ask: a, tokens: tokens, turn: make(chan struct{}, 1), end: now.Add(a.Patience), began: now})
}

// Leave gives back what Enter let go and was not sent.
func (p *Pace) Leave(key Key, tokens int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	b := p.buckets[key]
	if b == nil || b.sent == 0 {
		return
	}
	b.credit += b.cost(now, float64(tokens))
	b.requests.left = min(b.requests.left+1, b.requests.limit)
	b.tokens.left = min(b.tokens.left+float64(max(tokens, 0)), b.tokens.limit)
	b.open = max(b.open-1, 0)
	b.limit.unsent()
	b.next()
}

// Forgo gives back the turn for which Enter told a call to come back that does not: it goes elsewhere, or has ended. Since is what
// it said then.
func (p *Pace) Forgo(key Key, since time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if b := p.buckets[key]; b != nil {
		b.redeem(time.Now(), since)
	}
}

// Heard takes what the answer to a call told.
func (p *Pace) Heard(key Key, s Sign) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	b := p.bucket(key, now)
	if b == nil {
		return
	}
	gen := b.limit.Gen
	urgent := b.hear(now, s, p.opts.LongestBlock)
	b.next()
	if urgent || b.limit.Gen != gen {
		p.tell(b)
	}
	if urgent && s.Class == ai.ClassRateLimited {
		p.log.Info("a provider limits the rate: calls wait", zap.String("backend", key.Backend), zap.String("model", key.Model),
			zap.Duration("until", b.limit.until.Sub(now)), zap.Float64("calls_per_second", b.limit.Rate))
	}
}

// tell lets Run tell the others now.
func (p *Pace) tell(b *bucket) {
	b.changed = true
	select {
	case p.poke <- struct{}{}:
	default:
	}
}

// bucket finds a key's bucket or makes it; nil where there are too many.
func (p *Pace) bucket(key Key, now time.Time) *bucket {
	b := p.buckets[key]
	if b == nil {
		if len(p.buckets) >= MaxKeys {
			p.forget(now)
		}
		if len(p.buckets) >= MaxKeys {
			return nil
		}
		b = newBucket(key, p.opts.Worker, now)
		p.buckets[key] = b
	}
	return b
}

// forget drops what nobody has used for a while.
func (p *Pace) forget(now time.Time) {
	if now.Sub(p.swept) < time.Second {
		return
	}
	p.swept = now
	for key, b := range p.buckets {
		if len(b.queue) == 0 && now.Sub(b.used) > forgetAfter && !now.Before(b.limit.until) {
			if _, known := p.gone[key.Backend]; known || len(p.gone) < MaxKeys {
				p.gone[key.Backend] += b.paced
			}
			delete(p.buckets, key)
		}
	}
}
