package handlers_test

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"flowgate/messages"
	"flowgate/pipelines/ai"
	"flowgate/worker"
	"flowgate/worker/backends"
	"flowgate/worker/breaker"
	"flowgate/worker/handlers"
	"flowgate/worker/pace"
	"flowgate/worker/provider"
)

// long tells whether the long form of a drill was asked for.
func long() bool { return os.Getenv("FLOWGATE_LONG") != "" }

// rehearse runs a fake provider until the test ends.
func rehearse(t *testing.T) *provider.Server {
	t.Helper()
	s, err := provider.New(provider.Options{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := s.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); running.Wait() })
	return s
}

// called is a backend under another name.
type called struct {
	worker.Backend

	name string
}

func (c called) Name() string { return c.name }

func asking(t *testing.T, name string, s *provider.Server) handlers.Serving {
	t.Helper()
	b, err := backends.NewOpenAI(backends.OpenAIOptions{BaseURL: s.URL()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return handlers.Serving{Backend: called{b, name}}
}

// changes are what breakers told.
type changes struct {
	mu  sync.Mutex
	all []breaker.Change
}

func (c *changes) tell(change breaker.Change) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, change)
}

func (c *changes) to(backend string, p breaker.Position) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, change := range c.all {
		if change.Backend == backend && change.To == p {
			n++
		}
	}
	return n
}

func (s *stage) submit(id, prompt string) messages.Key {
	key := messages.Key{Tenant: "acme", ID: id}
	after := time.Now().Add(time.Minute).UTC().Format(time.RFC3339Nano)
	s.publish(messages.RequestSubject(messages.ClassStd, key), []byte(`{"prompt":"`+prompt+`","audit_reason":"a drill of backends","max_tokens":20,"not_after":"`+after+`"}`))
	return key
}

// TestDeadPrimary: one backend is dead for a while under load, another has capacity. No request fails, each failover is in the record, the
// breaker opens, and closes again. The long form is dead for 30 s.
func TestDeadPrimary(t *testing.T) {
	dead, rate := 4*time.Second, 40
	if long() {
		dead = 30 * time.Second
	}
	s := newStage(t)
	primary, secondary := rehearse(t), rehearse(t)
	var told changes
	s.tune = func(_ *process, layer *handlers.AI) {
		layer.Backends = []handlers.Serving{asking(t, "primary", primary), asking(t, "secondary", secondary)}
		o := breaker.DefaultOptions()
		o.Open, o.MaxOpen, o.OnChange = 500*time.Millisecond, time.Second, told.tell
		var err error
		if layer.Breakers, err = breaker.New(o); err != nil {
			t.Fatal(err)
		}
	}
	p := s.start(true, nil)
	t.Cleanup(p.end)
	var keys []messages.Key
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	during := func(d time.Duration) {
		for end := time.After(d); ; {
			select {
			case <-end:
				return
			case <-tick.C:
				keys = append(keys, s.submit(fmt.Sprint("r", len(keys)), fmt.Sprint("question ", len(keys))))
			}
		}
	}
	during(time.Second)
	if err := primary.Dead(true); err != nil {
		t.Fatal(err)
	}
	during(dead)
	if err := primary.Dead(false); err != nil {
		t.Fatal(err)
	}
	before := len(keys)
	during(3 * time.Second)
	failovers, back := 0, 0
	for i, key := range keys {
		e := s.outcome(key)
		if e.End.Status != messages.StatusSuccess {
			t.Errorf("%s ended as %s (%s): %+v", key, e.End.Status, e.End.Reason, e.History)
			continue
		}
		for n, a := range e.History {
			if a.Class != "" && a.Backend == "primary" && n+1 < len(e.History) && e.History[n+1].Backend == "secondary" {
				failovers++
			}
		}
		if i >= before && e.AI.Backend == "primary" {
			back++
		}
	}
	if told.to("primary", breaker.Open) == 0 || told.to("primary", breaker.Closed) == 0 || failovers == 0 || back == 0 {
		t.Errorf("opened %d times, closed %d times, %d failovers on record, %d answers of the primary after its return",
			told.to("primary", breaker.Open), told.to("primary", breaker.Closed), failovers, back)
	}
	t.Logf("%d requests, %d failovers on record; opened %d times, closed %d times; %d of %d answers of the primary after its return",
		len(keys), failovers, told.to("primary", breaker.Open), told.to("primary", breaker.Closed), back, len(keys)-before)
}

