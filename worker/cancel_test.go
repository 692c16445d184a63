package worker_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"flowgate/messages"
	"flowgate/pipelines"
	"flowgate/worker"
)

func (b *bundle) canceller() *worker.Canceller {
	return &worker.Canceller{Hop: b.hop, Leader: b.lead, Partitions: 1, Now: time.Now}
}

// ended waits until a request has ended, and reads how.
func (b *bundle) ended(id string) *messages.Envelope {
	b.t.Helper()
	waitFor(b.t, func() bool { return b.newest(id).State == messages.StateDone }) // what is said is not stored yet
	e, err := messages.DecodeEnvelope(b.newest(id).Data)
	if err != nil || e.End == nil {
		b.t.Fatalf("%s ended as %+v, %v", id, e, err)
	}
	return e
}

// TestALayerLooksBeforeItActs: whatever keeps a cancelled request waiting, its layer ends it instead of handing it on.
func TestALayerLooksBeforeItActs(t *testing.T) {
	for name, wait := range map[string]func(*board, *messages.Envelope){
		"its turn":        func(*board, *messages.Envelope) {},
		"a delayed retry": func(_ *board, e *messages.Envelope) { e.NotBefore = time.Now().Add(time.Hour) },
		"a pause":         func(c *board, _ *messages.Envelope) { c.set(worker.PauseTenant, "acme") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			var c board
			e := envelope()
			wait(&c, e)
			c.cancelled("r1")
			b.start(&layer{handle: advancing(messages.StateOptimizer)}, func(o *worker.Options) { governed(o, &c) })
			seq := b.put("r1", messages.StateAI, 0, e)
			done, before := b.hears("state done")
			if strings.Contains(strings.Join(before, " "), "optimizer") || done.Header.Get(messages.HeaderReason) != "cancelled" {
				t.Errorf("said %q, header %v", before, done.Header)
			}
			b.hears(fmt.Sprintf("ack %d +ACK", seq))
			end := b.ended("r1").End
			if end.Replayable || end.Status != messages.StatusFailure || !strings.Contains(end.Message(), "by ops: sent by mistake") {
				t.Errorf("%+v", end)
			}
		})
	}
}

// TestACancelLeavesToLayer1WhatASleeperWrote: what would have refused it is purged, and the request may have ended.
func TestACancelLeavesToLayer1WhatASleeperWrote(t *testing.T) {
	b := setup(t)
	b.purged()
	waits, slept := envelope(), envelope()
	waits.Base, slept.Slept = 1, &messages.Slept{State: messages.StateDone}
	for id, e := range map[string]*messages.Envelope{"waits": waits, "slept": slept} {
		seq := b.put(id, messages.StateHold, 0, e)
		done, err := b.canceller().End(t.Context(), key(id), 0, pipelines.Cancelled("by ops"))
		if err != nil || done.Here || done.End != nil || done.Was != messages.StateHold {
			t.Errorf("%s: %+v, %v", id, done, err)
		}
		if n := b.newest(id); n.Seq != seq {
			t.Errorf("%s became %s", id, n.State)
		}
	}
}

func TestACancelEndsEveryStateAtOnce(t *testing.T) {
	b := setup(t)
	why := pipelines.Cancelled("by ops")
	for state, layer := range map[messages.State]messages.LayerName{
		messages.StateHold: messages.LayerCorporate, messages.StateAI: messages.LayerAI, messages.StateOptimizer: messages.LayerOptimizer,
	} {
		id := string(state)
		e := envelope()
		e.NotBefore = time.Now().Add(time.Hour)
		b.put(id, state, 0, e)
		done, err := b.canceller().End(t.Context(), key(id), 0, why)
		if err != nil || !done.Here || done.Was != state {
			t.Fatalf("%s: %+v, %v", state, done, err)
		}
		end := b.ended(id)
		if end.End.Reason != messages.ReasonCancelled || end.End.Layer != layer || len(end.Request) > 0 {
			t.Errorf("%s: %+v", state, end.End)
		}
		again, err := b.canceller().End(t.Context(), key(id), 0, why)
		if err != nil || again.Here || again.End == nil || again.End.Reason != messages.ReasonCancelled {
			t.Errorf("%s again: %+v, %v", state, again, err)
		}
	}
}

