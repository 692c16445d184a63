package pace

import (
	"math"
	"time"
)

// fewCalls are so few between two refusals that they teach nothing.
const fewCalls = 5

// refused hears that the provider refused a call which was sent then, and wants no other before retryAfter. It tells whether
// that was news.
func (l *limit) refused(now, sent time.Time, retryAfter time.Duration, spare, unseen float64) bool {
	delay := min(max(now.Sub(sent).Seconds(), 0), 10)
	if l.Delay == 0 {
		l.Delay = delay
	}
	l.Delay += (delay - l.Delay) / 8
	l.owe(1)
	if !sent.After(l.heard) {
		l.block(now, retryAfter)
		return false
	}
	through := max(l.trail.upto(sent)-1, 0)
	through += min(unseen*l.Rate*tellEvery.Seconds()/2, through*unseen/2)
	if through < fewCalls && l.Known {
		l.again++
	} else {
		l.again = 0
	}
	// Less than the time of five calls says nothing, and where even that was too short, twice as much each time.
	least := min(max((2+spare)/l.Rate, 0.05), 1) * math.Exp2(float64(min(l.again, 4)))
	blocked := max(retryAfter, time.Duration(least*float64(time.Second)))
	l.advance(now)
	surprise := l.Settled && !l.probing(sent) && (l.long(retryAfter) || l.level > spare+5+0.1*through)
	once := surprise && l.Early == 0 && through >= fewCalls // perhaps something else than the limit: it teaches nothing yet
	nothing := l.Known && through < 1                       // of what nothing comes through no rate can be learnt: the longer blocks alone count
	if !nothing && (l.again > 1 || l.again == 0 && !once) {
		l.learn(interval{through, max(sent.Sub(l.mark).Seconds(), 0.001), l.blocked}, sent)
		l.Rate = min(max(l.Rate, slowest), fastest)
		if !l.long(retryAfter) {
			l.Loss = max(l.Rate*blocked.Seconds()-l.Burst, 0)
		}
	}
	if once {
		l.Early = 1
	}
	l.Gen++
	l.Astray = surprise || l.long(retryAfter)
	l.begin(now, blocked)
	l.block(now, blocked)
	return true
}

// interval is the time between two refusals: so many calls came through in so many seconds, of which so many were a block.
type interval struct{ through, took, blocked float64 }

// open is how many of its seconds calls could be sent.
func (i interval) open() float64 { return max(i.took-i.blocked, 0.001) }

// least is the rate where nothing was lost in the block, most where all was.
func (i interval) least() float64 { return i.through / i.took }
func (i interval) most() float64  { return i.through / i.open() }

// learn takes a refusal of a call that was sent then.
func (l *limit) learn(i interval, sent time.Time) {
	probed, was, known := l.probing(sent), l.Rate, l.Known
	if l.Early++; probed || i.through >= perRefusal/2 {
		l.Early = 0
	}
	switch {
	case !l.Known:
		l.first(i)
	case l.Early > 1: // again too soon: not the bucket is small, the rate is lower
		l.Rate = math.Sqrt(i.least() * max(min(i.most(), l.Rate), i.least()))
		l.Burst = max(i.through-l.Rate*i.open(), min(l.Burst, l.Rate*i.blocked))
	case !l.Settled:
		l.second(i, probed)
	case l.full.IsZero():
		l.exact(i)
	default:
		l.filled(i, max(sent.Sub(l.full).Seconds(), 0.001), probed)
	}
	if l.Early > 0 {
		l.Rate = min(l.Rate, was)
	}
	l.Rate = min(l.Rate, (i.through+3)/i.open()) // what came in since the block came through, and was all
	if known {                                   // where nothing came through at all that is no rate
		l.Rate = max(l.Rate, was/4)
	}
	l.Delivered = i.least()
	l.Burst = max(l.Burst, 1)
}

// first guesses a limit: the bucket is taken for one of a second, or of as long as it took to empty it, full when the calls began.
func (l *limit) first(i interval) {
	l.First, l.Took = i.through, i.took
	tried := l.Rate
	if i.through < 1 && l.Held == 0 {
		i.through = tried / 4
	}
	l.Rate = min(max(i.through/(i.took+min(i.took, 1)), 1.1*l.Held, tried/64), max(tried, 1.1*l.Held))
	if l.Held > 0 && i.through < 4*fewCalls { // it was not lifted after all
		l.Rate = 1.05 * l.Held
	}
	l.Burst = max(i.through-l.Rate*i.took, l.Burst)
	l.Known, l.Settled = true, false
	l.Held, l.Streak, l.Early = 0, 0, 0
}

// second knows two intervals, and so both rate r and burst b: First = b + r·Took, through = min(b, r·blocked) + r·open.
func (l *limit) second(i interval, probed bool) {
	r := i.least()
	if r > 1.1*l.First/(i.blocked+l.Took) { // then so much was not in the bucket after the block
		r = math.Sqrt(i.least() * i.most())
		if apart := l.Took - i.open(); math.Abs(apart) > 0.3*max(l.Took, i.open()) && i.through >= fewCalls {
			r = min(max((l.First-i.through)/apart, i.least()), i.most())
		}
	}
	switch {
	case probed:
		r = min(r, 2*l.Rate)
	case l.waited < l.sent/2: // it was not used up: the limit is no lower
		r = l.Rate
	default:
		r = min(r, l.Rate)
	}
	l.Rate, l.Settled = r, i.through >= 4*fewCalls
	l.Burst = max(l.First-r*l.Took, min(r*i.blocked, i.through-r*i.open()))
}

// exact corrects a picture of which only the rate can be wrong, unless the bucket is smaller than it was thought.
func (l *limit) exact(i interval) {
	missing := l.Rate*i.took - i.through
	near := 3 + 0.03*i.through
	l.Streak = min(l.Streak+1, 4)
	switch {
	case missing > near && l.Early > 0 && missing > 0.1*l.Rate*i.blocked && l.Rate*i.blocked > fewCalls:
		l.Burst = min(l.Burst, i.through-l.Rate*i.open())
		l.Streak = 0
	case missing > 3*near:
		l.Rate = max(i.least(), l.Rate/4)
		l.Streak = 0
	case missing < -near-l.vague:
		l.Rate = min(i.least(), 2*l.Rate)
	case l.vague == 0:
		l.Rate += (i.least() - l.Rate) / 2
		l.Streak = 0
	}
}

// filled corrects a picture in which the bucket was full so many seconds ago: soon after that its size was wrong, later the rate.
func (l *limit) filled(i interval, ago float64, probed bool) {
	missing := l.Burst + l.Rate*ago - (i.through - l.before)
	if l.Rate*ago < max(20, 2*l.Burst) {
		l.Burst -= missing
		return
	}
	r := l.Rate - missing/ago
	if !probed {
		r = min(r, l.Rate)
	}
	l.Rate = min(max(r, l.Rate/4), 1.5*l.Rate)
}
