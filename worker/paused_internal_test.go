package worker

import (
	"container/heap"
	"testing"
	"time"
)

// comebacks are the times at which paused requests come back.
type comebacks []time.Time

func (c comebacks) Len() int           { return len(c) }
func (c comebacks) Less(i, j int) bool { return c[i].Before(c[j]) }
func (c comebacks) Swap(i, j int)      { c[i], c[j] = c[j], c[i] }
func (c *comebacks) Push(x any)        { *c = append(*c, x.(time.Time)) } //nolint:errcheck // the heap pushes what the test gives
func (c *comebacks) Pop() any {
	last := (*c)[len(*c)-1]
	*c = (*c)[:len(*c)-1]
	return last
}

// TestPausedRequestsAreLookedAtSeldom: few come back within a second; of many so few a second that looking costs little, and
// each within a minute.
func TestPausedRequestsAreLookedAtSeldom(t *testing.T) {
	for _, n := range []int{1, 500, 10_000, 30_000} {
		var l lookout
		now := time.Unix(1_000_000, 0)
		var waiting comebacks
		for range n {
			heap.Push(&waiting, now.Add(l.next(now)))
		}
		const seconds = 120
		looks := 0
		for end := now.Add(seconds * time.Second); waiting[0].Before(end); looks++ {
			at, _ := heap.Pop(&waiting).(time.Time)
			d := l.next(at)
			if most := time.Second + time.Duration(2*n)*time.Second/looksASecond; d > most || d > longestPause || d < shortestPause/2 {
				t.Fatalf("%d wait: one of them for %s", n, d)
			}
			heap.Push(&waiting, at.Add(d))
		}
		if rate := looks / seconds; rate > 2*max(n, 1) || rate > 2*looksASecond || n > 1000 && rate < looksASecond/2 {
			t.Errorf("%d wait: %d looks a second", n, rate)
		}
	}
}
