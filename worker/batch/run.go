package batch

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"flowgate/messages"
)

// Run publishes every line of the job's file and returns when each has ended and its line is written. It may be stopped
// in any way and run again: each line is written once.
//
// When ctx ends, Run writes what it has and returns ctx's error; the Summary tells how far it came. Trouble with the
// broker, the gateway or a full queue never ends it. What does: a file that cannot be written, or a request that the
// broker can never take.
func Run(ctx context.Context, job Job) (Summary, error) {
	begin := time.Now()
	if err := job.validate(); err != nil {
		return Summary{}, err
	}
	output, err := openOutput(job.Output)
	if err != nil {
		return newSummary(job.File), err
	}
	failed, err := openOutput(job.Errors)
	if err != nil {
		return newSummary(job.File), errors.Join(err, output.close(false))
	}
	r := newRun(&job, output, failed, begin)
	begun, err := r.all(ctx)
	if err == nil {
		err = r.complete()
	} else {
		err = errors.Join(err, output.close(begun), failed.close(begun))
	}
	r.report()
	return r.sum.at(time.Since(begin)), err
}

// all reads what earlier runs left behind and does what is missing. begun is false where nothing was written or sent.
func (r *run) all(ctx context.Context) (begun bool, err error) {
	for _, o := range []*output{r.output, r.failed} {
		if err := o.read(r.restore); err != nil {
			return false, err
		}
	}
	if r.open == 0 {
		return true, nil
	}
	for _, o := range []*output{r.output, r.failed} {
		if err := o.takeUp(); err != nil {
			return false, err
		}
	}
	if err := r.begin(); err != nil {
		return true, err
	}
	if r.open == 0 {
		return true, nil
	}
	return true, r.together(ctx)
}

// together runs the publishers, the askers and the loop until the loop ends.
func (r *run) together(ctx context.Context) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	sub, err := listen(ctx, r.job, r.wake)
	if err != nil {
		return err
	}
	defer func() {
		if closed := sub.Unsubscribe(); closed != nil && !errors.Is(closed, nats.ErrConnectionClosed) {
			err = errors.Join(err, fmt.Errorf("listening for results: %w", closed))
		}
	}()
	for range min(r.job.Window, r.open) {
		wg.Go(func() {
			each(ctx, r.publishing, func(i int) { hand(ctx, r.sent, r.publisher.publish(ctx, i)) })
		})
	}
	for range min(maxAsking, r.open) {
		wg.Go(func() {
			each(ctx, r.asking, func(i int) { hand(ctx, r.answers, r.asker.ask(ctx, i)) })
		})
	}
	return r.loop(ctx)
}

// wake tells the loop that a line has ended.
func (r *run) wake(ctx context.Context, line int) {
	if i, has := r.index[line]; has {
		hand(ctx, r.woken, i)
	}
}

// each does what comes until ctx ends.
func each(ctx context.Context, from <-chan int, do func(i int)) {
	for {
		select {
		case i := <-from:
			do(i)
		case <-ctx.Done():
			return
		}
	}
}

// hand gives v to the loop, unless ctx ends first.
func hand[T any](ctx context.Context, to chan<- T, v T) {
	select {
	case to <- v:
	case <-ctx.Done():
	}
}

// restore takes a line of a result file as done.
func (r *run) restore(p past) error {
	n, ours := lineOf(r.job.BatchID, p.requestID)
	if !ours {
		return fmt.Errorf("%w: %s is not of batch %s; %s", ErrOtherBatch, clip(p.requestID), r.job.BatchID, hintOther)
	}
	i, has := r.index[n]
	if !has || r.job.File.lines[i].CustomID != p.customID {
		return fmt.Errorf("%w: line %d of the batch was another one when the results were written; %s", ErrOtherBatch, n, hintOther)
	}
	if r.lines[i].state == stateDone {
		return nil
	}
	r.lines[i].state = stateDone
	r.open--
	r.sum.Resumed++
	r.sum.add(p.ended)
	return nil
}

// begin ends the faulty lines and puts every other one into the queue where its way begins: after an earlier run each is
// asked for first.
func (r *run) begin() error {
	resumed := r.output.existed || r.failed.existed || r.sum.Resumed > 0
	for i := range r.lines {
		l := &r.job.File.lines[i]
		switch {
		case r.lines[i].state == stateDone:
		case l.Fault != nil:
			result := refused(r.job.key(l.Number), l)
			if err := r.finish(i, &result); err != nil {
				return err
			}
		case resumed:
			r.lines[i].state = stateDoubtful
			r.ask(i)
		default:
			r.toPublish.push(i)
		}
	}
	return nil
}

// finish writes the line that a request leaves behind.
func (r *run) finish(i int, result *messages.Result) error {
	record, err := recordOf(&r.job.File.lines[i], result)
	if err != nil {
		return err
	}
	e := endedOf(result)
	to := r.failed
	if e.answered() {
		to = r.output
	}
	if err := to.write(record); err != nil {
		return err
	}
	r.lines[i].state = stateDone
	r.open--
	r.sum.add(e)
	return nil
}

// complete gives the files their names, once everything in them is on the disk.
func (r *run) complete() error {
	err := errors.Join(r.output.sync(), r.failed.sync())
	if err != nil {
		return errors.Join(err, r.output.close(true), r.failed.close(true))
	}
	return errors.Join(r.failed.complete(false), r.output.complete(true))
}
