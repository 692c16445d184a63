package provider

import (
	"maps"
	"sync"
	"time"
)

// MaxCalls is how many calls the books keep one by one where nothing else is said; the oldest go first.
const MaxCalls = 1 << 20

// maxBodies bounds how many bytes of documents are kept beside the newest, maxCounts how many models are counted apart.
const (
	maxBodies = 16 << 20
	maxCounts = 256
)

// Totals counts calls.
type Totals struct {
	Calls  int64 `json:"calls"`
	Billed int64 `json:"billed"`
	// Open are those that are not answered yet.
	Open       int64              `json:"open"`
	Protocols  map[Protocol]int64 `json:"protocols"`
	Outcomes   map[Outcome]int64  `json:"outcomes"`
	Models     map[string]int64   `json:"models"`
	RequestIDs int                `json:"request_ids"`
}

func newTotals() Totals {
	return Totals{Protocols: map[Protocol]int64{}, Outcomes: map[Outcome]int64{}, Models: map[string]int64{}}
}

func (t *Totals) add(c *Call, times int) {
	t.Calls++
	if c.Answered.Billed() {
		t.Billed++
	}
	t.Protocols[c.Protocol]++
	t.Outcomes[c.Answered]++
	model := c.Model
	if _, known := t.Models[model]; !known && len(t.Models) >= maxCounts {
		model = "others"
	}
	t.Models[model]++
	if times == 1 {
		t.RequestIDs++
	}
}

// books hold the newest calls in a ring and the totals of all.
type books struct {
	mu    sync.Mutex
	most  int
	calls []Call // the ring: call n lies at n modulo most
	began int64  // calls of all time
	ended int64
	born  int64 // what began before this was struck out by reset
	times map[string]int
	sum   Totals
	// bodies is how many bytes of documents are kept, of room; oldest is the oldest call that still has one.
	room   int
	bodies int
	oldest int64
}

func newBooks(most int) *books {
	return &books{most: most, room: maxBodies, times: make(map[string]int), sum: newTotals()}
}

// number counts the calls of an id that are in the books.
func (b *books) number(id string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.times[id]++
	return b.times[id]
}

// enter writes a call that number has counted into the books, and gives its place.
func (b *books) enter(c Call) int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	at := b.began
	b.began++
	b.sum.add(&c, c.N)
	if len(b.calls) < b.most {
		b.calls = append(b.calls, c)
	} else {
		old := b.at(at)
		b.oldest = max(b.oldest, at-int64(b.most)+1)
		b.bodies -= len(old.Body)
		if b.times[old.RequestID]--; b.times[old.RequestID] <= 0 {
			delete(b.times, old.RequestID)
		}
		*old = c
	}
	b.bodies += len(c.Body)
	for ; b.bodies > b.room && b.oldest < at; b.oldest++ {
		old := b.at(b.oldest)
		b.bodies -= len(old.Body)
		old.Body = nil
	}
	return at
}

// at is the place of call n, which the ring MUST not have forgotten.
func (b *books) at(n int64) *Call { return &b.calls[(n-b.born)%int64(b.most)] }

// leave writes down that a call was answered.
func (b *books) leave(n int64, at time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n < b.born {
		return
	}
	b.ended++
	if b.began-n <= int64(b.most) {
		b.at(n).Ended = at
	}
}

func (b *books) list(requestID string) []Call {
	b.mu.Lock()
	defer b.mu.Unlock()
	found := []Call{}
	b.each(func(c *Call) {
		if below(requestID, c.RequestID) {
			found = append(found, *c)
		}
	})
	return found
}

// each goes through the calls that are kept, oldest first.
func (b *books) each(visit func(*Call)) {
	for n := max(b.born, b.began-int64(b.most)); n < b.began; n++ {
		visit(b.at(n))
	}
}

func (b *books) totals(requestID string) Totals {
	b.mu.Lock()
	defer b.mu.Unlock()
	if requestID == "" {
		sum := b.sum
		sum.Open = b.began - b.born - b.ended
		sum.Protocols, sum.Outcomes, sum.Models = maps.Clone(sum.Protocols), maps.Clone(sum.Outcomes), maps.Clone(sum.Models)
		return sum
	}
	sum := newTotals()
	b.each(func(c *Call) {
		if below(requestID, c.RequestID) {
			sum.add(c, c.N)
			if c.Ended.IsZero() {
				sum.Open++
			}
		}
	})
	return sum
}

func (b *books) reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls, b.born, b.oldest, b.ended, b.bodies = nil, b.began, b.began, 0, 0
	b.times, b.sum = make(map[string]int), newTotals()
}
