package worker_test

import (
	"context"
	"testing"
	"time"

	"flowgate/messages"
	"flowgate/pipelines"
	"flowgate/worker"
)

// TestADeadlineEndsWhatWaitsForLonger: a delayed retry, and a request that layer 1 holds, end at their not_after, not when
// their wait is over.
func TestADeadlineEndsWhatWaitsForLonger(t *testing.T) {
	b := setup(t)
	deciding := func(_ context.Context, tasks []*worker.Task) []worker.Verdict { // as layer 1 does
		verdicts := make([]worker.Verdict, len(tasks))
		for i, task := range tasks {
			refused := pipelines.Expired(task.Envelope, task.Started)
			if refused == nil {
				t.Errorf("%s was handled before its time", task.State)
				refused = pipelines.Fail(messages.ReasonCrash, "")
			}
			pipelines.End(task.Envelope, messages.LayerCorporate, refused, time.Now())
			verdicts[i] = advance(task, messages.StateDone)
		}
		return verdicts
	}
	b.start(&layer{handle: deciding}, func(o *worker.Options) {
		hold := o.Queues[0]
		hold.Name, hold.Holds = "corporate-hold-std-0", true
		o.Queues = append(o.Queues, hold)
	})
	for _, state := range []messages.State{messages.StateAI, messages.StateHold} {
		e := envelope()
		e.NotBefore, e.NotAfter = time.Now().Add(time.Hour), time.Now().Add(300*time.Millisecond)
		b.put(string(state), state, 0, e)
		b.hears("state done")
		if end := b.ended(string(state)).End; end.Status != messages.StatusTimeout || end.Reason != messages.ReasonDeadlinePassed {
			t.Errorf("%s ended as %+v", state, end)
		}
	}
}

func TestADeadlineThatPassedInAQueueEndsTheRequestThere(t *testing.T) {
	b := setup(t)
	b.start(&layer{handle: advancing(messages.StateDone)}, func(o *worker.Options) { o.Queues[0].Name = "optimizer-std-0" })
	e := envelope()
	e.NotAfter = time.Now().Add(-time.Second)
	b.put("r1", messages.StateOptimizer, 0, e)
	b.hears("state done")
	if end := b.ended("r1").End; end.Status != messages.StatusTimeout {
		t.Errorf("%+v", end)
	}
}
