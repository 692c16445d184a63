package worker

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"flowgate/messages"
)

// station is a layer in a simulation: classes with work that waits, pulls that take a moment, calls that take longer.
type station struct {
	s       *shares
	now     time.Time
	waiting map[messages.Class]int // messages in the queue
	done    map[messages.Class]int
	asking  map[messages.Class]bool
	events  []event
	started map[messages.Class]int
}

type event struct {
	at   time.Time
	call messages.Class // a call of the class ended
	pull *pulling
}

type pulling struct {
	class messages.Class
	n     int
}

const roundTrip = 200 * time.Microsecond

func newStation(capacity int) *station {
	return &station{
		s: newShares(capacity, 20*time.Millisecond), now: time.Unix(0, 0), waiting: map[messages.Class]int{}, done: map[messages.Class]int{},
		asking: map[messages.Class]bool{}, started: map[messages.Class]int{},
	}
}

func taker0(c messages.Class) int { return map[messages.Class]int{"rt": 1, "std": 2, "batch": 3}[c] }

func classOf(taker int) messages.Class { return messages.Classes()[taker-1] }

// ask lets each class that has work and no pull under way ask for as much as it may.
func (st *station) ask() {
	for _, c := range messages.Classes() {
		if st.waiting[c] > 0 && !st.asking[c] {
			st.asking[c] = true
			st.s.ask(c, taker0(c), st.s.capacity)
		}
	}
}

// deal gives out slots; each grant is a pull that comes back after a round trip.
func (st *station) deal() {
	grants, _ := st.s.grants(st.now)
	for _, g := range grants {
		st.events = append(st.events, event{at: st.now.Add(roundTrip), pull: &pulling{classOf(g.taker), g.n}})
	}
}

// step goes on to the next event; duration is how long a call takes. False: nothing is left to happen.
func (st *station) step(duration func(messages.Class) time.Duration) bool {
	if len(st.events) == 0 {
		return false
	}
	first := 0
	for i := range st.events {
		if st.events[i].at.Before(st.events[first].at) {
			first = i
		}
	}
	e := st.events[first]
	st.events = append(st.events[:first], st.events[first+1:]...)
	st.now = e.at
	if e.pull == nil {
		st.done[e.call]++
		st.s.release(e.call, 1)
	} else {
		c := e.pull.class
		got := min(e.pull.n, st.waiting[c])
		st.waiting[c] -= got
		st.started[c] += got
		st.asking[c] = false
		for range got {
			st.events = append(st.events, event{at: st.now.Add(duration(c)), call: c})
		}
		st.s.pulled(c, e.pull.n-got, 0, st.waiting[c] > 0)
	}
	st.ask()
	st.deal()
	return true
}

func (st *station) inUse() (sum int) {
	for i := range st.s.classes {
		sum += st.s.classes[i].used
	}
	return sum
}

// begin adds work and lets it be dealt.
func (st *station) begin(work map[messages.Class]int) {
	for c, n := range work {
		st.waiting[c] += n
	}
	st.ask()
	st.deal()
}

func TestNeverMoreSlotsThanThereAreAndNothingIsLeftUndone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		capacity := rapid.IntRange(1, 70).Draw(t, "capacity")
		st := newStation(capacity)
		work := map[messages.Class]int{}
		for _, c := range messages.Classes() {
			work[c] = rapid.IntRange(0, 200).Draw(t, string(c))
		}
		lengths := rapid.SliceOfN(rapid.IntRange(0, 50), 3, 9).Draw(t, "milliseconds")
		n := 0
		st.begin(work)
		for st.step(func(messages.Class) time.Duration {
			n++
			return time.Duration(lengths[n%len(lengths)]) * time.Millisecond
		}) {
			if used := st.inUse(); used > capacity || used+st.s.free != capacity || st.s.free < 0 {
				t.Fatalf("%d of %d slots in use, %d free", used, capacity, st.s.free)
			}
		}
		for c, n := range work {
			if st.done[c] != n {
				t.Fatalf("%s: %d of %d done", c, st.done[c], n)
			}
		}
		if st.s.free != capacity {
			t.Fatalf("%d of %d slots came back", st.s.free, capacity)
		}
	})
}

