package pace

import (
	"math"
	"time"
)

// The figures of what is learnt from refusals. They were tuned with a simulated provider over limits of 2 to 500 calls a second,
// bursts of a tenth of a second to a minute, and refusals heard after 5 to 300 ms.
const (
	startRate  = 32     // calls a second that are tried first
	startBurst = 4      // calls that may go at once while no limit is known
	fewCalls   = 5      // calls between two refusals that teach nothing
	fastest    = 1e5    // calls a second that are no limit at all
	slowest    = 1.0e-3 // calls a second below which no limit is believed
	growth     = math.Sqrt2
	growEvery  = 75 * time.Millisecond // least time between two growths: from 50 a second to 5,000 in one second
	probeAfter = 200                   // calls between a refusal and the next probe, where refusals cost nothing but themselves
	firstProbe = 40                    // the same, before anything is confirmed
	lossWeight = 12                    // calls between probes for each call that a block costs
	longCruise = 120                   // seconds after which the next probe comes, whatever it costs
	creep      = 0.015
	pull       = 0.15
)

// limit learns the calls a second that a provider takes which does not say so. It is congestion control: slow start and the
// clock of growth by calls from TCP (RFC 5681), the delivered rate between two refusals as the measure of capacity from BBR,
// and a plateau with a convex probe behind it from CUBIC (RFC 9438). Beyond them it knows that providers are token buckets: at
// a refusal the bucket is empty, so what was sent from one refusal to the next, over the time between, is at most the limit, and
// equals it where the bucket never overflowed.
//
// It counts the calls of all workers and has no clock, no lock.
type limit struct {
	learnt

	turned  time.Time // when rate grew last, while no limit is known
	pressed bool      // calls had to wait since then

	// Since the last refusal:
	mark   time.Time
	sent   float64
	waited float64 // of sent, those that were held back: without demand nothing is probed
	excess float64 // calls beyond what rate gives, as a bucket that leaks at rate
	last   time.Time
	trail  trail

	heard   time.Time // when the last episode began; refusals of calls sent before it say nothing new
	until   time.Time // nothing is sent before
	blocked float64   // for how many seconds then
	again   int       // episodes in a row that began after a few calls: the bucket was still empty
}

// learnt is what workers tell each other.
type learnt struct {
	Gen   uint64  `json:"gen"`   // counts what was learnt, over all workers: the higher one counts
	Known bool    `json:"known"` // a limit is known
	Rate  float64 `json:"rate"`  // calls a second: the plateau; where no limit is known, what is tried
	// Settled: a probe or two refusals have confirmed it.
	Settled bool `json:"settled"`
	// Burst is the most calls beyond rate that were taken, Loss how many calls the last block cost.
	Burst float64 `json:"burst"`
	Loss  float64 `json:"loss"`
	// Held is a plateau that was held until its probe, Delivered what came through between the last two refusals, Streak how
	// often in a row that grew, Early how many refusals came in a row before a probe.
	Held      float64 `json:"held"`
	Delivered float64 `json:"delivered"`
	Streak    int     `json:"streak"`
	Early     int     `json:"early"`
	// Delay is how many seconds it takes to hear of a refusal.
	Delay float64 `json:"delay"`
}

func newLimit(now time.Time) limit {
	return limit{learnt: learnt{Rate: startRate}, turned: now, mark: now, last: now}
}

// plateau is how many calls that were held back go before the next probe.
func (l *limit) plateau() float64 {
	if !l.Settled {
		return firstProbe
	}
	return max(probeAfter, min(lossWeight*l.Loss, longCruise*l.Rate))
}

func (l *limit) probing() bool { return l.Known && l.waited >= l.plateau() }

// allowed is how many calls a second all workers together may send. A probe is at most twice the plateau, and slower where
// refusals are heard late: about one call is then sent too many.
func (l *limit) allowed() float64 {
	if !l.probing() {
		return l.Rate
	}
	return l.Rate + min(l.Rate, 1/max(l.Delay, 0.001))
}

// called counts calls that were sent, by whichever worker; held are those of them that had to wait.
func (l *limit) called(now time.Time, n, held float64) {
	l.sent += n
	l.waited += held
	l.pressed = l.pressed || held > 0
	l.excess = max(0, l.excess-l.Rate*now.Sub(l.last).Seconds()) + n
	l.last = now
	l.trail.add(now, l.sent)
	if l.probing() && l.excess > 1.25*l.Burst+8+1.5*l.Delay*l.allowed() { // no burst explains that: the limit is gone
		l.lift(now, 2*l.allowed())
	}
}

// lift forgets the limit and goes on growing from rate.
func (l *limit) lift(now time.Time, rate float64) {
	l.Gen++
	l.Held, l.Known, l.Rate = l.Rate, false, min(max(rate, 1), fastest)
	l.turned, l.pressed = now, false
	l.restart(now)
}

func (l *limit) restart(now time.Time) {
	l.mark, l.last, l.sent, l.waited, l.excess = now, now, 0, 0, 0
	l.trail.clear()
}