// paced lets layer 2 of a process pace its calls.
func paced(t *testing.T, p *process, layer *handlers.AI) {
	t.Helper()
	layer.Pace = pace.New(pace.Options{Conn: p.conn, Worker: p.name})
	ctx, cancel := context.WithCancel(context.Background())
	p.all.Go(func() {
		if err := layer.Pace.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	p.stop = cancel
}

// TestCallsWaitInsteadOfBeingRefused: a backend takes 50 calls a second. At most one of a hundred calls is refused, all requests
// succeed, whether its headers tell of the limit or refused calls alone do, by one worker and by three. The long form is of 10,000
// requests.
func TestCallsWaitInsteadOfBeingRefused(t *testing.T) {
	for _, c := range []struct {
		name    string
		tells   bool
		workers int
	}{
		{"headers tell", true, 1}, {"only refusals tell", false, 1}, {"only refusals tell, three workers", false, 3},
	} {
		// Where refusals alone tell, the first seconds decide of 500 requests, and on a busy machine its scheduler does: one worker and
		// three are held to the bound in simulated time, and here over 10,000.
		if c.tells || long() {
			t.Run(c.name, func(t *testing.T) { callsWait(t, c.tells, c.workers) })
		}
	}
}

func callsWait(t *testing.T, tells bool, workers int) {
	t.Helper()
	many := 500
	if long() {
		many = 10_000
	}
	s := newStage(t)
	s.slots, s.patience = 64, time.Duration(many/10)*time.Second
	limited := rehearse(t)
	limited.SetLimit(50, 50)
	limited.TellLimit(tells)
	s.tune = func(p *process, layer *handlers.AI) {
		layer.Backends = []handlers.Serving{asking(t, "primary", limited)}
		paced(t, p, layer)
	}
	for range workers {
		t.Cleanup(s.start(true, nil).end)
	}
	began := time.Now()
	keys := make([]messages.Key, many)
	for i := range keys {
		keys[i] = messages.Key{Tenant: "acme", ID: fmt.Sprint("r", i)}
		s.publish(messages.RequestSubject(messages.ClassStd, keys[i]), fmt.Appendf(nil, `{"prompt":"question %d","audit_reason":"a drill of backends","max_tokens":20}`, i))
	}
	s.until("all calls are answered", func() bool { return limited.Totals("").Outcomes[provider.Success] >= int64(many) })
	took := time.Since(began)
	for _, key := range keys {
		if e := s.outcome(key); e.End.Status != messages.StatusSuccess {
			t.Fatalf("%s ended as %s (%s)", key, e.End.Status, e.End.Reason)
		}
	}
	totals := limited.Totals("")
	refused := totals.Outcomes[provider.RateLimited]
	t.Logf("%d requests in %s, %.1f a second; %d of %d calls were answered 429", many, took.Round(time.Millisecond), float64(many)/took.Seconds(), refused, totals.Calls)
	if refused*100 > totals.Calls {
		t.Errorf("%d of %d calls were refused", refused, totals.Calls)
	}
}

// TestARequestThatGoesElsewhereLeavesNoPromise: its turn at the backend which it waited for is free for others at once.
func TestARequestThatGoesElsewhereLeavesNoPromise(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	primary, secondary := rehearse(t), rehearse(t)
	var all *pace.Pace
	s.tune = func(p *process, layer *handlers.AI) {
		layer.Backends = []handlers.Serving{asking(t, "primary", primary), asking(t, "secondary", secondary)}
		paced(t, p, layer)
		all = layer.Pace
	}
	t.Cleanup(s.start(true, nil).end)
	busy := pace.Key{Backend: "primary", Model: model}
	all.Heard(busy, pace.Sign{Class: ai.ClassRateLimited, RetryAfter: time.Minute, Sent: time.Now()})
	if e := s.outcome(s.submit("r", "a question")); e.End.Status != messages.StatusSuccess || e.AI.Backend != "secondary" {
		t.Fatalf("it ended as %s (%s) at %s", e.End.Status, e.End.Reason, e.AI.Backend)
	}
	if n := all.Away(busy); n != 0 {
		t.Errorf("%d are to come back to the primary", n)
	}
}
