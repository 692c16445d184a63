package pace

import (
	"math"
	"time"

	"flowgate/pipelines/ai"
)

// smallest is how much a bucket saves up for a timer that fires late.
const smallest = 20 * time.Millisecond

// bucket paces the calls of one key. It is guarded by the mutex of its Pace.
type bucket struct {
	key      Key
	limit    limit
	requests window
	tokens   window
	silent   int // answers in a row without quota headers

	// credit is the time in seconds that was saved up for calls: each costs what the rate makes of it, so that a changed rate
	// counts from the next call on. This is the generic cell rate algorithm with a token bucket's words.
	credit  float64
	accrued time.Time

	queue    []*waiter // who waits here, oldest first
	promises []promise // who was told to come back, oldest first
	spread   float64   // where between the last ones the next is told to come back
	swept    time.Time

	demand decaying // calls asked for, a second
	peers  map[string]*peer
	used   time.Time

	worker      string // this one's name among its peers
	sent, held  uint64 // calls of this worker, and those of them that had to wait
	open        int    // those that nothing was heard of yet
	trail       trail  // of sent
	refused     uint64
	lastRefusal time.Time
	paced       time.Duration // how long all calls waited here
	changed     bool          // the other workers do not know yet
	began       time.Time
	told        line // what they were told last, and when
	toldAt      time.Time
}

func newBucket(key Key, worker string, now time.Time) *bucket {
	return &bucket{
		key: key, worker: worker, limit: newLimit(now), accrued: now, used: now, began: now, credit: float64(startBurst) / startRate, peers: map[string]*peer{},
	}
}

// rates are the requests and tokens a second that this worker may send; 0 for no limit on tokens.
func (b *bucket) rates(now time.Time) (requests, tokens float64) {
	b.requests.turn(now)
	b.tokens.turn(now)
	share := b.share(now)
	requests = b.limit.allowed(now, b.spare(share)) * share
	if b.limit.probing(now) && b.probes(now) {
		requests += b.limit.extra()
	}
	if b.daring(now, share) {
		requests = min(requests, startRate*share)
	}
	if b.requests.usable() {
		// Who has just begun does not know yet with whom it shares what is left.
		if r := b.requests.rate(now) * share; !b.limit.Known && now.Sub(b.began) > 2*tellEvery || r < requests {
			requests = r
		}
	}
	if b.tokens.usable() {
		tokens = b.tokens.rate(now) * share
	}
	return requests, tokens
}

// spare is how many calls are left in the provider's bucket: the others have sent some that this worker does not know of yet.
func (b *bucket) spare(share float64) float64 { return 3 + (1-share)*b.limit.Rate*tellEvery.Seconds() }

// turn is 1 for the worker that goes first of those that have calls, and less the later one goes.
func (b *bucket) turn(now time.Time) float64 {
	ahead, all := 0, 1
	for name, p := range b.peers {
		if p.demand < 1 || now.Sub(p.heard) >= unheard {
			continue
		}
		if all++; name < b.worker {
			ahead++
		}
	}
	return 1 - float64(ahead)/float64(all)
}

// probes tells whether it is this worker that probes a limit: one at a time, or each would be refused.
func (b *bucket) probes(now time.Time) bool { return b.turn(now) == 1 }

// daring tells whether so many calls are on their way that too many would be refused at once if the limit were reached now. What
// nothing was heard of for a while was not refused. While little was sent that is one call a worker, later more: what was
// taken pays for what is refused.
func (b *bucket) daring(now time.Time, share float64) bool {
	l := &b.limit
	if l.Settled || b.requests.usable() && now.Sub(b.began) > 2*tellEvery {
		return false
	}
	most := max(3, l.taken/100)
	if !l.Known {
		beyond := max(l.sent-150, 0)
		most = max(most, l.sent/50, beyond*beyond/400)
	}
	late := float64(b.sent) - b.trail.upto(now.Add(-soon))
	return min(float64(b.open), late) >= max(1, most*share)
}

// cost is the time in seconds that a call takes of the bucket.
func (b *bucket) cost(now time.Time, tokens float64) float64 {
	requests, perSecond := b.rates(now)
	cost := 1 / max(requests, 1e-6)
	if perSecond > 0 && tokens > 0 {
		cost = max(cost, min(tokens, b.tokens.limit)/perSecond)
	}
	return cost
}

// accrue adds the time that has passed. A block saves nothing up: when it ends one call goes, of one worker, and the others follow by
// the rate.
func (b *bucket) accrue(now time.Time, cost float64) {
	from := b.accrued
	if b.limit.until.After(from) {
		from = b.limit.until
		b.credit = cost * b.turn(now)
	}
	if now.Before(from) {
		return
	}
	most := max(smallest.Seconds(), cost)
	if !b.limit.Known && !b.requests.usable() {
		most = max(most, startBurst*cost)
	}
	b.credit = min(b.credit+now.Sub(from).Seconds(), most)
	b.accrued = now
}

