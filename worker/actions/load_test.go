package actions_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"flowgate/messages"
	"flowgate/pipelines/flow"
	"flowgate/worker/actions"
	"flowgate/worker/sessions"
)

// server answers after a time that is known, so many at once; the rest wait.
type server struct {
	slots   chan struct{}
	latency time.Duration
	// failing are refused, of those that come when more than so many are asked for at once; 0: none.
	failing int
	err     error
	// refused are those whose step has more at once than so many; 0: none.
	refused int
	// late are the requests whose ids hold it: they are answered later by lag, 0: by a latency, by no fault of the server's.
	late string
	lag  time.Duration

	mu     sync.Mutex
	asked  map[string]int
	inside int
	bodies []string
}

func newServer(atOnce int, latency time.Duration) *server {
	return &server{slots: make(chan struct{}, atOnce), latency: latency, asked: make(map[string]int)}
}

func (s *server) Ask(ctx context.Context, key messages.Key, body []byte) (messages.Result, error) {
	s.mu.Lock()
	s.asked[key.ID]++
	s.inside++
	late := s.late != "" && strings.Contains(key.ID, s.late)
	crowded := s.failing > 0 && s.inside > s.failing || s.refused > 0 && stepOf(key.ID) > s.refused
	s.bodies = append(s.bodies, string(body))
	s.mu.Unlock()
	defer func() { s.mu.Lock(); s.inside--; s.mu.Unlock() }()
	if s.err != nil {
		return messages.Result{}, s.err
	}
	came := time.Now()
	s.slots <- struct{}{}
	defer func() { <-s.slots }()
	time.Sleep(s.latency) // in a bubble
	took := time.Since(came)
	if late {
		time.Sleep(cmp.Or(s.lag, s.latency))
	}
	r := messages.Result{
		Key: key, State: messages.ResultDone, Status: messages.StatusSuccess, SubmittedAt: came, FinishedAt: time.Now(),
		Metadata: &messages.ResultMetadata{Backend: "b", ProcessingTime: took.Seconds(), CostMicroUSD: 3, Tokens: messages.Tokens{Input: 5, Output: 2}},
	}
	if crowded {
		r.Status, r.Reason = messages.StatusFailure, messages.ReasonBackendUnavailable
	}
	return r, ctx.Err()
}

// stepOf is how many the step of a request has at once.
func stepOf(id string) int {
	_, step, _ := strings.Cut(id, "-step")
	number, _, _ := strings.Cut(step, "-")
	n, _ := strconv.Atoi(number) // of others it is 0
	return n
}

// ran carries an action out in a bubble and reads its document.
func ran(t *testing.T, function actions.Function, parameters map[string]any, into any) *messages.Execution {
	t.Helper()
	f := actions.New(actions.Options{Functions: map[string]actions.Function{"x": function}})
	defer f.Close()
	a := flow.Agreement{Trigger: "[X]", Action: "x", Parameters: parameters, SLASeconds: 3600}
	for {
		x, done := f.Execute(key, 0, flow.Asker{UserID: "ann", Department: "hr"}, a)
		if x == nil {
			<-done
			continue
		}
		if x.Result != nil {
			if err := json.Unmarshal(x.Result, into); err != nil {
				t.Fatal(err)
			}
		}
		return x
	}
}

func TestPerformanceFindsALatencyThatIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(4, 200*time.Millisecond)
		var step actions.Step
		x := ran(t, actions.PerformanceTest(s), map[string]any{"requests": 40.0, "at_once": 4.0}, &step)
		if x.Mode != messages.ExecutionReal || x.Samples != 40 || step.Failed != 0 || len(s.asked) != 40 {
			t.Fatalf("got %+v, %+v", x, step)
		}
		for name, got := range map[string]float64{"p50": step.Latency.P50, "p95": step.Latency.P95, "p99": step.Latency.P99, "model": step.Model.P50} {
			if math.Abs(got-0.2) > 0.2*0.05 {
				t.Errorf("%s is %v", name, got)
			}
		}
		if math.Abs(step.PerSecond-20) > 1 || step.CostMicroUSD != 120 || step.TokensIn != 200 || x.Confidence < 0.95 {
			t.Errorf("got %+v, confidence %v", step, x.Confidence)
		}
		var asked map[string]any
		if err := json.Unmarshal([]byte(s.bodies[0]), &asked); err != nil || asked["user_id"] != "ann" || asked["trigger"] != "[X]" || asked["part_of"] == nil || asked["cache"] == nil {
			t.Errorf("%v: asked %s", err, s.bodies[0])
		}
		for id, n := range s.asked {
			if n != 1 || len(id) > 128 {
				t.Errorf("%s was asked %d times", id, n)
			}
		}
	})
}

