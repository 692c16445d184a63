package pace

import "time"

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
