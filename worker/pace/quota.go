package pace

import (
	"time"

	"flowgate/pipelines/ai"
)

// unsaid is how many answers without quota headers, after some with them, mean that there is no limit any more.
const unsaid = 3

// coarse is below which a reset in whole seconds says too little.
const coarse = 2 * time.Second

// window is one limit that a provider tells of: so much is left, and all is there again at reset. What is left, spread over that
// time, is right for both kinds of limits: of a window it is the even pace; of a token bucket it is the rate at which the bucket
// stays half full, since remaining / reset = rate there. Never more than what is left is sent without news.
type window struct {
	known bool
	limit float64
	left  float64
	reset time.Time
	// period is how long the whole limit takes to come back, as far as that can be told.
	period time.Duration
	told   time.Time // when the call was sent that told it
	// vague: the reset was told too coarsely to be spread over; what refusals teach counts then.
	vague bool
}

// heard takes what the answer to a call told that was sent then; after is what was sent since. What an older call tells is old.
func (w *window) heard(a ai.Allowance, now, sent time.Time, after float64) {
	if sent.Before(w.told) {
		return
	}
	w.known, w.told = true, sent
	w.limit, w.left = float64(a.Limit), max(float64(a.Remaining)-after, 0)
	reset := max(a.Reset, time.Millisecond)
	if w.vague = a.Coarse && a.Reset < coarse; a.Coarse {
		reset += time.Second / 2
	}
	w.reset = now.Add(reset)
	if used := a.Limit - a.Remaining; used > 0 && a.Reset > 0 {
		period := min(float64(reset)*w.limit/float64(used), float64(24*time.Hour))
		w.period = max(time.Duration(period), 10*time.Millisecond)
	} else if w.period == 0 {
		w.period = time.Minute
	}
}

func (w *window) usable() bool { return w.known && !w.vague }

// turn refills a window whose reset has passed.
func (w *window) turn(now time.Time) {
	if w.known && !now.Before(w.reset) {
		w.left, w.reset = w.limit, now.Add(w.period)
	}
}

func (w *window) spend(n float64) { w.left = max(w.left-n, 0) }

// rate is how much a second may be spent.
func (w *window) rate(now time.Time) float64 {
	return min(w.left/max(w.reset.Sub(now).Seconds(), 0.001), fastest*1000)
}

// short tells until when there is not enough left; what is more than the limit may go when all is there.
func (w *window) short(n float64) (time.Time, bool) {
	return w.reset, w.usable() && w.left < min(n, w.limit)
}
