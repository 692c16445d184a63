package handlers_test

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"flowgate/messages"
	"flowgate/worker"
)

// slowProcess is a process that falls asleep between layer 1's decision on a request and its publication.
type slowProcess struct {
	*process

	asleep <-chan struct{}
	// wake lets it go on; more than once is once.
	wake func()
}

func (s *stage) slowProcess() slowProcess {
	s.t.Helper()
	sleeps, wakes := make(chan struct{}), make(chan struct{})
	var sleeping atomic.Bool
	p := s.start(true, func(step worker.Step, queue string, key messages.Key) {
		if key == requestKey && step == worker.StepDecided && queue == "ingress" && sleeping.CompareAndSwap(false, true) {
			close(sleeps)
		}
		if sleeping.Load() { // its heartbeats too
			<-wakes
		}
	})
	return slowProcess{p, sleeps, sync.OnceFunc(func() { close(wakes) })}
}

// TestASleeperEndsNothingASecondTime: it wakes up when everything is purged that would have refused it, and publishes what it
// had decided into an empty family: that the request is refused; that it may go on, which by then is cancelled, or past its
// time.
func TestASleeperEndsNothingASecondTime(t *testing.T) {
	const lives = 4 * time.Second
	for name, c := range map[string]struct {
		document string
		// cancelled and expired are what happens after it has ended.
		cancelled, expired bool
	}{
		"refused":                 {document: `{"prompt":"Say OK","audit_reason":" "}`},
		"no request":              {document: `{`},
		"approved, and cancelled": {document: string(request(`{}`)), cancelled: true},
		"approved, and past its time": {
			document: `{"prompt":"Say OK","audit_reason":"a drill of sleep","model":"` + model + `","max_tokens":16,"not_after":"%s"}`, expired: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const hold = 300 * time.Millisecond
			s := newStage(t)
			w := &words{}
			s.control = w
			slow := s.slowProcess()
			defer slow.wake()
			end := time.Now().Add(lives)
			document := strings.Replace(c.document, "%s", end.UTC().Format(time.RFC3339Nano), 1)
			s.publish(messages.RequestSubject(messages.ClassStd, requestKey), []byte(document))
			<-slow.asleep
			p := s.start(true, nil)
			s.ended(requestKey, 0, slow.process)
			first := s.outcomeSeq()
			if c.cancelled {
				w.say(requestKey)
			}
			s.sees("everything that the sleeper knew is purged", func(ctx context.Context) (bool, error) {
				s.sweep(hold)
				_, found, err := s.leader.Newest(ctx, 0, requestKey)
				return !found && (!c.expired || time.Now().After(end)), err
			})
			// A neighbour's states stand before and behind the word of the sleeper.
			s.ask("acme", "before", "a drill of sleep")
			s.ended(messages.Key{Tenant: "acme", ID: "before"}, 0, slow.process)
			slow.wake()
			s.sees("the sleeper's word stands", func(ctx context.Context) (bool, error) {
				_, found, err := s.leader.Newest(ctx, 0, requestKey)
				return found, err
			})
			s.ask("acme", "behind", "a drill of sleep")
			s.ended(messages.Key{Tenant: "acme", ID: "behind"}, 0)
			s.sees("all is handled and recorded", s.handled)
			n, _, err := s.leader.Newest(t.Context(), 0, requestKey)
			if err != nil || n.State != messages.StateHold {
				t.Errorf("its word became %s, %v", n.State, err)
			}
			slow.end()
			p.end()
			if last := s.outcomeSeq(); last != first {
				t.Errorf("it ended at %d, and now at %d", first, last)
			}
			s.agree()
		})
	}
}

// outcomeSeq is where the request's only epoch ended.
func (s *stage) outcomeSeq() int64 {
	s.t.Helper()
	line, err := s.db.Timeline(s.t.Context(), requestKey)
	if err != nil || len(line.Epochs) != 1 || line.Epochs[0].Admission == nil || line.Epochs[0].Admission.OutcomeSeq == nil {
		s.t.Fatalf("%+v, %v", line, err)
	}
	return *line.Epochs[0].Admission.OutcomeSeq
}

// handled tells whether every state is acknowledged and recorded.
func (s *stage) handled(ctx context.Context) (bool, error) {
	stream := worker.WorkStream(0)
	for _, reader := range s.topology.ConsumersOf(stream) {
		c, err := s.js.Consumer(ctx, stream, reader.Name)
		if err != nil {
			return false, err
		}
		if i := c.CachedInfo(); i.NumPending > 0 || i.NumAckPending > 0 {
			return false, nil
		}
	}
	bounds, err := s.leader.Bounds(ctx, stream)
	if err != nil {
		return false, err
	}
	at, err := s.db.Position(ctx, stream)
	return at.Seq >= bounds.Last, err
}
