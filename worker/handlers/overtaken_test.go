package handlers_test

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"flowgate/messages"
	"flowgate/pipelines/ai"
	"flowgate/worker"
	"flowgate/worker/workertest"
)

// sleeper is a process that falls asleep once, with everything that it does, until it is woken.
type sleeper struct {
	asleep, awake chan struct{}
	once          sync.Once
	sleeps        atomic.Bool
}

func newSleeper() *sleeper { return &sleeper{asleep: make(chan struct{}), awake: make(chan struct{})} }

func (s *sleeper) fall() {
	s.once.Do(func() { s.sleeps.Store(true); close(s.asleep) })
	<-s.awake
}

// probe sleeps on where the process does, heartbeats included; at a step it falls asleep.
func (s *sleeper) probe(at worker.Step) worker.Probe {
	return func(step worker.Step, queue string, _ messages.Key) {
		switch {
		case step == at && queue == "ai":
			s.fall()
		case s.sleeps.Load():
			<-s.awake
		}
	}
}

// tired is a backend whose process falls asleep after its first answer.
type tired struct {
	worker.Backend

	*sleeper
}

func (b tired) Call(ctx context.Context, call ai.Call) (ai.Answer, error) {
	answer, err := b.Backend.Call(ctx, call)
	b.fall()
	return answer, err
}

// TestAWorkerThatWakesUpOvertakenDoesNotCall: it announced a call and was stopped for so long that another worker took over and
// answered. What it was about to send would be paid for nothing.
func TestAWorkerThatWakesUpOvertakenDoesNotCall(t *testing.T) {
	for name, c := range map[string]struct {
		at    worker.Step
		wrap  func(s *sleeper) func(worker.Backend) worker.Backend
		first workertest.OpenAIReply
		calls int
	}{
		"before its call": {at: worker.StepAnnounced, first: workertest.ReplyAnswer("OK"), calls: 1},
		"before a quick retry": {
			wrap: func(s *sleeper) func(worker.Backend) worker.Backend {
				return func(b worker.Backend) worker.Backend { return tired{b, s} }
			},
			first: workertest.ReplyError(http.StatusInternalServerError, "server_error", ""), calls: 2,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, z := newStage(t), newSleeper()
			s.openai.ScriptReplies(requestKey.String(), c.first, workertest.ReplyAnswer("OK"))
			if c.wrap != nil {
				s.wrap = c.wrap(z)
			}
			first := s.start(true, z.probe(c.at))
			s.publish(messages.RequestSubject(messages.ClassStd, requestKey), request(`{}`))
			<-z.asleep
			s.disconnect(first)
			s.wrap = nil
			second := s.start(true, nil)
			s.ended(requestKey, 0, first)
			close(z.awake)
			first.end()
			second.end()
			if e := s.end(0); e.End.Reason != messages.ReasonOK {
				t.Errorf("it ended as %+v", e.End)
			}
			if calls := s.openai.Calls(requestKey.String()); calls != c.calls {
				t.Errorf("the provider was called %d times, want %d", calls, c.calls)
			}
		})
	}
}
