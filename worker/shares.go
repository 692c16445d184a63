package worker

import (
	"time"

	"flowgate/messages"
)

// shares divides the slots of one layer among the classes: work conserving, by weight where more than one class wants some.
// It is stride scheduling (Waldspurger, 1995): each class has a pass that grows by 1/weight for each slot that it gets; the
// class with the lowest pass is next. It is pure: who calls it tells what happened, and when.
//
// A class whose pull is on its way counts as one that wants more, for as long as patience: its pull was small because little
// was free, and without it slots that are freed one after the other go to whoever happens to ask at that moment.
type shares struct {
	capacity, free int
	patience       time.Duration
	classes        []share
	now            float64 // the pass of the class that was served last
}

// share is one class's part.
type share struct {
	class  messages.Class
	weight float64
	pass   float64
	used   int
	// reserve is what classes below leave free for this one while it uses less: a newcomer need not wait for their long calls.
	reserve int
	wants   []want // oldest first
	// pulling counts takers that got slots and whose pull has not come back. eager is set while there is one, or one said
	// that it will ask again; since is when the last of them went.
	pulling int
	eager   bool
	since   time.Time
}

// want is a taker that waits for up to n slots.
type want struct {
	taker, n int
}

// grant is what a taker gets.
type grant struct {
	taker, n int
}

// weights are those of the classes, most urgent first.
func weights() map[messages.Class]float64 {
	return map[messages.Class]float64{messages.ClassRT: 8, messages.ClassStd: 3, messages.ClassBatch: 1}
}

// reservePart: an eighth of a class's share is kept from the classes below.
const reservePart = 8

func newShares(capacity int, patience time.Duration) *shares {
	s := &shares{capacity: capacity, free: capacity, patience: patience}
	var sum float64
	for _, w := range weights() {
		sum += w
	}
	for _, class := range messages.Classes() {
		w := weights()[class]
		s.classes = append(s.classes, share{class: class, weight: w, reserve: int(float64(capacity) * w / sum / reservePart)})
	}
	return s
}

func (s *shares) of(class messages.Class) *share {
	for i := range s.classes {
		if s.classes[i].class == class {
			return &s.classes[i]
		}
	}
	return &s.classes[1] // std
}

// ask says that a taker wants up to n slots. A class that wanted nothing meanwhile has saved nothing up.
func (s *shares) ask(class messages.Class, taker, n int) {
	c := s.of(class)
	if len(c.wants) == 0 && !c.eager {
		c.pass = max(c.pass, s.now)
	}
	c.wants = append(c.wants, want{taker, n})
}

// cancel says that a taker wants none any more; false: it was granted some already.
func (s *shares) cancel(class messages.Class, taker int) bool {
	c := s.of(class)
	for i := range c.wants {
		if c.wants[i].taker == taker {
			c.wants = append(c.wants[:i], c.wants[i+1:]...)
			return true
		}
	}
	return false
}

// pulled says that the pull of a taker that was granted slots came back: unused of them are free again, the others cost less
// than a slot each by spared, and with more it will ask again at once.
func (s *shares) pulled(class messages.Class, unused int, spared float64, more bool) {
	c := s.of(class)
	c.pulling--
	c.eager = more || c.pulling > 0
	c.used -= unused
	s.free += unused
	c.pass -= (float64(unused) + spared) / c.weight
}

// release says that n slots are free again.
func (s *shares) release(class messages.Class, n int) {
	s.of(class).used -= n
	s.free += n
}

// grants gives out what is free. kept tells that slots are kept for a class whose pull is on its way: ask again after
// patience, if nothing happens before.
func (s *shares) grants(now time.Time) (out []grant, kept bool) {
	plan := make([]planned, len(s.classes))
	for i := range s.classes {
		c := &s.classes[i]
		plan[i] = planned{pass: c.pass, used: c.used, keeps: c.eager && now.Sub(c.since) < s.patience}
		for _, w := range c.wants {
			plan[i].wanted += w.n
		}
	}
	for free := s.free; free > 0; free-- {
		i := s.next(plan, free)
		if i < 0 {
			break
		}
		p := &plan[i]
		p.pass += 1 / s.classes[i].weight
		if p.given == p.wanted {
			p.used++
			kept = true
			continue
		}
		p.given++
		p.used++
	}
	for i := range plan {
		out = s.give(&s.classes[i], plan[i].given, now, out)
	}
	return out, kept
}

// planned is what a class would have if the slots considered so far were given out.
type planned struct {
	pass                float64
	used, wanted, given int
	keeps               bool
}

// next is the class that the next free slot is for; -1: for none.
func (s *shares) next(plan []planned, free int) int {
	best, reserved := -1, 0
	for i := range plan {
		p := &plan[i]
		if (p.given < p.wanted || p.keeps) && free > reserved && (best < 0 || p.pass < plan[best].pass) {
			best = i
		}
		reserved += max(0, s.classes[i].reserve-p.used)
	}
	return best
}

// give hands n slots to those of a class that asked first.
func (s *shares) give(c *share, n int, now time.Time, out []grant) []grant {
	for n > 0 {
		w := c.wants[0]
		got := min(n, w.n)
		out = append(out, grant{w.taker, got})
		c.wants = c.wants[1:]
		s.now = max(s.now, c.pass)
		c.pass += float64(got) / c.weight
		c.used += got
		c.pulling++
		c.eager = true
		c.since = now
		s.free -= got
		n -= got
	}
	return out
}