func TestALoadKeepsToItsAgreement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(1, time.Second)
		f := actions.New(actions.Options{Functions: map[string]actions.Function{"x": actions.PerformanceTest(s)}})
		defer f.Close()
		a := flow.Agreement{Trigger: "[X]", Action: "x", SLASeconds: 3600, Limits: flow.Limits{RequestMicroUSD: 10}}
		if x := executed(t, f, a); x.Mode != messages.ExecutionFailed || !strings.Contains(x.Because, "cost more than the agreement's limit of 10") || len(s.asked) > 8 {
			t.Errorf("%+v after %d", x, len(s.asked))
		}
	})
}

func TestScalabilityFindsTheKnee(t *testing.T) {
	for name, c := range map[string]struct {
		server     *server
		parameters map[string]any
		knee       int
		limit      string
		grew       string
	}{
		"a limit of 32 at once": {newServer(32, 100*time.Millisecond), nil, 32, "throughput", "backend"},
		"a limit of 1":          {newServer(1, 100*time.Millisecond), nil, 1, "throughput", "backend"},
		"none that was tried":   {newServer(1000, 100*time.Millisecond), map[string]any{"most_at_once": 16}, 16, "the most that was tried", ""},
		"a limit of 37":         {newServer(37, 100*time.Millisecond), nil, 37, "throughput", "backend"},
		"a limit near a step":   {newServer(50, 100*time.Millisecond), map[string]any{"most_at_once": 64}, 50, "throughput", "backend"},
		"long steps":            {newServer(90, 100*time.Millisecond), map[string]any{"most_at_once": 256, "requests_each": 20}, 102, "throughput", "backend"},
		"a moment's trouble":    {&server{slots: make(chan struct{}, 32), latency: 100 * time.Millisecond, late: "-step16-1", asked: map[string]int{}}, nil, 32, "throughput", "backend"},
		"a slow gateway":        {&server{slots: make(chan struct{}, 32), latency: 100 * time.Millisecond, late: "-step16-", asked: map[string]int{}}, nil, 15, "throughput", "gateway"},
		"errors from 8 at once": {&server{slots: make(chan struct{}, 1000), latency: 100 * time.Millisecond, failing: 7, asked: map[string]int{}}, nil, 7, "errors", ""},
		"errors of all beyond":  {&server{slots: make(chan struct{}, 1000), latency: 100 * time.Millisecond, refused: 20, asked: map[string]int{}}, nil, 20, "errors", ""},
		"a gateway that is slower right there": {
			&server{slots: make(chan struct{}, 32), latency: 100 * time.Millisecond, late: "-step33-", lag: 20 * time.Millisecond, asked: map[string]int{}}, nil, 32, "throughput", "backend",
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c.server.slots = make(chan struct{}, cap(c.server.slots)) // of this bubble
				var r actions.ScalabilityReport
				x := ran(t, actions.ScalabilityTest(c.server), c.parameters, &r)
				if x.Mode != messages.ExecutionReal || r.Knee != c.knee || r.Limit != c.limit || r.Grew != c.grew {
					t.Errorf("%s: knee %d of less than %d, limit %s, grew %s, steps %+v", x.Because, r.Knee, r.Over, r.Limit, r.Grew, r.Steps)
				}
				if found := r.Over > r.Knee && r.Over-r.Knee <= max(r.Knee/32, 1); r.Limit != "the most that was tried" && !found || r.Steps[len(r.Steps)-1].AtOnce < r.Over {
					t.Errorf("the knee is %d of less than %d", r.Knee, r.Over)
				}
			})
		})
	}
}

// TestScalabilityStopsWhereTimeOrMoneyEnd: what was found until then stands, with the gap that is left.
func TestScalabilityStopsWhereTimeOrMoneyEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, change := range map[string]func(*flow.Agreement){
			"money": func(a *flow.Agreement) { a.Limits.RequestMicroUSD = 3 * (382 + 143) },
			"time":  func(a *flow.Agreement) { a.SLASeconds = 3.3 },
		} {
			s := newServer(37, 100*time.Millisecond)
			f := actions.New(actions.Options{Functions: map[string]actions.Function{"x": actions.ScalabilityTest(s)}})
			a := flow.Agreement{Trigger: "[X]", Action: "x", SLASeconds: 3600}
			change(&a)
			x := executed(t, f, a)
			var r actions.ScalabilityReport
			if err := json.Unmarshal(x.Result, &r); err != nil || r.Knee != 32 || r.Over != 64 || len(s.asked) != 382 {
				t.Errorf("%s: %v: %s, knee %d of less than %d after %d", name, err, x.Because, r.Knee, r.Over, len(s.asked))
			}
			f.Close()
		}
	})
}

func TestALoadThatIsNotAnsweredFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := newServer(1, time.Second)
		broken.err = errors.New("no broker")
		if x := ran(t, actions.PerformanceTest(broken), nil, nil); x.Mode != messages.ExecutionFailed || !strings.Contains(x.Because, "no broker") {
			t.Errorf("got %+v", x)
		}
		refusing := newServer(4, time.Second)
		refusing.failing = -1
		for name, parameters := range map[string]map[string]any{
			"requests": {"requests": 0.0}, "at_once": {"at_once": 1.5}, "max_tokens": {"max_tokens": "many"}, "model": {"model": 3.0},
		} {
			if x := ran(t, actions.PerformanceTest(refusing), parameters, nil); x.Mode != messages.ExecutionFailed || !strings.Contains(x.Because, "parameter "+name) {
				t.Errorf("%s: got %+v", name, x)
			}
		}
		if len(refusing.asked) != 0 {
			t.Errorf("%d were asked", len(refusing.asked))
		}
	})
}

func TestIntegrationFindsWhatIsDown(t *testing.T) {
	services := func(context.Context) ([]sessions.Health, error) {
		return []sessions.Health{
			{Service: "postgres", State: sessions.StateHealthy}, {Service: "s3", State: sessions.StateUnhealthy, Error: "refused"}, {Service: "mlflow", Unused: true},
		}, nil
	}
	synctest.Test(t, func(t *testing.T) {
		for name, c := range map[string]struct {
			server *server
			down   string
		}{
			"a service": {newServer(1, time.Second), "s3"},
			"the chain": {&server{asked: map[string]int{}, err: errors.New("no broker")}, "s3 chain"},
		} {
			var r actions.IntegrationReport
			x := ran(t, actions.IntegrationTest(services, c.server, everybody), nil, &r)
			var down []string
			for _, component := range r.Components {
				if !component.OK {
					down = append(down, component.Name)
				}
			}
			if x.Mode != messages.ExecutionReal || r.OK || strings.Join(down, " ") != c.down || x.Samples != 3 {
				t.Errorf("%s: %+v, %+v", name, x, r)
			}
		}
	})
}

func everybody(actions.Order) error { return nil }

func TestIntegrationTellsATenantBehindTheWallNoDetails(t *testing.T) {
	services := func(context.Context) ([]sessions.Health, error) {
		return []sessions.Health{
			{Service: "postgres", State: sessions.StateHealthy, Detail: "version 17.2", History: []sessions.Sample{{LatencyMS: 2000}}},
			{Service: "s3", State: sessions.StateUnhealthy, Error: "dial tcp 10.0.0.7:443: refused"},
		}, nil
	}
	broken := func(context.Context) ([]sessions.Health, error) { return nil, errors.New("10.0.0.7 is no address") }
	nobody := func(actions.Order) error { return errors.New("not you") }
	synctest.Test(t, func(t *testing.T) {
		for name, c := range map[string]struct {
			may  func(actions.Order) error
			told bool
		}{"told": {everybody, true}, "walled": {nobody, false}} {
			var r actions.IntegrationReport
			x := ran(t, actions.IntegrationTest(services, newServer(1, time.Second), c.may), nil, &r)
			if len(r.Components) != 3 || r.OK || !r.Components[0].OK || r.Components[0].Seconds != 2 || r.Components[1].State != string(sessions.StateUnhealthy) {
				t.Errorf("%s: %+v", name, r)
			}
			for _, secret := range []string{"17.2", "10.0.0.7", "answered by"} {
				if strings.Contains(string(x.Result), secret) != c.told {
					t.Errorf("%s: %q in %s", name, secret, x.Result)
				}
			}
			x = ran(t, actions.IntegrationTest(broken, newServer(1, time.Second), c.may), nil, nil)
			if x.Mode != messages.ExecutionFailed || strings.Contains(x.Because, "10.0.0.7") != c.told {
				t.Errorf("%s, and nobody can be asked: %+v", name, x)
			}
		}
	})
}
