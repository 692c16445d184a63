package worker

import (
	"encoding/json"
	"math/rand/v2"
	"sync"
	"time"

	"flowgate/messages"
)

// paused tells what keeps a task from its layer; nil: nothing. Requests and replays of the ingress stream are kept from layer
// 1 by its own pause and that of their class alone: what else is paused the layer finds itself, and makes them wait as hold.
// Nothing keeps what has ended from being told.
func (r *Runtime) paused(q Queue, t *Task) *Pause {
	c := r.opts.Control
	if c == nil || t.Envelope != nil && t.Envelope.End != nil {
		return nil
	}
	if p, paused := c.Paused(PauseLayer, string(q.Layer.Name())); paused {
		return &p
	}
	if p, paused := c.Paused(PauseClass, string(t.Class)); paused {
		return &p
	}
	if t.Envelope == nil {
		return nil
	}
	return PausedRequest(c, t.Key, t.Envelope)
}

// PausedRequest tells what keeps a request from every layer: a pause of its tenant, or of its agreement; nil: nothing.
func PausedRequest(c Control, key messages.Key, e *messages.Envelope) *Pause {
	if c == nil {
		return nil
	}
	if p, paused := c.Paused(PauseTenant, key.Tenant); paused {
		return &p
	}
	if e.Corporate != nil && e.Corporate.Agreement != nil {
		if p, paused := c.Paused(PauseAgreement, e.Corporate.Agreement.Trigger); paused {
			return &p
		}
	}
	return nil
}

// silent hands everything back while nobody knows what is paused.
func (r *Runtime) silent(t *Task) (Verdict, bool) {
	if !r.deaf() {
		return Verdict{}, false
	}
	return Park(t.Started.Add(lag), nil), true
}

// deaf tells that the control plane has been silent for too long.
func (r *Runtime) deaf() bool {
	return r.opts.Control != nil && r.opts.Control.Silent() >= LongestSilence
}

// pausedIngress hands a request back whose layer or class is paused, unless it is past its time or cancelled: that is
// told at once.
func (r *Runtime) pausedIngress(q Queue, t *Task) (Verdict, bool) {
	if r.paused(q, t) == nil {
		return Verdict{}, false
	}
	end := deadline(t)
	if !end.IsZero() && t.Started.After(end) || r.cancelled(t) != nil {
		return Verdict{}, false
	}
	return Park(r.lookAgain(t, end), nil), true
}

// deadline is when a request that no layer has seen yet ends as timeout; zero: it cannot be told.
func deadline(t *Task) time.Time {
	if t.Replay {
		return time.Time{}
	}
	var d struct {
		NotBefore time.Time `json:"not_before"`
		NotAfter  time.Time `json:"not_after"`
	}
	if json.Unmarshal(t.Data, &d) != nil {
		return time.Time{}
	}
	if !d.NotAfter.IsZero() {
		return d.NotAfter
	}
	lifetime := messages.DefaultLifetime
	if t.Class == messages.ClassBatch {
		lifetime = messages.DefaultBatchLifetime
	}
	from := t.Stored
	if d.NotBefore.After(from) {
		from = d.NotBefore
	}
	return from.Add(lifetime)
}

// pausedYoung hands a paused request back, without asking whether it moved on: that is found out when it is let go on, or
// when it has waited for so long that it must be published again.
func (r *Runtime) pausedYoung(q Queue, t *Task) (Verdict, bool) {
	if t.Started.Sub(t.Stored) >= r.opts.LongestPark || r.ending(t) != nil || r.paused(q, t) == nil {
		return Verdict{}, false
	}
	return Park(r.noLater(t, r.lookAgain(t, t.Envelope.NotAfter)), nil), true
}

// pausedOld publishes a paused request again that has waited for LongestPark, so that the floor of the stream moves.
func (r *Runtime) pausedOld(q Queue, t *Task) (Verdict, bool) {
	if r.paused(q, t) == nil {
		return Verdict{}, false
	}
	return r.wait(t), true
}

// wait is what becomes of a task that a pause keeps waiting.
func (r *Runtime) wait(t *Task) Verdict {
	if t.Started.Sub(t.Stored) < r.opts.LongestPark {
		return Park(r.noLater(t, r.lookAgain(t, t.Envelope.NotAfter)), nil)
	}
	t.Envelope.N++
	v, err := t.advance(t.State)
	if err != nil {
		return Park(r.now().Add(lag), err)
	}
	return v
}

// waitWhere lets tasks wait that a layer says are paused.
func (r *Runtime) waitWhere(tasks []*Task, verdicts []Verdict) []Verdict {
	for i := range verdicts {
		if verdicts[i].Action == ActionWait {
			verdicts[i] = r.wait(tasks[i])
		}
	}
	return verdicts
}

// lookAgain is when a paused request is looked at again: soon enough to go on soon after the pause, and at its end.
func (r *Runtime) lookAgain(t *Task, end time.Time) time.Time {
	until := t.Started.Add(r.lookout.next(t.Started))
	if end = end.Add(time.Millisecond); end.After(t.Started) && end.Before(until) {
		return end
	}
	return until
}

// Bounds of how often paused requests are looked at. Up to looksASecond of them go on within a second after their pause
// ends; of more, that many a second.
const (
	looksASecond  = 1000
	shortestPause = time.Second
	longestPause  = time.Minute
)

// lookout spreads the looks at paused requests: it counts those that wait, by the second in which they come back.
type lookout struct {
	mu  sync.Mutex
	at  int64
	due [128]int
	sum int
}

// next is for how long one more request waits.
func (l *lookout) next(now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	second, size := now.Unix(), int64(len(l.due))
	if second-l.at >= size || second < l.at {
		l.due, l.sum, l.at = [128]int{}, 0, second
	}
	for ; l.at < second; l.at++ {
		l.sum -= l.due[l.at%size]
		l.due[l.at%size] = 0
	}
	d := min(max(time.Duration(l.sum)*time.Second/looksASecond, shortestPause), longestPause)
	d = d/2 + rand.N(d/2) //nolint:gosec // jitter is no secret
	l.due[(second+int64(d/time.Second)+1)%size]++
	l.sum++
	return d
}
