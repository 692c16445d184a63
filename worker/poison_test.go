package worker_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"flowgate/messages"
	"flowgate/pipelines"
	"flowgate/worker"
)

// TestAPanicOutsideOfTheLayersEndsItsMessageAfterThree: while it is read, and while its layer ends it.
func TestAPanicOutsideOfTheLayersEndsItsMessageAfterThree(t *testing.T) {
	b := setup(t)
	var ends int
	l := &layer{handle: advancing(messages.StateOptimizer), end: func(task *worker.Task, r *pipelines.Refusal) worker.Verdict {
		if ends++; task.ID == "late" && ends <= 2 {
			panic("while ending")
		}
		pipelines.End(task.Envelope, messages.LayerAI, r, time.Now())
		return advance(task, messages.StateDone)
	}}
	b.start(l, func(o *worker.Options) {
		o.Probe = func(step worker.Step, _ string, key messages.Key) {
			if step == worker.StepFetched && key.ID == "bad" {
				panic("while reading")
			}
		}
	})
	b.put("bad", messages.StateAI, 0, envelope())
	b.put("good", messages.StateAI, 0, envelope())
	b.hears("state optimizer")
	b.hears("state done")
	if e := b.ended("bad"); e.End.Reason != messages.ReasonCrash || strings.Contains(e.End.Detail, "while reading") {
		t.Errorf("%+v", e.End)
	}
	late := envelope()
	late.NotAfter = time.Now().Add(-time.Second)
	b.put("late", messages.StateAI, 0, late)
	b.hears("state done")
	b.ended("late")
}

// TestWhatGrewLargerThanAMessageEnds: what a layer made of it, and what was too large from the beginning.
func TestWhatGrewLargerThanAMessageEnds(t *testing.T) {
	b := setup(t)
	most := int(b.conn.MaxPayload())
	b.start(&layer{handle: func(ctx context.Context, tasks []*worker.Task) []worker.Verdict {
		for _, task := range tasks {
			if task.ID == "grows" {
				task.Envelope.AI = &messages.AISection{Answer: strings.Repeat("x", most), AnswerSHA256: "abc", AnswerLength: most}
				task.Envelope.History = []messages.Attempt{{K: 1, CostMicroUSD: 70, Billing: messages.BillingKnown}}
			}
		}
		return advancing(messages.StateOptimizer)(ctx, tasks)
	}})
	seq := b.put("grows", messages.StateAI, 0, envelope())
	b.put("good", messages.StateAI, 0, envelope())
	b.hears("state done")
	b.hears(fmt.Sprintf("ack %d +ACK", seq))
	e := b.ended("grows")
	if e.End.Reason != messages.ReasonTooLarge || !e.End.Replayable || e.End.CostMicroUSD != 70 || e.AI == nil || e.AI.AnswerSHA256 != "abc" || e.AI.Answer != "" {
		t.Errorf("%+v, %+v", e.End, e.AI)
	}
	waitFor(t, func() bool { return b.newest("good").State == messages.StateOptimizer })

	// Bytes that are no envelope, whose history can be read all the same and fills the message.
	attempt := messages.Attempt{K: 10_000, Layer: messages.LayerAI, CostMicroUSD: 1, Billing: messages.BillingKnown}
	one, err := json.Marshal(attempt)
	if err != nil {
		t.Fatal(err)
	}
	history := slices.Repeat([]messages.Attempt{attempt}, (most-2000)/(len(one)+1))
	bomb, err := json.Marshal(map[string]any{"v": 1, "epoch": 3, "kind": 7, "history": history})
	if err != nil {
		t.Fatal(err)
	}
	b.put("bomb", messages.StateAI, 0, bomb)
	b.hears("state done")
	if e := b.ended("bomb"); e.Epoch != 3 || e.End.CostMicroUSD != int64(len(history)) || len(e.History) > 20 || e.End.Reason != messages.ReasonTooLarge {
		t.Errorf("%+v with %d attempts", e.End, len(e.History))
	}
}