// ready is how long the next call has to wait; 0: it may go.
func (b *bucket) ready(now time.Time, tokens float64) time.Duration {
	cost := b.cost(now, tokens)
	b.accrue(now, cost)
	at := now
	if b.credit < cost {
		at = now.Add(seconds(cost - b.credit))
	}
	for _, until := range []time.Time{b.limit.until, b.shortUntil(tokens), b.crowdedUntil(now)} {
		if until.After(at) {
			at = until
		}
	}
	return at.Sub(now)
}

// crowdedUntil tells until when a call waits because others are on their way: what headers told to be left is for all workers, and
// what the others send now is told by the next answers. Each of those lets it look again.
func (b *bucket) crowdedUntil(now time.Time) (at time.Time) {
	if share, open := b.share(now), float64(b.open); b.requests.usable() && share < 1 && open >= max(1, share*(b.requests.left+open)) {
		at = b.requests.reset
	}
	return at
}

func (b *bucket) shortUntil(tokens float64) (at time.Time) {
	if until, short := b.requests.short(1); short {
		at = until
	}
	if until, short := b.tokens.short(tokens); short && until.After(at) {
		at = until
	}
	return at
}

// seconds is a duration, rounded up so that whoever waits so long finds what it waited for.
func seconds(s float64) time.Duration {
	return time.Duration(min(math.Ceil(s*1e9), float64(24*time.Hour))) + 1
}

// spend books a call that goes now.
func (b *bucket) spend(now time.Time, tokens float64, waited bool) {
	b.credit = max(b.credit-b.cost(now, tokens), 0)
	b.requests.spend(1)
	b.tokens.spend(tokens)
	held := 0.0
	if waited {
		held = 1
		b.held++
	}
	b.sent++
	b.open++
	b.trail.add(now, float64(b.sent))
	b.limit.called(now, 1, held)
}

// hear takes what an answer told. It tells whether other workers should know at once.
func (b *bucket) hear(now time.Time, s Sign, longest time.Duration) (urgent bool) {
	s.RetryAfter = min(max(s.RetryAfter, 0), longest)
	b.open = max(b.open-1, 0)
	if s.Sent.IsZero() || s.Sent.After(now) {
		s.Sent = now
	}
	explained := b.explains(s)
	b.quota(now, s, longest)
	if s.Class == ai.ClassRateLimited {
		b.refused++
		b.lastRefusal = now
	}
	switch {
	case s.Class == "":
		b.limit.answered(now, s.Sent)
	case s.Class == ai.ClassOverloaded, s.Class == ai.ClassRateLimited && explained: // where nothing is asked for, the window says until when
		b.limit.block(now, s.RetryAfter)
		return s.RetryAfter > 0
	case s.Class == ai.ClassRateLimited:
		share := b.share(now)
		return b.limit.refused(now, s.Sent, s.RetryAfter, b.spare(share), 1-share)
	}
	return false
}

// explains tells whether the headers say why a call was refused: nothing is then learnt from it.
func (b *bucket) explains(s Sign) bool {
	empty := func(a ai.Allowance) bool {
		return a.Known && a.Remaining <= max(a.Limit/100, 1) && (!a.Coarse || a.Reset >= coarse)
	}
	return empty(s.Quota.Requests) || empty(s.Quota.Tokens)
}

// quota takes the headers of an answer. A provider that had them and has none any more has lifted its limit.
func (b *bucket) quota(now time.Time, s Sign, longest time.Duration) {
	if !s.Quota.Requests.Known && !s.Quota.Tokens.Known {
		if !b.requests.known && !b.tokens.known || s.Class != "" || s.Sent.Before(b.requests.told) || s.Sent.Before(b.tokens.told) {
			return
		}
		if b.silent++; b.silent >= unsaid {
			rate, _ := b.rates(now)
			rate /= b.share(now)
			if b.requests.usable() {
				rate = max(rate, b.requests.rate(now))
			}
			b.requests, b.tokens, b.silent = window{}, window{}, 0
			b.limit.lift(now, rate)
		}
		return
	}
	b.silent = 0
	after := float64(b.sent) - b.trail.upto(s.Sent) // those of other workers are not known so soon
	if a := s.Quota.Requests; a.Known {
		a.Reset = min(a.Reset, longest)
		b.requests.heard(a, now, s.Sent, max(after, 0))
	}
	if a := s.Quota.Tokens; a.Known {
		a.Reset = min(a.Reset, longest)
		b.tokens.heard(a, now, s.Sent, 0)
	}
}

// decaying counts events a second, forgetting within about a second.
type decaying struct {
	at time.Time
	n  float64
}

func (d *decaying) add(now time.Time, n float64) {
	d.n, d.at = d.value(now)+n, now
}

func (d *decaying) value(now time.Time) float64 {
	return d.n * math.Exp(-now.Sub(d.at).Seconds())
}
