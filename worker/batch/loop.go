package batch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"flowgate/messages"
)

// state is where a line stands.
type state uint8

const (
	stateFresh    state = iota // waits to be published, or is being published
	stateDoubtful              // an earlier run may have published it: asked for first
	stateSent                  // the broker has it
	stateDone                  // its line is written
)

// line is how a line of the file stands.
type line struct {
	state state
	// asking is true while a question about it is waiting or under way; again is true if it woke meanwhile.
	asking, again bool
	// swept is true if the question was asked without a wake-up.
	swept bool
	// counted is true once it is in Published or AlreadyThere, repeated once it was published again because nobody knew it.
	counted, repeated bool
	// since is when it was last heard of, from the start of the run.
	since time.Duration
}

// run is one run of a job. Its fields belong to the goroutine of the loop; the others get indexes through channels.
type run struct {
	job            *Job
	output, failed *output
	start          time.Time

	lines []line
	index map[int]int // line number -> index
	open  int         // lines that have not ended
	sum   Summary

	publisher publisher
	asker     asker

	toPublish, toAsk   queue[int]
	publishing, asking chan int
	sent               chan sent
	answers            chan answer
	woken              chan int

	// outstanding has the lines in the order in which they were last heard of. An entry counts only while its since is
	// the line's.
	outstanding queue[heard]
	// sweeping counts questions of the present sweep that have no answer yet, found those that showed an end.
	sweeping, swept, found int
}

// heard is when a line was last heard of.
type heard struct {
	i     int
	since time.Duration
}

func newRun(job *Job, out, failed *output, start time.Time) *run {
	r := &run{
		job: job, output: out, failed: failed, start: start,
		lines: make([]line, job.File.Len()), index: make(map[int]int, job.File.Len()), open: job.File.Len(),
		sum: newSummary(job.File), publisher: publisher{job: job, intake: intake{ask: job.Intake, pace: job.pace}}, asker: asker{job: job},
		publishing: make(chan int), asking: make(chan int),
		sent: make(chan sent), answers: make(chan answer), woken: make(chan int, 1024),
	}
	for i := range job.File.lines {
		r.index[job.File.lines[i].Number] = i
	}
	return r
}

// loop moves lines from state to state until every one has ended. It never blocks on a channel that another goroutine
// waits at, so nothing can stand still.
func (r *run) loop(ctx context.Context) error {
	flush, again, report := time.NewTicker(r.job.pace.flush), time.NewTicker(r.job.pace.again), time.NewTicker(r.job.pace.report)
	defer flush.Stop()
	defer again.Stop()
	defer report.Stop()
	var stalled <-chan time.Time
	patience, open := time.NewTimer(r.job.Patience), r.open
	defer patience.Stop()
	if r.job.Patience > 0 {
		stalled = patience.C
	}
	for r.open > 0 {
		var err error
		publishing, nextPublished := r.toPublish.offer(r.publishing)
		asking, nextAsked := r.toAsk.offer(r.asking)
		select {
		case publishing <- nextPublished:
			r.toPublish.pop()
		case asking <- nextAsked:
			r.toAsk.pop()
		case s := <-r.sent:
			err = r.published(s)
		case a := <-r.answers:
			err = r.answered(a)
		case i := <-r.woken:
			r.ask(i)
		case <-flush.C:
			err = errors.Join(r.output.flush(), r.failed.flush())
		case <-again.C:
			r.sweep()
		case <-report.C:
			r.report()
		case <-stalled:
			if r.publisher.intake.refusedWithin(r.job.Patience) { // it was told to wait
				patience.Reset(r.job.Patience)
				continue
			}
			return fmt.Errorf("%w for %s, %d of %d are open", ErrStalled, r.job.Patience, r.open, len(r.lines))
		case <-ctx.Done():
			return fmt.Errorf("stopping with %d of %d requests open: %w", r.open, len(r.lines), ctx.Err())
		}
		if err != nil {
			return err
		}
		if r.open != open {
			open = r.open
			patience.Reset(r.job.Patience)
		}
	}
	return nil
}

