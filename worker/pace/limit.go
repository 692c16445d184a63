package pace

import (
	"math"
	"time"
)

// The figures of what is learnt from refusals. They were tuned with a simulated provider over limits of 2 to 500 calls a second,
// bursts of a fifth of a second to a minute, and refusals heard after 5 to 300 ms.
const (
	startRate  = 32     // calls a second that are tried first
	startBurst = 3      // calls that may go at once while no limit is known
	fastest    = 1e5    // calls a second that are no limit at all
	slowest    = 1.0e-3 // calls a second below which no limit is believed
	growth     = math.Sqrt2
	growEvery  = 75 * time.Millisecond // least time between two growths: from 50 a second to 5,000 in one second
	// perRefusal is how many calls must be sent for each that is refused before the next probe: 0.8 %. firstRefusal is after how many
	// calls the second refusal is looked for, whatever is owed for the first: only both together tell where the limit is.
	perRefusal   = 125
	firstRefusal = 60
	mostOwed     = 60 * perRefusal        // what a bad moment costs is paid back, but not for ever
	lossWeight   = 12                     // calls between probes for each call that a block costs
	longCruise   = 120                    // seconds after which the next probe comes, whatever it costs
	sure         = 250 * time.Millisecond // nobody waits so long with a refusal
	soon         = 150 * time.Millisecond // most do not wait so long
)

// limit learns the calls a second that a provider takes which does not say so. While nothing is known it grows as TCP does (slow
// start, RFC 5681). From the first refusal on it keeps a picture of the provider's token bucket: rate, size, and how many
// calls it holds (level). A refusal is the one moment at which that is known: it holds none. What went through from one
// refusal to the next, over the time between, is the rate (learn.go).
//
// Calls go so that the provider's bucket stays nearly empty: what it filled up during a block is used at once. So a probe, which
// is one call more than it can hold, decides by one refusal whether the limit still stands. Refusals are a budget: one for every
// perRefusal calls, of all workers. At 50 calls a second that is a probe each two and a half seconds. Nothing but a refused
// probe can tell that a limit still stands: where one call in a hundred may be refused, probes are two seconds apart on average.
//
// It counts the calls of all workers and has no clock, no lock.
type limit struct {
	learnt

	turned  time.Time // when rate grew last, while no limit is known
	pressed bool      // calls had to wait since then
	taken   float64   // calls of all time

	// Since the last refusal:
	mark   time.Time
	sent   float64
	waited float64 // of sent, those that were held back
	trail  trail

	// level is how many calls the provider's bucket holds by this picture, as of last; below 0: so many more were sent.
	level float64
	last  time.Time
	// full is when it was full last, since the mark, and before how many calls were sent by then; zero where it was not: then all that
	// came in was used, and the picture is exact.
	full   time.Time
	before float64
	beyond time.Time // since when more was sent than the picture explains
	spare  float64   // what is kept in the bucket, since other workers have sent calls that are not known yet
	vague  float64   // so many more calls may have been in the bucket when it began
	owed   float64   // calls to send before the next probe

	heard   time.Time // when the last episode began; refusals of calls sent before it say nothing new
	until   time.Time // nothing is sent before
	blocked float64   // for how many seconds then
	again   int       // episodes in a row that began after a few calls: the bucket was still empty
}

// learnt is what workers tell each other.
type learnt struct {
	Gen   uint64  `json:"gen"`   // counts what was learnt, over all workers: the higher one counts
	Known bool    `json:"known"` // a limit is known
	Rate  float64 `json:"rate"`  // calls a second; where no limit is known, what is tried
	// Settled: the second refusal has told both rate and burst.
	Settled bool `json:"settled"`
	// Burst is how many calls the provider's bucket holds, Loss how many calls the last block cost.
	Burst float64 `json:"burst"`
	Loss  float64 `json:"loss"`
	// Held is the rate before a lifted limit, Delivered what came through between the last two refusals, Streak how often in a row that
	// was more than expected, Early how often in a row less.
	Held      float64 `json:"held"`
	Delivered float64 `json:"delivered"`
	Streak    int     `json:"streak"`
	Early     int     `json:"early"`
	// Delay is how many seconds it takes to hear of a refusal.
	Delay float64 `json:"delay"`
	// First is how many calls came through before the first refusal, Took in how many seconds.
	First float64 `json:"first,omitempty"`
	Took  float64 `json:"took,omitempty"`
	// Astray tells that no empty bucket explains the last refusal.
	Astray bool `json:"astray,omitempty"`
}

func newLimit(now time.Time) limit {
	return limit{learnt: learnt{Rate: startRate}, turned: now, mark: now, last: now}
}

// advance lets the provider's bucket fill until now.
func (l *limit) advance(now time.Time) {
	if now.Before(l.last) {
		return
	}
	l.level += l.Rate * now.Sub(l.last).Seconds()
	if l.last = now; l.level >= l.Burst {
		l.level, l.full, l.before = l.Burst, now, l.sent
	}
}

// allowed is how many calls a second all workers together may send; spare is what stays in the provider's bucket. What is in
// it beyond that is used at twice the rate, slower where refusals are heard late.
func (l *limit) allowed(now time.Time, spare float64) float64 {
	if !l.Known || !l.Settled {
		return l.Rate
	}
	l.spare = spare
	if l.advance(now); l.level <= spare {
		return l.Rate * max(0.5, 1-0.25*(1-l.level/spare))
	}
	return l.Rate + min(l.Rate, 4/max(l.Delay, 0.001))
}

