package worker_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"flowgate/messages"
	"flowgate/worker"
)

// newer is a state that the next version of flowgate wrote.
func newer(inputSeq uint64) map[string]any {
	return map[string]any{"v": messages.Version + 1, "kind": "prompt", "epoch": 0, "request": map[string]any{}, "input_seq": inputSeq, "worker": "w2"}
}

// untouched fails the test where a request was moved or its input acknowledged.
func untouched(t *testing.T, before []string, seq uint64) {
	t.Helper()
	for _, w := range before {
		if strings.HasPrefix(w, fmt.Sprintf("ack %d +ACK", seq)) || strings.HasPrefix(w, "state") {
			t.Errorf("said %q", w)
		}
	}
}

func TestAnEnvelopeOfANewerVersionWaitsForWhoReadsItMoreSeldomEachTime(t *testing.T) {
	b := setup(t)
	b.start(&layer{handle: advancing(messages.StateOptimizer)})
	seq := b.put("r1", messages.StateAI, 0, newer(0))
	b.hears("state ai")
	var delays []float64
	for range 2 {
		nak, before := b.hears(fmt.Sprintf("ack %d -NAK", seq))
		untouched(t, before, seq)
		var ns float64
		if _, err := fmt.Sscanf(string(nak.Data), `-NAK {"delay": %f}`, &ns); err != nil {
			t.Fatalf("said %s: %v", nak.Data, err)
		}
		delays = append(delays, ns/1e9)
	}
	// Half a second, then half as much again, each with a jitter of a half.
	for i, most := range []float64{0.75, 1.125} {
		if delays[i] < most/3-0.2 || delays[i] > most {
			t.Errorf("parked for %v s", delays)
		}
	}
}

func TestAnEnvelopeOfANewerVersionThatQueuedForLongIsNotEndedByTheFirstWhoMeetsIt(t *testing.T) {
	b := setup(t)
	late := func() time.Time { return time.Now().Add(2 * worker.LongestPark) }
	stop := b.start(&layer{handle: advancing(messages.StateOptimizer)}, func(o *worker.Options) { o.Now = late })
	seq := b.put("r1", messages.StateAI, 0, newer(0))
	b.hears("state ai")
	_, before := b.hears(fmt.Sprintf("ack %d -NAK", seq))
	untouched(t, before, seq)
	stop()
	if n := b.newest("r1"); n.Seq != seq {
		t.Errorf("moved to %s", n.State)
	}
}

func TestACallThatANewerVersionAnnouncedIsNeverAcknowledgedByWhoCannotReadIt(t *testing.T) {
	b := setup(t)
	var calls int
	b.start(&layer{handle: func(_ context.Context, tasks []*worker.Task) []worker.Verdict {
		task := tasks[0]
		if calls++; calls == 1 {
			b.put(task.ID, messages.StateCalling, task.Expect, newer(task.Seq))
		}
		return []worker.Verdict{advance(task, messages.StateOptimizer)} // loses the comparison
	}})
	seq := b.put("r1", messages.StateAI, 0, envelope())
	_, before := b.hears(fmt.Sprintf(`ack %d -NAK {"delay": %d}`, seq, ackWait.Nanoseconds()))
	// Its heartbeats are silent for AckWait: a worker of this version takes nothing over all the same, again and again.
	for range 2 {
		_, more := b.hears(fmt.Sprintf("ack %d -NAK", seq))
		before = append(before, more...)
	}
	for _, w := range before {
		if strings.Contains(w, "+ACK") || strings.HasPrefix(w, "state optimizer") && !strings.HasSuffix(w, fmt.Sprint(seq)) {
			t.Errorf("said %q", w)
		}
	}
	if n := b.newest("r1"); n.State != messages.StateCalling || calls != 1 {
		t.Errorf("newest state %s after %d calls of the layer", n.State, calls)
	}
}
