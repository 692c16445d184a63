package handlers_test

import (
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"flowgate/messages"
	"flowgate/pipelines/ai"
	"flowgate/worker"
	"flowgate/worker/postgres"
	"flowgate/worker/workertest"
)

func TestMain(m *testing.M) {
	code := workertest.Main(m)
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// scenario is a life of one request: what is sent, and how it must end.
type scenario struct {
	name     string
	billable bool
	// before is done by a process that nothing happens to.
	before func(s *stage)
	// send starts the life that is cut.
	send func(s *stage)
	// epoch, status and reason are how it must end.
	epoch  int
	status messages.Status
	reason messages.Reason
}

var requestKey = messages.Key{Tenant: "acme", ID: "r1"}

func request(metadata string) []byte {
	return []byte(`{"prompt":"Say OK","audit_reason":"cut after step N","model":"` + model + `","max_tokens":16,"metadata":` + metadata + `}`)
}

func scenarios() []scenario {
	ask := func(metadata string) func(*stage) {
		return func(s *stage) { s.publish(messages.RequestSubject(messages.ClassStd, requestKey), request(metadata)) }
	}
	dies := ask(`{"offline_faults":[{"class":"invalid","epoch":0}]}`)
	return []scenario{
		{name: "a hop", send: ask(`{}`), status: messages.StatusSuccess, reason: messages.ReasonOK},
		{name: "a billable call", billable: true, send: ask(`{}`), status: messages.StatusSuccess, reason: messages.ReasonOK},
		{
			name: "a delayed retry", send: ask(`{"offline_faults":[{"class":"rate_limited","attempts":1}]}`),
			status: messages.StatusSuccess, reason: messages.ReasonOK,
		},
		{
			name: "a billable delayed retry", billable: true, status: messages.StatusSuccess, reason: messages.ReasonOK,
			send: func(s *stage) {
				busy := workertest.ReplyRateLimited(0)
				s.openai.ScriptReplies(requestKey.String(), busy, busy, busy, workertest.ReplyAnswer("OK"))
				ask(`{}`)(s)
			},
		},
		{name: "a death", send: dies, status: messages.StatusFailure, reason: messages.ReasonBackendInvalid},
		{
			name: "a replay", epoch: 1, status: messages.StatusSuccess, reason: messages.ReasonOK,
			before: func(s *stage) { dies(s); s.ended(requestKey, 0) },
			send: func(s *stage) {
				s.publish(messages.ReplaySubject(messages.ClassStd, requestKey, 1), []byte(`{"reason":"the backend is well again"}`))
			},
		},
		{
			name: "a refusal", status: messages.StatusDenied, reason: messages.ReasonAuditReasonMissing,
			send: func(s *stage) {
				s.publish(messages.RequestSubject(messages.ClassStd, requestKey), []byte(`{"prompt":"Say OK","audit_reason":" "}`))
			},
		},
	}
}

// cut freezes a process behind its n-th step: whatever it does next, it waits until it is thawed.
type cut struct {
	mu     sync.Mutex
	steps  []string
	at     int // 1 is the first step; 0 never freezes
	frozen chan struct{}
	thaw   chan struct{}
}

func newCut(at int) *cut {
	return &cut{at: at, frozen: make(chan struct{}), thaw: make(chan struct{})}
}

// probe counts the steps of the request and of the recorder.
func (c *cut) probe(step worker.Step, queue string, key messages.Key) {
	c.mu.Lock()
	if step != worker.StepBeat && (key == requestKey || queue == "recorder") {
		c.steps = append(c.steps, queue+" "+string(step))
		if len(c.steps) == c.at {
			close(c.frozen)
		}
	}
	isFrozen := c.at > 0 && len(c.steps) >= c.at
	c.mu.Unlock()
	if isFrozen {
		<-c.thaw
	}
}

// everyCut has every step cut in both ways; otherwise steps take turns.
var everyCut = os.Getenv("FLOWGATE_CUTS") == "all"

// TestCutAfterEveryStep kills a process, or puts it to sleep for longer than AckWait, behind every step of every life, and
// has another process go on. The sleeper wakes up afterwards and does what it was about to do.
func TestCutAfterEveryStep(t *testing.T) {
	for _, sc := range scenarios() {
		t.Run(sc.name, func(t *testing.T) {
			steps := sc.steps(t)
			if len(steps) < 6 {
				t.Fatalf("only steps %q", steps)
			}
			work := make(chan func(), 2*len(steps))
			for n := 1; n <= len(steps); n++ {
				for _, zombie := range []bool{false, true} {
					if !everyCut && (n%2 == 0) == zombie {
						continue
					}
					work <- func() {
						t.Run(fmt.Sprintf("%d %s zombie=%t", n, steps[n-1], zombie), func(t *testing.T) { sc.cut(t, n, zombie) })
					}
				}
			}
			close(work)
			var hands sync.WaitGroup
			for range 7 {
				hands.Go(func() {
					for do := range work {
						do()
					}
				})
			}
			hands.Wait()
		})
	}
}

// steps lists the steps of an undisturbed life.
func (sc scenario) steps(t *testing.T) []string {
	t.Helper()
	s := newStage(t)
	sc.prepare(s)
	whole := newCut(0)
	p := s.start(sc.billable, whole.probe)
	sc.send(s)
	s.ended(requestKey, sc.epoch)
	p.end()
	sc.check(s)
	return whole.steps
}

func (sc scenario) prepare(s *stage) {
	if sc.before != nil {
		p := s.start(sc.billable, nil)
		sc.before(s)
		p.end()
	}
}

// cut lives a life with an accident behind step n.
func (sc scenario) cut(t *testing.T, n int, zombie bool) {
	s := newStage(t)
	sc.prepare(s)
	c := newCut(n)
	first := s.start(sc.billable, c.probe)
	sc.send(s)
	if !s.reaches(c, sc.epoch) { // the recorder took two steps at once this time: nothing was cut
		first.end()
		sc.check(s)
		return
	}
	if !zombie { // what a dead process had open is closed; a sleeper keeps its connection to the broker
		first.conn.Close()
		first.stop()
	}
	s.disconnect(first) // the recorder's lock goes with it
	second := s.start(sc.billable, nil)
	if zombie {
		s.ended(requestKey, sc.epoch, first)
		close(c.thaw)
		first.end()
		second.end()
		sc.check(s)
		return
	}
	s.ended(requestKey, sc.epoch)
	second.end()
	sc.check(s)
	close(c.thaw) // only so that its goroutines end
	first.end()
}

// reaches waits until a process is frozen, or has come to the end without.
func (s *stage) reaches(c *cut, epoch int) bool {
	s.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		_, ended, err := s.db.Standing(s.t.Context(), requestKey, epoch)
		select {
		case <-c.frozen:
			return true
		case <-s.t.Context().Done():
			return false
		case <-tick.C:
		}
		if err == nil && ended {
			select {
			case <-c.frozen:
				return true
			case <-time.After(time.Second):
				return false
			}
		}
	}
}

