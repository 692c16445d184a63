package bench

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"flowgate/messages"
)

// run keeps the requests of one run apart: each ends once.
type run struct {
	prefix  string // of ids
	results string // of wake-ups' subjects
	slots   chan struct{}
	ended   chan struct{} // holds a token when something ended since it was last looked at

	mu        sync.Mutex
	started   []time.Time
	done      []bool
	latencies []time.Duration
	progress  uint64 // changes whenever something went on
	repeated  int
}

// begin names the next request.
func (r *run) begin() (id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	id = r.prefix + strconv.Itoa(len(r.started))
	r.started, r.done = append(r.started, time.Now()), append(r.done, false)
	return id
}

// wake notes ends. One that is no success ends the run.
func (r *run) wake(broken context.CancelCauseFunc) nats.MsgHandler {
	return func(msg *nats.Msg) {
		id := strings.TrimPrefix(msg.Subject, r.results)
		number, ours := strings.CutPrefix(id, r.prefix)
		n, err := strconv.Atoi(number)
		if !ours || err != nil || !r.end(n) {
			return // of an earlier run, or a repetition
		}
		if status := messages.Status(msg.Header.Get(messages.HeaderStatus)); status != "" && status != messages.StatusSuccess {
			broken(fmt.Errorf("request %s ended as %s (%s), not as success", id, status, msg.Header.Get(messages.HeaderReason)))
		}
		<-r.slots
		select {
		case r.ended <- struct{}{}:
		default:
		}
	}
}

// end tells whether request n ends now and for the first time.
func (r *run) end(n int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case n < 0 || n >= len(r.started):
		return false
	case r.done[n]:
		r.repeated++
		return false
	}
	r.done[n] = true
	r.latencies = append(r.latencies, time.Since(r.started[n]))
	r.progress++
	return true
}

// drain waits for the end of everything sent.
func (r *run) drain(ctx context.Context, sent int) error {
	for r.count() < sent {
		select {
		case <-r.ended:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

func (r *run) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.latencies)
}

// recorded waits until so many outcomes are recorded.
func (r *run) recorded(ctx context.Context, t target, want uint64) error {
	poll := time.NewTicker(commitPoll)
	defer poll.Stop()
	for before := uint64(0); ; {
		n, err := t.committed(ctx)
		if err != nil {
			return fmt.Errorf("counting recorded outcomes: %w", err)
		}
		if n >= want {
			return nil
		}
		if n != before {
			r.mu.Lock()
			r.progress++
			r.mu.Unlock()
			before = n
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// watch ends a run that stands still.
func (r *run) watch(ctx context.Context, patience time.Duration, broken context.CancelCauseFunc) {
	look := time.NewTicker(patience)
	defer look.Stop()
	for before := uint64(0); ; {
		select {
		case <-look.C:
		case <-ctx.Done():
			return
		}
		r.mu.Lock()
		now, open := r.progress, len(r.started)-len(r.latencies)
		r.mu.Unlock()
		if now == before {
			broken(fmt.Errorf("no request ended or was recorded for %s: %d are still under way", patience, open))
			return
		}
		before = now
	}
}

// fault tells what the run showed that must not be.
func (r *run) fault() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.repeated > 0 {
		return fmt.Errorf("%d wake-ups were repeated: a request ended twice", r.repeated)
	}
	return nil
}