// probing tells whether a refusal is affordable.
func (l *limit) probing(now time.Time) bool {
	if !l.Known || now.Before(l.until) {
		return false
	}
	if !l.Settled && l.sent >= firstRefusal*float64(1+2*l.Early) { // little is known yet: whatever is owed
		return true
	}
	return l.owed <= 0 && l.sent >= lossWeight*l.Loss || now.Sub(l.mark).Seconds() >= longCruise
}

// extra is how many calls a second are sent beyond the rate in a probe: about one is then sent too many.
// It is at least one a second, so that a rate which was taken for far too low is found out.
func (l *limit) extra() float64 { return min(max(l.Rate, 1), 1/max(l.Delay, 0.001)) }

// doubted is how many calls beyond the picture may be its mistake.
func (l *limit) doubted() float64 {
	switch {
	case !l.Settled:
		return 8 + l.Burst + l.vague
	case l.full.IsZero():
		return 3 + l.spare + 0.03*l.sent + l.vague
	}
	return 5 + l.spare + l.Burst/8 + l.vague
}

// called counts calls that were sent, by whichever worker; held are those of them that had to wait.
func (l *limit) called(now time.Time, n, held float64) {
	l.advance(now)
	l.taken += n
	l.owed = max(l.owed-n, 0)
	if now.Before(l.until) { // another worker tells of calls before the block
		return
	}
	l.sent += n
	l.waited += held
	l.pressed = l.pressed || held > 0
	l.level -= n
	l.trail.add(now, l.sent)
	switch {
	case !l.Known || -l.level <= l.doubted():
		l.beyond = time.Time{}
	case l.beyond.IsZero():
		l.beyond = now
	case now.Sub(l.beyond) > sure+time.Duration(3*l.Delay*float64(time.Second)): // nobody waits so long with a refusal
		l.lift(now, 2*(l.Rate+l.extra()))
	}
}

// unsent takes back a call that was counted and not sent.
func (l *limit) unsent() {
	l.sent, l.taken, l.level = max(l.sent-1, 0), max(l.taken-1, 0), l.level+1
}

// lift forgets the limit and goes on growing from rate.
func (l *limit) lift(now time.Time, rate float64) {
	l.Gen++
	l.Held, l.Known, l.Settled, l.Rate = l.Rate, false, false, min(max(rate, 1), fastest)
	l.turned, l.pressed = now, false
	l.restart(now)
}

func (l *limit) restart(now time.Time) {
	l.mark, l.last, l.sent, l.waited = now, now, 0, 0
	l.level, l.full, l.before, l.beyond, l.vague = 0, time.Time{}, 0, time.Time{}, 0
	l.trail.clear()
}

// begin starts anew with an empty bucket, at a refusal that blocks calls for so long. Where something else than an empty bucket was
// behind it, nobody knows how much is there when the block ends: then it is empty at that time.
func (l *limit) begin(now time.Time, blocked time.Duration) {
	l.restart(now)
	l.heard, l.blocked = now, blocked.Seconds()
	if l.Astray {
		l.mark = now.Add(blocked)
		l.last, l.blocked, l.vague = l.mark, 0, l.Rate*min(blocked.Seconds(), 1)
	}
}

// long tells whether a Retry-After is more than the time of a call, so that no empty bucket explains it. Most are whole seconds, rounded up.
func (l *limit) long(after time.Duration) bool {
	call := max(1.5/l.Rate, 0.05)
	if after%time.Second == 0 {
		call++
	}
	return after.Seconds() > call
}

// answered hears that the provider took a call which was sent then. What is tried grows where calls had to wait, once a call
// that was sent at the present rate is answered, and not faster than every second answer's time: a refusal would be heard as late.
// A known limit is lifted where a call is taken that it cannot explain.
func (l *limit) answered(now, sent time.Time) {
	switch {
	case l.Known && !l.beyond.IsZero() && sent.After(l.beyond):
		l.lift(now, 2*(l.Rate+l.extra()))
	case !l.Known && l.pressed && !sent.Before(l.turned) && now.Sub(l.turned) >= max(growEvery, 2*now.Sub(sent)):
		l.Rate = min(l.Rate*growth, fastest)
		l.turned, l.pressed = now, false
	}
}

// owe counts refusals, of whichever worker.
func (l *limit) owe(refused float64) { l.owed = min(l.owed+refused*perRefusal, mostOwed) }

func (l *limit) block(now time.Time, d time.Duration) {
	if at := now.Add(d); at.After(l.until) {
		l.until = at
	}
}

// merge takes what another worker learnt. Where both learnt at the same time, the more careful one is believed. A block holds for
// everybody, whoever was told of it.
func (l *limit) merge(now time.Time, o learnt, blocked time.Duration) {
	switch {
	case o.Gen > l.Gen:
		l.learnt = o
		l.turned = now
		l.begin(now, blocked)
	case o.Gen < l.Gen:
	case o.Known && l.Known && o.Rate < l.Rate, o.Known && !l.Known:
		l.learnt = o
	case !o.Known && !l.Known && o.Rate > l.Rate: // what one has tried all may
		l.Rate, l.turned = min(o.Rate, 2*l.Rate), now
	}
	if blocked > 0 {
		l.block(now, blocked)
	}
}
