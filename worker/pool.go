package worker

import (
	"context"
	"sync"
	"time"

	"flowgate/messages"
)

// pullPatience is for how long slots are kept for a class whose pull is on its way. A pull that does not wait comes back
// within a round trip; one that takes longer met trouble, and others go on meanwhile.
const pullPatience = 20 * time.Millisecond

// pool hands the slots of one layer to its takers, as shares says.
type pool struct {
	mu      sync.Mutex
	shares  *shares
	waiting map[int]chan int
	last    int
	// again is set while a timer will deal once more.
	again bool
}

func newPool(capacity int) *pool {
	return &pool{shares: newShares(capacity, pullPatience), waiting: make(map[int]chan int)}
}

// ask waits for slots, at least one and at most n; 0: ctx ended. The caller MUST call pulled after its pull, and release for
// every slot that pulled did not give back.
func (p *pool) ask(ctx context.Context, class messages.Class, n int) int {
	p.mu.Lock()
	p.last++
	taker, granted := p.last, make(chan int, 1)
	p.waiting[taker] = granted
	p.shares.ask(class, taker, n)
	p.deal()
	p.mu.Unlock()
	select {
	case got := <-granted:
		return got
	case <-ctx.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shares.cancel(class, taker) {
		delete(p.waiting, taker)
		return 0
	}
	return <-granted
}

// pulled tells how a pull ended: how many slots it leaves unused, by how much the others cost less than a slot each, and
// whether its taker will ask again at once.
func (p *pool) pulled(class messages.Class, unused int, spared float64, more bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shares.pulled(class, unused, spared, more)
	p.deal()
}

// release gives one slot back.
func (p *pool) release(class messages.Class) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shares.release(class, 1)
	p.deal()
}

// deal gives out what is free, under the lock.
func (p *pool) deal() {
	grants, kept := p.shares.grants(time.Now())
	for _, g := range grants {
		p.waiting[g.taker] <- g.n
		delete(p.waiting, g.taker)
	}
	if kept && len(p.waiting) > 0 && !p.again {
		p.again = true
		time.AfterFunc(pullPatience, func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.again = false
			p.deal()
		})
	}
}
