package worker_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"flowgate/messages"
	"flowgate/pipelines"
	"flowgate/worker"
)

// notebook writes down what it is told.
type notebook struct {
	mu       sync.Mutex
	settled  []worker.Settled
	attempts []worker.Attempted
	died     []worker.Died
}

func (n *notebook) Settled(s worker.Settled) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.settled = append(n.settled, s)
}

func (n *notebook) Attempted(a worker.Attempted) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.attempts = append(n.attempts, a)
}

func (n *notebook) Died(d worker.Died) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.died = append(n.died, d)
}

func (n *notebook) outcomes(id string) (all []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, s := range n.settled {
		if s.ID == id {
			all = append(all, strings.TrimSuffix(string(s.Outcome)+" "+string(s.Reason), " "))
		}
	}
	return all
}

func TestEachAnswerOnTheWireIsToldOnce(t *testing.T) {
	b := setup(t)
	var told, second notebook
	var once sync.Once
	l := &layer{handle: func(ctx context.Context, tasks []*worker.Task) []worker.Verdict {
		verdicts := make([]worker.Verdict, len(tasks))
		if slices.ContainsFunc(tasks, func(task *worker.Task) bool { return task.ID == "panics" }) {
			panic("canary of a request") // before anything is done: the others are judged again
		}
		for i, task := range tasks {
			switch {
			case task.ID == "parked" && task.Times == 1:
				verdicts[i] = worker.Park(time.Now().Add(10*time.Millisecond), nil)
			case task.ID == "lost":
				once.Do(func() { b.put(task.ID, messages.StateDone, task.Expect, envelope()) }) // its batch may be judged again
				verdicts[i] = advance(task, messages.StateOptimizer)
			case task.ID == "retried" && task.Envelope.N == 0:
				task.Envelope.N, task.Envelope.NotBefore = 1, time.Now().Add(20*time.Millisecond)
				verdicts[i] = advance(task, messages.StateAI)
			case task.ID == "denied":
				pipelines.End(task.Envelope, messages.LayerAI, pipelines.Deny(messages.ReasonModelUnknown, "model", ""), time.Now())
				verdicts[i] = advance(task, messages.StateDone)
			default:
				verdicts[i] = advance(task, messages.StateOptimizer)
			}
		}
		return verdicts
	}}
	core, logged := observer.New(zap.DebugLevel)
	log := zap.New(core)
	stop := b.start(l, func(o *worker.Options) {
		o.Logger, o.Observer = log, worker.Observe(nil, &told, worker.Logging(log), &second)
	})
	expired := envelope()
	expired.NotAfter = time.Now().Add(-time.Second)
	seqs := map[uint64]string{}
	for _, id := range []string{"passed", "parked", "lost", "retried", "denied", "panics"} {
		seqs[b.put(id, messages.StateAI, 0, envelope())] = id
	}
	seqs[b.put("late", messages.StateAI, 0, expired)] = "late"
	wants := map[string]string{
		"passed": "passed", "parked": "parked passed", "lost": "lost", "retried": "retry", "denied": "denied model_unknown",
		"late": "timeout deadline_passed",
	}
	waitFor(t, func() bool {
		for id, want := range wants {
			if id != "retried" && strings.Join(told.outcomes(id), " ") != want {
				return false
			}
		}
		return slices.Contains(told.outcomes("retried"), "passed") && slices.Contains(told.outcomes("panics"), "failure crash")
	})
	stop()
	if err := b.conn.Flush(); err != nil {
		t.Fatal(err)
	}
	answers := 0
	for len(b.said) > 0 {
		if w := word(<-b.said); strings.HasPrefix(w, "ack") && !strings.HasSuffix(w, "+WPI") {
			answers++
		}
	}
	seen := map[string]bool{}
	for _, e := range logged.All() {
		fields := e.ContextMap()
		if strings.Contains(fmt.Sprint(e.Message, fields), "canary") {
			t.Errorf("logged %s %v", e.Message, fields)
		}
		if e.Message == "settled" && fields["tenant"] == "acme" && fields["layer"] == "ai_processing" && fields["class"] == "std" {
			seen[fmt.Sprint(fields["request_id"], " ", fields["reason"])] = true
		}
	}
	if !seen["denied model_unknown"] || !seen["passed <nil>"] || !seen["panics crash"] {
		t.Errorf("logged of %v", seen)
	}
	if len(told.settled) != answers || answers < len(wants)+3 {
		t.Errorf("%d deliveries told, %d answers on the wire: %+v", len(told.settled), answers, told.settled)
	}
	if !slices.Equal(told.settled, second.settled) || len(told.attempts) != 3 || len(told.died) != 2 {
		t.Errorf("attempts %+v, dead %+v, and the second observer was told %+v", told.attempts, told.died, second.settled)
	}
	for _, s := range told.settled {
		if s.Layer != messages.LayerAI || s.Queue != "ai-std-0" || s.Class != messages.ClassStd || s.Took < 0 || s.Waited > time.Minute {
			t.Errorf("told %+v", s)
		}
		if s.ID == "late" && (!s.HasLeft || s.Left > -time.Second) {
			t.Errorf("the late one was told as %+v", s)
		}
	}
}

// TestAnAttemptTakenOverIsToldByWhoeverTakesOver: once, when what came of it is stored; until then it is taken over again.
func TestAnAttemptTakenOverIsToldByWhoeverTakesOver(t *testing.T) {
	b := setup(t)
	var told notebook
	times := 0
	b.start(&layer{handle: func(_ context.Context, tasks []*worker.Task) []worker.Verdict {
		task := tasks[0]
		if times++; times == 1 {
			b.put(task.ID, messages.StateCalling, task.Expect, &messages.Calling{
				V: 1, InputSeq: task.Seq, Worker: "w2", Attempt: messages.Attempt{K: 1, Backend: "far", BoundMicroUSD: 5},
			})
			return []worker.Verdict{{Action: worker.ActionLeave}} // as a killed process does
		}
		if times == 2 {
			return []worker.Verdict{worker.Park(time.Now(), nil)}
		}
		return []worker.Verdict{advance(task, messages.StateOptimizer)}
	}}, func(o *worker.Options) { o.Observer = &told })
	b.put("r1", messages.StateAI, 0, envelope())
	waitFor(t, func() bool { return len(told.outcomes("r1")) == 3 })
	if got := fmt.Sprint(told.outcomes("r1")); got != "[left parked passed]" {
		t.Errorf("told %s", got)
	}
	if len(told.attempts) != 1 || told.attempts[0].OK() || told.attempts[0].Attempt.Class != "in_doubt" || told.attempts[0].Attempt.CostMicroUSD != 5 ||
		told.attempts[0].Kind != messages.KindPrompt {
		t.Errorf("attempts %+v", told.attempts)
	}
}

// waitFor waits for a condition that no signal tells.
func waitFor(t *testing.T, condition func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-ctx.Done():
			t.Fatal("waited in vain")
		case <-tick.C:
		}
	}
}
