package doctor

import (
	"fmt"
	"slices"
	"time"

	"flowgate/messages"
	"flowgate/worker"
	"flowgate/worker/fleet"
	"flowgate/worker/statistics"
)

// longestCall is how long a call to a backend may take: a queue of such calls stands still for so long without being stuck.
const longestCall = 11 * time.Minute

// inHand is how long a queue may stand still with pulls waiting: what is there is handed over at once.
const inHand = 2 * time.Second

// queues judges every consumer by all looks: one look may fall between two pulls.
func (j *judge) queues() {
	for i := range j.facts.Queues {
		q := &j.facts.Queues[i]
		if len(q.Looks) == 0 {
			continue
		}
		pulled := j.pulled(q)
		if !pulled {
			last := q.last()
			j.add(NoPullers, q.Consumer, starts(q.Layer), "no process reads it: %d messages wait, %d deliveries are unanswered", last.Undelivered, last.Unanswered)
		}
		if why := j.stuck(q); pulled && why != "" {
			j.add(StuckConsumer, q.Consumer, "", "%s", why)
		}
		j.age(q)
	}
}

func starts(l messages.LayerName) string {
	return fmt.Sprintf("flowgate worker --layer %s", l)
}

func (q *Queue) last() Look { return q.Looks[len(q.Looks)-1] }

// pulled tells whether anybody reads the queue: a process says so, or a pull waited in one of the looks, or something moved.
func (j *judge) pulled(q *Queue) bool {
	for i := range j.facts.Fleet.Answers {
		if slices.Contains(j.facts.Fleet.Answers[i].Queues, q.Consumer) {
			return true
		}
	}
	return q.moved() || slices.ContainsFunc(q.Looks, func(l Look) bool { return l.Waiting > 0 })
}

// moved tells whether anything was delivered or answered between the looks.
func (q *Queue) moved() bool {
	first, last := q.Looks[0], q.last()
	return first.Delivered != last.Delivered || first.Answered != last.Answered
}

// every tells whether something was so in all looks.
func (q *Queue) every(is func(Look) bool) bool {
	return !slices.ContainsFunc(q.Looks, func(l Look) bool { return !is(l) })
}

// stuck says why a queue that somebody reads does not move; empty where it does, has nothing to do, or was paused by us.
func (j *judge) stuck(q *Queue) string {
	last := q.last()
	if q.MaxUnanswered > 0 && q.every(func(l Look) bool { return l.Unanswered >= q.MaxUnanswered }) {
		return fmt.Sprintf("%d deliveries are unanswered, more than the broker hands over", last.Unanswered)
	}
	if !j.answers(q.Layer) && !q.moved() {
		return fmt.Sprintf("%d pulls wait, and no process that reads it answers: it is frozen, or of a version that does not report", last.Waiting)
	}
	if j.pausedByUs(q) || q.moved() || !q.every(func(l Look) bool { return l.Undelivered > 0 }) {
		return ""
	}
	age := j.facts.Now.Sub(q.Oldest)
	seen := fmt.Sprintf("%d messages wait, the oldest for %s, and none moved in %d looks", last.Undelivered, rounded(age), len(q.Looks))
	switch {
	case q.every(func(l Look) bool { return l.PausedAtBroker }):
		return seen + ": the consumer is paused at the broker"
	case q.every(func(l Look) bool { return l.Waiting > 0 }) && age > inHand:
		return seen + ": pulls wait, and the broker hands nothing over"
	}
	patience := j.marks.Idle
	if q.Layer == messages.LayerAI && last.Unanswered > 0 {
		patience = max(patience, longestCall)
	}
	if quiet := j.quiet(q.Layer); age > patience && quiet > patience {
		return fmt.Sprintf("%s: its processes answer and have ended nothing for %s", seen, rounded(quiet))
	}
	return ""
}

// answers tells whether a process of a layer answered.
func (j *judge) answers(name messages.LayerName) bool {
	return slices.ContainsFunc(j.facts.Fleet.Answers, func(a fleet.Answer) bool { return slices.Contains(a.Layers, name) })
}

// quiet is for how long no process has ended anything at a layer.
func (j *judge) quiet(name messages.LayerName) time.Duration {
	counted := j.facts.Fleet.Statistics()
	at := slices.IndexFunc(counted.Gateways, func(l statistics.Line) bool { return l.Name == string(name) })
	if at >= 0 {
		return j.facts.Now.Sub(counted.Gateways[at].Last)
	}
	var started time.Time
	for i := range j.facts.Fleet.Answers {
		if a := &j.facts.Fleet.Answers[i]; slices.Contains(a.Layers, name) && a.StartedAt.After(started) {
			started = a.StartedAt
		}
	}
	return j.facts.Now.Sub(started)
}

// pausedByUs tells whether an operator's pause holds the queue.
func (j *judge) pausedByUs(q *Queue) bool {
	return slices.ContainsFunc(j.facts.Pauses, func(p worker.Pause) bool {
		return p.Kind == worker.PauseLayer && p.Name == string(q.Layer) || p.Kind == worker.PauseClass && p.Name == string(q.Class)
	})
}

// age judges how long the oldest message waits that nobody took up. At hold they wait on purpose.
func (j *judge) age(q *Queue) {
	mark, set := j.marks.Age[q.Class]
	if q.Hold || !set || q.Oldest.IsZero() || q.last().Undelivered == 0 {
		return
	}
	if age := j.facts.Now.Sub(q.Oldest); age > mark {
		j.add(OldestAge, q.Consumer, "", "the oldest of %d messages has waited %s, the mark of class %s is %s", q.last().Undelivered, rounded(age), q.Class, mark)
	}
}
