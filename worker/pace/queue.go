package pace

import (
	"context"
	"slices"
	"sort"
	"time"
)

// waiter is a call that waits in its slot.
type waiter struct {
	Ask

	tokens float64
	turn   chan struct{} // it is first now, or something changed for who is first
	end    time.Time     // its patience
	began  time.Time
}

// promise is when a call was told to come back.
type promise struct{ since, at time.Time }

// lateness is for how long a promised turn is kept for who does not come back: another worker may have taken it up.
const lateness = 250 * time.Millisecond

// wait queues a call until it may go or its patience ends. It is called with the lock, and returns with it.
func (p *Pace) wait(ctx context.Context, b *bucket, w *waiter) (time.Time, bool) {
	at := sort.Search(len(b.queue), func(i int) bool { return b.queue[i].Since.After(w.Since) })
	b.queue = slices.Insert(b.queue, at, w)
	for {
		now := time.Now()
		left := w.end.Sub(now)
		if b.queue[0] == w {
			ready := b.ready(now, w.tokens)
			if ready <= 0 {
				b.leave(w)
				b.paced += now.Sub(w.began)
				b.spend(now, w.tokens, true)
				b.used = now
				b.next()
				return now, true
			}
			left = min(left, ready)
		}
		if !now.Before(w.end) || ctx.Err() != nil || b.limit.until.After(w.end) {
			b.leave(w)
			b.paced += now.Sub(w.began)
			due := b.due(now, w.Since, w.tokens)
			b.next()
			return b.promise(now, due, w.Ask, p.opts.Horizon), false
		}
		timer := time.NewTimer(left)
		p.mu.Unlock()
		select {
		case <-w.turn:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
		p.mu.Lock()
	}
}

func (b *bucket) leave(w *waiter) {
	if i := slices.Index(b.queue, w); i >= 0 {
		b.queue = slices.Delete(b.queue, i, i+1)
	}
}

// next wakes who is first; where nothing goes before everybody's patience ends, all of them.
func (b *bucket) next() {
	for i, w := range b.queue {
		if i > 0 && !b.limit.until.After(w.end) {
			continue
		}
		select {
		case w.turn <- struct{}{}:
		default:
		}
	}
}

// aheadOf counts who goes before a call that has waited since then.
func (b *bucket) aheadOf(since time.Time) int {
	n := sort.Search(len(b.queue), func(i int) bool { return b.queue[i].Since.After(since) })
	return n + sort.Search(len(b.promises), func(i int) bool { return !b.promises[i].since.Before(since) })
}

// due is about when a call goes that has waited since then: after who is older, by the present rate. While no limit is known the
// rate grows as long as somebody waits, so nobody is sent away for long.
func (b *bucket) due(now, since time.Time, tokens float64) time.Time {
	ready := b.ready(now, tokens)
	ahead := seconds(float64(b.aheadOf(since)) * b.cost(now, tokens))
	if !b.limit.Known && !b.requests.usable() && !b.tokens.usable() {
		ahead = min(ahead, 500*time.Millisecond)
	}
	return now.Add(ready + ahead)
}

// promise says when a call comes back, and notes it, so that who comes later waits longer. It comes early by half of its
// patience: a few calls always wait here, for when the rate grows. Beyond the horizon calls come to ask again, spread over
// nearly all of it: what is asked for at once is not away at once when the rate grows.
func (b *bucket) promise(now, due time.Time, a Ask, horizon time.Duration) time.Time {
	from := now
	for _, until := range []time.Time{b.limit.until, b.shortUntil(float64(max(a.Tokens, 0)))} {
		if until.After(from) {
			from = until
		}
	}
	if last := from.Add(horizon); due.After(last) {
		b.spread = (b.spread + 0.618033988749895) // the golden ratio: any number of them is spread evenly
		b.spread -= float64(int(b.spread))
		due = last.Add(-time.Duration(b.spread * float64(horizon) * 0.8))
	}
	if due = due.Add(-min(a.Patience*3/4, time.Second)); due.Before(from) {
		due = from
	}
	if !due.After(now) {
		due = now.Add(time.Millisecond)
	}
	if len(b.promises) < maxQueue {
		at := sort.Search(len(b.promises), func(i int) bool { return b.promises[i].since.After(a.Since) })
		b.promises = slices.Insert(b.promises, at, promise{a.Since, due})
	}
	return due
}

// redeem forgets the promise of a call that came back, sweep those that nobody came back for.
func (b *bucket) redeem(now, since time.Time) {
	at := sort.Search(len(b.promises), func(i int) bool { return !b.promises[i].since.Before(since) })
	if at < len(b.promises) && b.promises[at].since.Equal(since) {
		b.promises = slices.Delete(b.promises, at, at+1)
	}
	b.sweep(now)
}

func (b *bucket) sweep(now time.Time) {
	if now.Sub(b.swept) >= lateness/5 {
		b.swept = now
		b.promises = slices.DeleteFunc(b.promises, func(p promise) bool { return now.Sub(p.at) > lateness })
	}
}
