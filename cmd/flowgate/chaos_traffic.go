package main

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"flowgate/messages"
	"flowgate/worker/chaos"
	"flowgate/worker/results"
)

// Sizes of a drill's traffic.
const (
	// mostOpen bounds the requests that are under way, senders how many are published at once, askers the questions.
	mostOpen = 150
	senders  = 8
	askers   = 16
	// lookAgain is how often whatever has no result yet is asked for although nothing woke its asker.
	lookAgain = 3 * time.Second
)

// traffic sends the mix, listens, asks, and has dead letters done again.
type traffic struct {
	c      *client
	tenant string
	plan   chaos.Plan
	// told is called for each end that is heard of.
	told func(at time.Time)

	places chan struct{} // one for each request under way
	looks  chan string

	mu        sync.Mutex
	byID      map[string]chaos.Request
	submitted map[string]bool
	accepted  map[string]bool
	replayed  map[string]bool
	cancelled map[string]bool
	open      map[string]bool
	results   map[string]messages.Result
	wakes     []chaos.Wake
	moved     chan struct{} // closed and replaced when something was accepted or ended
	latest    time.Time     // of that
}

func newTraffic(c *client, tenant string, plan chaos.Plan) *traffic {
	t := &traffic{
		c: c, tenant: tenant, plan: plan, told: func(time.Time) {},
		places: make(chan struct{}, mostOpen), looks: make(chan string, 1<<16),
		byID: make(map[string]chaos.Request), submitted: make(map[string]bool), accepted: make(map[string]bool),
		replayed: make(map[string]bool), cancelled: make(map[string]bool), open: make(map[string]bool), results: make(map[string]messages.Result),
		moved: make(chan struct{}), latest: time.Now(),
	}
	for _, r := range plan.Mix {
		t.byID[r.ID] = r
	}
	return t
}

// move says that something has moved. It is called under the lock.
func (t *traffic) move() {
	t.latest = time.Now()
	close(t.moved)
	t.moved = make(chan struct{})
}

// until waits for a condition on what has moved; false: ctx ended, or nothing moved for patience where that is not 0.
func (t *traffic) until(ctx context.Context, patience time.Duration, condition func() bool) bool {
	for {
		t.mu.Lock()
		met, moved, left := condition(), t.moved, patience-time.Since(t.latest)
		t.mu.Unlock()
		if met {
			return true
		}
		if patience == 0 {
			left = time.Hour
		}
		if left <= 0 {
			return false
		}
		timer := time.NewTimer(left)
		select {
		case <-moved:
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return false
		}
		timer.Stop()
	}
}

// run sends everything and returns when each has its result, or nothing has moved for patience after calm was closed.
func (t *traffic) run(ctx context.Context, calm <-chan struct{}, patience time.Duration) error {
	sub, err := t.c.conn.Subscribe(messages.ResultSubject(messages.Key{Tenant: t.tenant, ID: "*"}), t.wake)
	if err != nil {
		return err
	}
	defer func() { _ = sub.Unsubscribe() }() // the connection is closed soon anyway
	work, cancel := context.WithCancel(ctx)
	var hands sync.WaitGroup
	defer hands.Wait()
	defer cancel()
	for range askers {
		hands.Go(func() { t.ask(work) })
	}
	hands.Go(func() { t.sweep(work) })
	mix := make(chan chaos.Request)
	for range senders {
		hands.Go(func() {
			for r := range mix {
				if t.send(work, r) && r.Kind == chaos.Cancel {
					hands.Go(func() { t.cancel(work, r) })
				}
			}
		})
	}
	hands.Go(func() {
		defer close(mix)
		for _, r := range t.plan.Mix {
			select {
			case t.places <- struct{}{}:
			case <-work.Done():
				return
			}
			select {
			case mix <- r:
			case <-work.Done():
				return
			}
		}
	})
	select {
	case <-calm:
	case <-ctx.Done():
		return ctx.Err()
	}
	t.mu.Lock()
	t.move() // patience begins when all is well
	t.mu.Unlock()
	t.until(ctx, patience, func() bool { return len(t.accepted) == len(t.plan.Mix) && len(t.open) == 0 })
	return ctx.Err()
}

// hasAccepted waits until n requests were accepted.
func (t *traffic) hasAccepted(ctx context.Context, n int) bool {
	return t.until(ctx, 0, func() bool { return len(t.accepted) >= n })
}