// published takes up the fate of a publication.
func (r *run) published(s sent) error {
	l := &r.lines[s.i]
	if s.err != nil {
		return s.err
	}
	first := !l.counted
	if s.ours {
		r.count(l, &r.sum.Published)
	} else {
		r.count(l, &r.sum.AlreadyThere)
	}
	if l.state == stateDone {
		return nil
	}
	l.state = stateSent
	r.wait(s.i)
	if s.there && first { // its wake-up may be long past
		r.ask(s.i)
	}
	return nil
}

// count counts a line in one of Published and AlreadyThere, once.
func (r *run) count(l *line, in *int) {
	if !l.counted {
		l.counted = true
		*in++
	}
}

// answered takes up how a request stands.
func (r *run) answered(a answer) error {
	l := &r.lines[a.i]
	again := l.again
	l.asking, l.again = false, false
	ended := a.err == nil && a.result.State == messages.ResultDone
	if l.swept {
		l.swept = false
		r.sweeping--
		if ended {
			r.found++
		}
		defer r.sweepOn()
	}
	if l.state == stateDone {
		return nil
	}
	if ended {
		if l.state == stateDoubtful {
			r.count(l, &r.sum.AlreadyThere)
		}
		return r.finish(a.i, &a.result)
	}
	r.goesOn(a, l)
	if again {
		r.ask(a.i)
	}
	if errors.Is(a.err, nats.ErrConnectionClosed) {
		return fmt.Errorf("asking for the result of line %d: %w", r.job.File.lines[a.i].Number, a.err)
	}
	return nil
}

// goesOn takes up an answer about a request that has not ended, as far as anybody knows.
func (r *run) goesOn(a answer, l *line) {
	switch {
	case l.state == stateFresh: // its publication has the word
	case a.err != nil:
		r.wait(a.i)
	case a.result.State == messages.ResultUnknown:
		if l.state == stateSent && !l.repeated {
			l.repeated = true
			r.sum.Repeated++
		}
		l.state = stateFresh
		r.toPublish.push(a.i)
	default:
		if l.state == stateDoubtful {
			r.count(l, &r.sum.AlreadyThere)
		}
		l.state = stateSent
		r.wait(a.i)
	}
}

// ask puts a question about a line into the queue, once.
func (r *run) ask(i int) {
	l := &r.lines[i]
	switch {
	case l.state == stateDone:
	case l.asking:
		l.again = true
	default:
		l.asking = true
		r.toAsk.push(i)
	}
}

// wait puts a line at the end of those that are asked for without a wake-up.
func (r *run) wait(i int) {
	r.lines[i].since = time.Since(r.start)
	r.outstanding.push(heard{i: i, since: r.lines[i].since})
}

// sweep asks for the lines that were not heard of for the longest time, a slice of them: wake-ups can be lost.
func (r *run) sweep() {
	if r.sweeping > 0 {
		return
	}
	now := time.Since(r.start)
	r.swept, r.found = 0, 0
	for r.swept < r.job.pace.slice {
		h, has := r.outstanding.first()
		if !has {
			break
		}
		l := &r.lines[h.i]
		counts := h.since == l.since && !l.asking && (l.state == stateSent || l.state == stateDoubtful)
		if counts && now-h.since < r.job.pace.again {
			break
		}
		r.outstanding.pop()
		if counts {
			l.swept = true
			r.swept++
			r.sweeping++
			r.ask(h.i)
		}
	}
}

// sweepOn sweeps at once again where the last sweep found that most of its wake-ups were lost.
func (r *run) sweepOn() {
	if r.sweeping == 0 && r.found*2 > r.swept {
		r.sweep()
	}
}

func (r *run) report() {
	if r.job.Progress == nil {
		return
	}
	p := Progress{Summary: r.sum.at(time.Since(r.start))}
	for _, why := range []*string{r.publisher.trouble.Load(), r.asker.trouble.Load()} {
		if why != nil && r.open > 0 {
			p.Trouble = *why
			break
		}
	}
	r.job.Progress(p)
}
