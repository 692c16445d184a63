package worker

import "sync"

// panics counts panics by the sequence of the message that caused them. It is bounded: what is forgotten is counted anew.
type panics struct {
	mu    sync.Mutex
	bySeq map[uint64]int
}

// mostPanics bounds the messages that are remembered.
const mostPanics = 1000

// count adds one and tells the sum.
func (p *panics) count(seq uint64) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bySeq == nil || len(p.bySeq) >= mostPanics {
		p.bySeq = make(map[uint64]int)
	}
	p.bySeq[seq]++
	return p.bySeq[seq]
}