// send publishes one request until the broker has it, and a second one of the same id where its kind wants that.
func (t *traffic) send(ctx context.Context, r chaos.Request) bool {
	t.mu.Lock()
	t.submitted[r.ID] = true
	t.mu.Unlock()
	document, err := json.Marshal(r.Document(time.Now()))
	if err != nil || !t.publish(ctx, r.Class, r.ID, document) {
		return false
	}
	t.mu.Lock()
	t.accepted[r.ID], t.open[r.ID] = true, true
	t.move()
	t.mu.Unlock()
	if r.Kind == chaos.Twice {
		t.publish(ctx, r.OtherClass(), r.ID, document)
	}
	return true
}

// cancel cancels a request, and asks again for as long as the answer does not come.
func (t *traffic) cancel(ctx context.Context, r chaos.Request) {
	key, how := messages.Key{Tenant: t.tenant, ID: r.ID}, &cancelling{reason: "a drill of outages", by: "drill", timeout: publishPatience}
	for wait := r.CancelAfter(); sleep(ctx, wait); wait = 100 * time.Millisecond {
		asking, stop := context.WithTimeout(ctx, ackPatience)
		e, err := t.c.ender(asking)
		stop()
		if err != nil {
			continue
		}
		said, err := how.cancel(ctx, e, key)
		if err != nil || !said.Known {
			continue
		}
		t.mu.Lock()
		t.cancelled[r.ID] = said.Cancelled
		t.mu.Unlock()
		return
	}
}

func (t *traffic) publish(ctx context.Context, class messages.Class, id string, document []byte) bool {
	for {
		_, _, err := publishRequest(ctx, t.c.js, class, messages.Key{Tenant: t.tenant, ID: id}, document)
		if err == nil {
			return true
		}
		if !sleep(ctx, 100*time.Millisecond) {
			return false
		}
	}
}

// wake hears of an end.
func (t *traffic) wake(m *nats.Msg) {
	id := m.Subject[strings.LastIndexByte(m.Subject, '.')+1:]
	epoch, err := strconv.Atoi(m.Header.Get(messages.HeaderEpoch))
	if err != nil {
		epoch = 0 // the verdict counts it all the same
	}
	now := time.Now()
	t.mu.Lock()
	t.wakes = append(t.wakes, chaos.Wake{ID: id, Epoch: epoch, Seq: m.Header.Get("Nats-Sequence")})
	t.mu.Unlock()
	t.told(now)
	select {
	case t.looks <- id:
	default: // the sweep looks
	}
}

// sweep has everything that is open asked for, again and again.
func (t *traffic) sweep(ctx context.Context) {
	for sleep(ctx, lookAgain) {
		t.mu.Lock()
		ids := make([]string, 0, len(t.open))
		for id := range t.open {
			ids = append(ids, id)
		}
		t.mu.Unlock()
		for _, id := range ids {
			select {
			case t.looks <- id:
			case <-ctx.Done():
				return
			}
		}
	}
}

func (t *traffic) ask(ctx context.Context) {
	for {
		select {
		case id := <-t.looks:
			t.look(ctx, id)
		case <-ctx.Done():
			return
		}
	}
}

// look asks how a request stands, and has it done again if it is a dead letter that should be.
func (t *traffic) look(ctx context.Context, id string) {
	t.mu.Lock()
	r, waits := t.byID[id], t.open[id]
	t.mu.Unlock()
	if !waits {
		return
	}
	key := messages.Key{Tenant: t.tenant, ID: id}
	result, err := results.Get(ctx, t.c.conn, key)
	if err != nil {
		return // the next sweep asks again
	}
	t.mu.Lock()
	if !t.open[id] { // another asker was faster
		t.mu.Unlock()
		return
	}
	t.results[id] = result
	ended := result.State == messages.ResultDone && result.Epoch >= r.Epochs()-1
	again := result.State == messages.ResultDone && !ended && !t.replayed[id]
	if ended {
		delete(t.open, id)
		t.move()
	}
	if again {
		t.replayed[id] = true
	}
	t.mu.Unlock()
	if ended {
		<-t.places
	}
	if again && !t.replay(ctx, r, key) {
		t.mu.Lock()
		t.replayed[id] = false // the dead letter may not be on record yet
		t.mu.Unlock()
	}
}

func (t *traffic) replay(ctx context.Context, r chaos.Request, key messages.Key) bool {
	document, err := json.Marshal(&messages.Replay{V: messages.Version, Reason: "a drill of outages", By: "drill"})
	if err == nil {
		_, err = replay(ctx, t.c, r.Class, key, document)
	}
	return err == nil
}