// answered hears that the provider took a call which was sent then. What is tried grows where calls had to wait, once a call
// that was sent at the present rate is answered, and not faster than every second answer's time: a refusal would be heard as late.
func (l *limit) answered(now, sent time.Time) {
	if !l.Known && l.pressed && !sent.Before(l.turned) && now.Sub(l.turned) >= max(growEvery, 2*now.Sub(sent)) {
		l.Rate = min(l.Rate*growth, fastest)
		l.turned, l.pressed = now, false
	}
}

// refused hears that the provider refused a call which was sent then, and wants no other before retryAfter. It tells whether
// that was news.
func (l *limit) refused(now, sent time.Time, retryAfter time.Duration) bool {
	delay := min(max(now.Sub(sent).Seconds(), 0), 10)
	if l.Delay == 0 {
		l.Delay = delay
	}
	l.Delay += (delay - l.Delay) / 8
	if !sent.After(l.heard) {
		l.block(now, retryAfter)
		return false
	}
	through := max(l.trail.upto(sent)-1, 0)
	if through < fewCalls && l.Known {
		l.again++
	} else {
		l.again = 0
	}
	// Less than the time of five calls says nothing, and where even that was too short, twice as much each time.
	least := min(max(5/l.Rate, 0.05), 0.5) * math.Exp2(float64(min(l.again, 4)))
	blocked := max(retryAfter, time.Duration(least*float64(time.Second)))
	if l.again == 0 || l.again > 3 {
		l.learn(through, sent.Sub(l.mark).Seconds(), blocked.Seconds())
	}
	l.Rate = min(max(l.Rate, slowest), fastest)
	l.Gen++
	l.heard, l.blocked = now, blocked.Seconds()
	l.restart(now)
	l.block(now, blocked)
	return true
}

func (l *limit) block(now time.Time, d time.Duration) {
	if at := now.Add(d); at.After(l.until) {
		l.until = at
	}
}

// learn sets the plateau after a refusal: so many calls came through in so many seconds since the last one, of which the last block
// took some; now calls are blocked for so long.
func (l *limit) learn(through, took, blocked float64) {
	took = max(took, 0.001)
	delivered := through / took
	rate := l.Rate
	switch {
	case !l.Known: // it grew until now; the bucket was perhaps full when it began
		guess := rate / 2
		if through >= 30 {
			guess = min(delivered, rate) / 2
		}
		l.Rate = max(guess, 1.1*l.Held, rate/16)
		l.Known, l.Settled = true, false
		l.Burst = max(l.Rate*blocked, 8)
		l.Held, l.Streak, l.Early = 0, 0, 0
	case !l.probing(): // too fast: the limit is what came through, and more where the bucket overflowed in the block
		if l.Early++; l.Early > 2 {
			l.Held = 0 // what was held once is held no more
		}
		most := min(through/max(took-l.blocked, 0.001), rate)
		least := delivered
		if rate > 1.05*l.Held {
			least = max(least, 0.97*l.Held)
		} else {
			least = max(least, 0.9*l.Held)
		}
		least = max(min(least, most), rate/4)
		most = max(most, least)
		l.Settled = l.Settled || most < 1.3*least
		l.Rate = math.Sqrt(least * most)
		l.Streak = 0
	default: // the plateau was held: a little more, faster while more comes through, drawn towards what came through
		l.Settled, l.Early, l.Held = true, 0, rate
		l.Burst = max(0.8*l.Burst, l.excess)
		l.Loss = max(rate*blocked-2*l.excess, 0)
		l.Streak++
		if delivered <= 1.003*l.Delivered {
			l.Streak = 0
		}
		l.Streak = min(l.Streak, 4)
		l.Delivered = delivered
		l.Rate = max(delivered, (1-pull)*rate+pull*delivered) * (1 + creep*math.Exp2(float64(l.Streak)))
		l.Rate = min(l.Rate, 1.5*rate)
	}
}

// merge takes what another worker learnt. Where both learnt at the same time, the more careful one is believed. A block holds for
// everybody, whoever was told of it.
func (l *limit) merge(now time.Time, o learnt, blocked time.Duration) {
	switch {
	case o.Gen > l.Gen:
		l.learnt = o
		l.turned, l.heard, l.blocked = now, now, blocked.Seconds()
		l.restart(now)
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

// trail remembers how many calls had been sent when, as far as answers may still come.
type trail struct {
	steps [512]step
	n     int // steps ever taken
}

type step struct {
	at   time.Time
	sent float64
}

// add takes a step; those within two milliseconds are one, so that a second is remembered at any rate.
func (t *trail) add(at time.Time, sent float64) {
	if last := &t.steps[(t.n+len(t.steps)-1)%len(t.steps)]; t.n > 0 && at.Sub(last.at) < 2*time.Millisecond {
		last.sent = sent
		return
	}
	t.steps[t.n%len(t.steps)] = step{at, sent}
	t.n++
}

func (t *trail) clear() { t.n = 0 }

// upto is how many had been sent at that time, its own call included.
func (t *trail) upto(at time.Time) float64 {
	oldest := max(0, t.n-len(t.steps))
	for i := t.n - 1; i >= oldest; i-- {
		if s := t.steps[i%len(t.steps)]; !s.at.After(at) {
			return s.sent
		}
	}
	if oldest < t.n && oldest > 0 {
		return t.steps[oldest%len(t.steps)].sent
	}
	return 0
}