func TestACancelOfACallLeavesItInDoubtAtItsBound(t *testing.T) {
	b := setup(t)
	e := envelope()
	e.NotAfter = time.Now().Add(time.Hour)
	input := b.put("r1", messages.StateAI, 0, e)
	b.put("r1", messages.StateCalling, input, &messages.Calling{
		V: 1, InputSeq: input, Worker: "w2", Attempt: messages.Attempt{K: 2, BoundMicroUSD: 900},
		History: []messages.Attempt{{K: 1, Class: "transient"}},
	})
	at, err := b.canceller().Find(t.Context(), key("r1"))
	if err != nil || at.State != messages.StateCalling || !at.NotAfter.Equal(e.NotAfter) {
		t.Errorf("found %+v, %v", at, err)
	}
	if done, err := b.canceller().End(t.Context(), key("r1"), 0, pipelines.Cancelled("")); err != nil || !done.Here {
		t.Fatalf("%+v, %v", done, err)
	}
	end := b.ended("r1")
	if len(end.History) != 2 || end.History[1].Billing != messages.BillingInDoubt || end.End.CostMicroUSD != 900 || end.AI == nil || end.AI.Attempts != 2 {
		t.Errorf("%+v, %+v", end.End, end.History)
	}
}

// TestACancelWinsAgainstWhoeverMovesTheRequest: it is told again with the newest state until it ended, or somebody else did.
func TestACancelWinsAgainstWhoeverMovesTheRequest(t *testing.T) {
	b := setup(t)
	seq := b.put("r1", messages.StateAI, 0, envelope())
	ctx, stop := context.WithCancel(t.Context())
	var mover sync.WaitGroup
	moved := make(chan struct{}, 1)
	mover.Go(func() {
		for ctx.Err() == nil {
			data, err := messages.EncodeEnvelope(envelope())
			if err != nil {
				t.Error(err)
				return
			}
			r := b.hop.Publish(ctx, []*worker.Publication{{Address: address("r1", messages.StateAI), Data: data, Expect: seq}})[0]
			if r.Fate != worker.FateStored {
				return
			}
			seq = r.Seq
			select {
			case moved <- struct{}{}:
			default:
			}
		}
	})
	<-moved
	done, err := b.canceller().End(t.Context(), key("r1"), 0, pipelines.Cancelled(""))
	if err != nil || !done.Here {
		t.Errorf("%+v, %v", done, err)
	}
	mover.Wait()
	stop()
	b.ended("r1")
}

func TestFindTellsHowARequestStands(t *testing.T) {
	b := setup(t)
	c := b.canceller()
	if _, err := c.Find(t.Context(), key("nobody")); !errors.Is(err, worker.ErrNotFound) {
		t.Errorf("unknown: %v", err)
	}
	publish := func(subject, body string) {
		t.Helper()
		if _, err := b.js.Publish(t.Context(), subject, []byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	end := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	publish(messages.RequestSubject(messages.ClassRT, key("new")), fmt.Sprintf(`{"not_after":%q}`, end.Format(time.RFC3339)))
	if at, err := c.Find(t.Context(), key("new")); err != nil || at.State != "" || !at.NotAfter.Equal(end) || !at.Open() {
		t.Errorf("submitted: %+v, %v", at, err)
	}
	if done, err := c.End(t.Context(), key("new"), 0, pipelines.Cancelled("")); err != nil || done.End != nil {
		t.Errorf("what no layer has seen was ended from outside: %+v, %v", done, err)
	}
	failed := envelope()
	pipelines.End(failed, messages.LayerAI, pipelines.Fail(messages.ReasonCrash, ""), time.Now())
	b.put("failed", messages.StateDone, 0, failed)
	if at, err := c.Find(t.Context(), key("failed")); err != nil || at.Open() || at.End.Reason != messages.ReasonCrash {
		t.Errorf("failed: %+v, %v", at, err)
	}
	publish(messages.ReplaySubject(messages.ClassStd, key("failed"), 1), `{}`)
	if at, err := c.Find(t.Context(), key("failed")); err != nil || !at.Open() || at.Epoch != 1 || at.State != "" {
		t.Errorf("replayed: %+v, %v", at, err)
	}
}

func TestWordsAboutBatches(t *testing.T) {
	for id, want := range map[string]string{"a1b2-7": "a1b2", "a-b-12": "a-b", "a-0": "", "a-x": "", "-3": "", "plain": "", "a-": ""} {
		if got, ok := worker.BatchOf(id); ok != (want != "") || ok && got != want {
			t.Errorf("%q is of %q, %t", id, got, ok)
		}
	}
	now := time.Now()
	c := worker.Cancellation{Batch: true, At: now}
	if !c.Covers(0, now.Add(time.Hour)) || c.Covers(1, now.Add(time.Hour)) || !c.Covers(1, now.Add(-time.Hour)) {
		t.Error("a batch covers every line, and the replays of before")
	}
}