// notes is a list of messages in flight whose crashes were counted before.
type notes struct {
	mu    sync.Mutex
	exits map[uint64]int
	log   []string
	now   int
	most  int
}

func (n *notes) Exits(_ string, seq uint64) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.exits[seq]
}

func (n *notes) Note(stream string, seq uint64) (func(bool), error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.now++
	n.most = max(n.most, n.now)
	n.log = append(n.log, fmt.Sprintf("%s %d", stream, seq))
	return func(gone bool) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.now--
		if gone {
			delete(n.exits, seq)
		}
	}, nil
}

func (n *notes) said() ([]string, int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.log), n.most
}

// TestAfterAnUncleanExitMessagesAreHandledOneAtATimeAndNoted: for a while; what is noted then is gone.
func TestAfterAnUncleanExitMessagesAreHandledOneAtATimeAndNoted(t *testing.T) {
	b := setup(t)
	n := &notes{}
	var seqs []string
	for i := range 5 {
		seqs = append(seqs, fmt.Sprintf("FLOWGATE_WORK_0 %d", b.put(fmt.Sprintf("r%d", i), messages.StateAI, 0, envelope())))
	}
	var batches sync.Map
	b.start(&layer{handle: func(ctx context.Context, tasks []*worker.Task) []worker.Verdict {
		batches.Store(len(tasks), true)
		return advancing(messages.StateDone)(ctx, tasks)
	}}, func(o *worker.Options) {
		o.Inflight, o.Unclean, o.Queues[0].Lanes, o.AckWait = n, true, 3, time.Minute
	})
	for range 5 {
		b.hears("state done")
	}
	waitFor(t, func() bool { log, _ := n.said(); return len(log) >= 5 })
	log, most := n.said()
	slices.Sort(log)
	slices.Sort(seqs)
	if !slices.Equal(log, seqs) || most != 1 {
		t.Errorf("noted %q, %d at once", log, most)
	}
	batches.Range(func(size, _ any) bool {
		if size != 1 {
			t.Errorf("a micro-batch of %v", size)
		}
		return true
	})
}

// TestAMessageThatEndsProcessesEndsAsCrash: a suspect is handled alone at any time; after three exits it is ended without
// being handled, and where even its end ends processes it is left alone.
func TestAMessageThatEndsProcessesEndsAsCrash(t *testing.T) {
	b := setup(t)
	n := &notes{exits: make(map[uint64]int)}
	n.exits[b.put("suspect", messages.StateAI, 0, envelope())] = 2
	n.exits[b.put("deadly", messages.StateAI, 0, envelope())] = 3
	last := b.put("hopeless", messages.StateAI, 0, envelope())
	n.exits[last] = 6
	b.put("good", messages.StateAI, 0, envelope())
	b.start(&layer{handle: func(ctx context.Context, tasks []*worker.Task) []worker.Verdict {
		for _, task := range tasks {
			if task.ID == "deadly" || task.ID == "hopeless" {
				t.Errorf("%s was handled", task.ID)
			}
		}
		return advancing(messages.StateOptimizer)(ctx, tasks)
	}}, func(o *worker.Options) { o.Inflight = n })
	b.hears(fmt.Sprintf("ack %d -NAK", last))
	waitFor(t, func() bool {
		return b.newest("suspect").State == messages.StateOptimizer && b.newest("good").State == messages.StateOptimizer &&
			b.newest("deadly").State == messages.StateDone
	})
	e := b.ended("deadly")
	if e.End.Reason != messages.ReasonCrash || !e.End.Replayable || !strings.Contains(e.End.Message(), "3 processes ended") || len(e.History) != 1 {
		t.Errorf("%+v, %+v", e.End, e.History)
	}
	if b.newest("hopeless").State != messages.StateAI || n.Exits("", last) != 6 {
		t.Error("what could not be ended was tried again")
	}
	if log, _ := n.said(); slices.Contains(log, fmt.Sprintf("FLOWGATE_WORK_0 %d", b.newest("good").Seq)) {
		t.Error("what is no suspect was noted")
	}
}
