package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"flowgate/messages"
)

const (
	// patience is how long a round may be without progress.
	patience = time.Minute
	// commitPoll is how often the record is asked for its count.
	commitPoll = 20 * time.Millisecond
	// bodyBytes is the size of a request.
	bodyBytes = 1 << 10
)

// target is a chain as its load sees it.
type target struct {
	name    string
	subject func(id string) string
	body    func(id string) []byte
	// results is what the subjects of wake-ups begin with, up to the id.
	results string
	// committed counts what is recorded; nil: a wake-up is the end.
	committed func(ctx context.Context) (uint64, error)
}

func governedTarget(tenant string, committed func(context.Context) (uint64, error)) target {
	return target{
		name: "governed",
		subject: func(id string) string {
			return messages.RequestSubject(messages.ClassStd, messages.Key{Tenant: tenant, ID: id})
		},
		body:      document(),
		results:   messages.ResultSubject(messages.Key{Tenant: tenant}),
		committed: committed,
	}
}

// document makes requests of bodyBytes bytes, each with a prompt of its own, so that no answer can be shared.
func document() func(id string) []byte {
	const mark = "@"
	tokens := 16
	data, err := json.Marshal(messages.Request{
		Prompt: mark, Model: "claude-sonnet-4-6", MaxTokens: &tokens, AuditReason: "Measuring the throughput of this installation",
	})
	if err != nil {
		panic(err) // the document is a constant
	}
	head, tail, _ := strings.Cut(string(data), mark)
	filler := strings.Repeat("The quarterly figures follow. ", bodyBytes/30+1)
	return func(id string) []byte {
		body := make([]byte, 0, bodyBytes)
		body = append(append(append(body, head...), id...), ' ')
		body = append(body, filler[:max(0, bodyBytes-len(body)-len(tail))]...)
		return append(body, tail...)
	}
}

// bounds end a run: a number of requests, or else a time.
type bounds struct {
	outstanding int
	requests    int
	time        time.Duration
}

func (b bounds) reached(sent int, since time.Time) bool {
	if b.requests > 0 {
		return sent >= b.requests
	}
	return time.Since(since) >= b.time
}

// load publishes requests and listens for their ends.
type load struct {
	conn *nats.Conn
	js   jetstream.JetStream
	id   string
	runs int
	// patience is how long a run may be without progress.
	patience time.Duration
	closed   atomic.Bool
}

// newLoad makes a publisher of its own, so that refused submissions are noticed; broken is told the first.
func newLoad(conn *nats.Conn, outstanding int, broken context.CancelCauseFunc) (*load, error) {
	l := &load{conn: conn, id: nuid.Next(), patience: patience}
	var err error
	l.js, err = jetstream.New(conn, jetstream.WithPublishAsyncMaxPending(outstanding+1),
		jetstream.WithPublishAsyncErrHandler(func(_ jetstream.JetStream, _ *nats.Msg, err error) {
			if !l.closed.Load() { // what is unanswered then fails, and nobody asks
				broken(fmt.Errorf("submitting: %w", err))
			}
		}))
	if err != nil {
		return nil, fmt.Errorf("making a publisher: %w", err)
	}
	return l, nil
}

func (l *load) close() {
	l.closed.Store(true)
	l.js.CleanupPublisher()
}

// sample is what one run measured, from before the first publication to after the last end.
type sample struct {
	requests  int
	elapsed   time.Duration
	used      usage
	latencies []time.Duration // of publication to wake-up, in order of the wake-ups
}

func (s sample) rps() float64 { return float64(s.requests) / s.elapsed.Seconds() }
func (s sample) cpuUS() float64 {
	return microseconds(s.used.process+s.used.postgres) / float64(s.requests)
}

// drive loads a chain within bounds and waits until everything has ended.
func (l *load) drive(ctx context.Context, t target, b bounds, m *meter) (sample, error) {
	l.runs++
	r := &run{
		prefix: l.id + "-" + strconv.Itoa(l.runs) + "-", results: t.results, slots: make(chan struct{}, b.outstanding),
		ended: make(chan struct{}, 1),
	}
	ctx, cancel := context.WithCancelCause(ctx)
	var watch sync.WaitGroup
	defer watch.Wait()
	defer cancel(nil)
	watch.Go(func() { r.watch(ctx, l.patience, cancel) })
	sub, err := l.conn.Subscribe(t.results+"*", r.wake(cancel))
	if err != nil {
		return sample{}, fmt.Errorf("listening for wake-ups: %w", err)
	}
	var s sample
	if err = sub.SetPendingLimits(-1, -1); err == nil {
		s, err = l.measured(ctx, t, b, r, m)
	}
	return s, errors.Join(err, sub.Unsubscribe())
}

func (l *load) measured(ctx context.Context, t target, b bounds, r *run, m *meter) (sample, error) {
	var base uint64
	if t.committed != nil {
		var err error
		if base, err = t.committed(ctx); err != nil {
			return sample{}, fmt.Errorf("counting recorded outcomes: %w", err)
		}
	}
	before, err := m.read()
	if err != nil {
		return sample{}, err
	}
	start := time.Now()
	sent, err := l.publish(ctx, t, b, r, start)
	if err == nil {
		err = r.drain(ctx, sent)
	}
	if err == nil && t.committed != nil {
		err = r.recorded(ctx, t, base+uint64(sent)) //nolint:gosec // a count
	}
	if err != nil {
		return sample{}, err
	}
	elapsed := time.Since(start)
	after, err := m.read()
	if err != nil {
		return sample{}, err
	}
	return sample{requests: sent, elapsed: elapsed, used: after.minus(before), latencies: r.latencies}, r.fault()
}

func (l *load) publish(ctx context.Context, t target, b bounds, r *run, start time.Time) (sent int, err error) {
	for ; !b.reached(sent, start); sent++ {
		select {
		case r.slots <- struct{}{}:
		case <-ctx.Done():
			return sent, context.Cause(ctx)
		}
		id := r.begin()
		if _, err := l.js.PublishMsgAsync(&nats.Msg{Subject: t.subject(id), Data: t.body(id)}); err != nil {
			return sent, fmt.Errorf("submitting: %w", err)
		}
	}
	return sent, nil
}