// check: one outcome with the right end, one newest state, money and record in order, no call too many.
func (sc scenario) check(s *stage) {
	t := s.t
	newest, found, err := s.leader.Newest(t.Context(), 0, requestKey)
	if err != nil || !found || newest.State != messages.StateDone {
		t.Fatalf("newest state %+v (%t, %v)", newest, found, err)
	}
	e, err := messages.DecodeEnvelope(newest.Data)
	if err != nil {
		t.Fatal(err)
	}
	if e.Epoch != sc.epoch || e.End.Status != sc.status || e.End.Reason != sc.reason {
		t.Errorf("ended as %+v in epoch %d", e.End, e.Epoch)
	}
	findings, err := s.db.Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range findings {
		if !f.OK {
			t.Errorf("check %s: %s: %v", f.Name, f.Detail, f.Examples)
		}
	}
	if sc.billable {
		if billed, doubts := s.openai.Billed(requestKey.String()), ai.InDoubt(e.History); billed > 1+doubts {
			t.Errorf("%d calls that were billed, %d attempts in doubt", billed, doubts)
		}
		s.charged(e)
	}
}

// charged: every scope has settled exactly what the end of the request says that it cost.
func (s *stage) charged(e *messages.Envelope) {
	timeline, err := s.db.Timeline(s.t.Context(), requestKey)
	if err != nil {
		s.t.Fatal(err)
	}
	var sum int64
	for _, a := range timeline.Epochs[e.Epoch].Attempts {
		sum += a.Charged
	}
	if late := s.lateEnds(timeline); sum != e.End.CostMicroUSD && !late {
		s.t.Errorf("charged %d micro-dollars, the end says %d: %+v", sum, e.End.CostMicroUSD, timeline.Epochs[e.Epoch].Attempts)
	}
}

// lateEnds tells whether a call in doubt became known afterwards.
func (s *stage) lateEnds(t postgres.Timeline) bool {
	for _, epoch := range t.Epochs {
		for _, event := range epoch.Events {
			if event.Kind == string(messages.EventAttemptEnd) {
				return true
			}
		}
	}
	return false
}