// TestSharesUnderSaturation: calls of equal length, in step or not, end 8 to 3 to 1, and so do calls of which those of batch
// take much longer: what is shared are starts.
func TestSharesUnderSaturation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		capacity := rapid.IntRange(3, 40).Draw(t, "capacity")
		jitter := rapid.SampledFrom([]int{0, 0, 1, 50}).Draw(t, "jitter in ms")
		slow := rapid.SampledFrom([]int{1, 1, 5}).Draw(t, "batch is slower by")
		st := newStation(capacity)
		st.begin(map[messages.Class]int{"rt": 1e6, "std": 1e6, "batch": 1e6})
		n := 0
		for st.started["rt"]+st.started["std"]+st.started["batch"] < 40*capacity+1200 {
			st.step(func(c messages.Class) time.Duration {
				n++
				d := 100*time.Millisecond + time.Duration((n*7919)%(jitter+1))*time.Millisecond
				if c == messages.ClassBatch {
					d *= time.Duration(slow)
				}
				return d
			})
		}
		sum := float64(st.started["rt"] + st.started["std"] + st.started["batch"])
		for c, want := range map[messages.Class]float64{"rt": 8. / 12, "std": 3. / 12, "batch": 1. / 12} {
			if share := float64(st.started[c]) / sum; share < want*0.9-0.005 || share > want*1.1+0.005 {
				t.Fatalf("capacity %d: %s has %.3f of the starts, its share is %.3f (%v)", capacity, c, share, want, st.started)
			}
		}
	})
}

func TestALoneClassUsesEverythingButTheReserve(t *testing.T) {
	for _, capacity := range []int{1, 2, 8, 24, 64, 200} {
		for i, c := range messages.Classes() {
			st := newStation(capacity)
			st.begin(map[messages.Class]int{c: 10_000})
			for st.started[c] < 5000 {
				st.step(func(messages.Class) time.Duration { return time.Second })
			}
			reserved := 0
			for _, above := range st.s.classes[:i] {
				reserved += above.reserve
			}
			most := 0
			for st.started[c] < 6000 {
				st.step(func(messages.Class) time.Duration { return time.Second })
				most = max(most, st.inUse())
			}
			if most != capacity-reserved {
				t.Errorf("%s alone uses %d of %d slots, %d are reserved", c, most, capacity, reserved)
			}
			if reserved*8 > capacity {
				t.Errorf("%d of %d slots are reserved", reserved, capacity)
			}
		}
	}
}

func TestANewcomerNeedNotWaitForLongCalls(t *testing.T) {
	st := newStation(64)
	st.begin(map[messages.Class]int{"batch": 1000})
	for st.started["batch"] < 57 {
		st.step(func(messages.Class) time.Duration { return time.Hour })
	}
	st.begin(map[messages.Class]int{"rt": 3})
	came := st.now
	for st.started["rt"] < 3 {
		st.step(func(messages.Class) time.Duration { return time.Hour })
	}
	if waited := st.now.Sub(came); waited > 2*roundTrip {
		t.Errorf("waited %s", waited)
	}
}

// TestNobodyStarves: whoever asks gets a slot after a bounded number of starts, whatever the others want.
func TestNobodyStarves(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		st := newStation(rapid.IntRange(1, 64).Draw(t, "capacity"))
		st.begin(map[messages.Class]int{"rt": 1e6, "std": 1e6})
		for range rapid.IntRange(0, 300).Draw(t, "steps before") {
			st.step(func(messages.Class) time.Duration { return 10 * time.Millisecond })
		}
		before := st.started["rt"] + st.started["std"]
		st.begin(map[messages.Class]int{"batch": 1})
		for st.started["batch"] == 0 {
			st.step(func(messages.Class) time.Duration { return 10 * time.Millisecond })
			if others := st.started["rt"] + st.started["std"] - before; others > 24+3*st.s.capacity {
				t.Fatalf("%d others were started meanwhile", others)
			}
		}
	})
}

func TestAPullThatDoesNotComeBackKeepsSlotsForAMomentOnly(t *testing.T) {
	s := newShares(12, 20*time.Millisecond)
	now := time.Unix(0, 0)
	s.ask("rt", 1, 6)
	if g, _ := s.grants(now); len(g) != 1 || g[0].n != 6 {
		t.Fatalf("granted %v", g)
	}
	s.ask("std", 2, 12)
	g, kept := s.grants(now)
	if len(g) != 1 || g[0].n >= 6 || !kept {
		t.Fatalf("granted %v, kept %t", g, kept)
	}
	s.pulled("std", 0, 0, true)
	s.ask("std", 3, 12)
	if g, _ := s.grants(now.Add(time.Second)); len(g) != 1 || s.free > s.classes[0].reserve {
		t.Fatalf("granted %v, %d free", g, s.free)
	}
}
