package control_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"flowgate/worker"
	"flowgate/worker/control"
	"flowgate/worker/workertest"
)

const beat = 100 * time.Millisecond

func setup(t *testing.T) jetstream.JetStream {
	t.Helper()
	_, js := workertest.Conn(t, workertest.Server(t))
	workertest.Topology(t, js, nil)
	return js
}

func watch(t *testing.T, js jetstream.JetStream) *control.Watch {
	t.Helper()
	w := control.New(control.Options{JS: js, Worker: "w1", Heartbeat: beat})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { w.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	return w
}

// until waits for what another goroutine brings about.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(10 * time.Second)
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("never: " + what)
		}
	}
}

func pause(kind worker.PauseKind, name, reason string) control.Pause {
	return control.Pause{Kind: kind, Name: name, Reason: reason, By: "ops", Since: time.Now()}
}

func TestAPauseIsKnownEverywhereUntilItIsCleared(t *testing.T) {
	js := setup(t)
	before := pause(worker.PauseTenant, "early", "set before anybody watched")
	if _, _, err := control.Set(t.Context(), js, before); err != nil {
		t.Fatal(err)
	}
	a, b := watch(t, js), watch(t, js)
	for _, name := range []string{"[Cost Analysis]", "a.b.c", "größe *>", "x"} {
		set, changed, err := control.Set(t.Context(), js, pause(worker.PauseAgreement, name, "audit"))
		if err != nil || !changed || set.Version == 0 {
			t.Fatalf("%q: changed %t, version %d, %v", name, changed, set.Version, err)
		}
		for _, w := range []*control.Watch{a, b} {
			until(t, "paused "+name, func() bool { _, paused := w.Paused(worker.PauseAgreement, name); return paused })
			if p, _ := w.Paused(worker.PauseAgreement, name); p.Reason != "audit" || p.By != "ops" || p.Version != set.Version || w.Version() < p.Version {
				t.Errorf("%+v, version %d", p, w.Version())
			}
			if _, paused := w.Paused(worker.PauseTenant, name); paused {
				t.Error("another kind of the same name is paused")
			}
		}
	}
	if _, paused := a.Paused(worker.PauseTenant, "early"); !paused {
		t.Error("what was set before is not known")
	}
	pauses, err := control.List(t.Context(), js)
	if err != nil || len(pauses) != 5 || pauses[0].Kind != worker.PauseAgreement || pauses[4].Name != "early" {
		t.Errorf("listed %+v, %v", pauses, err)
	}
	if was, cleared, err := control.Clear(t.Context(), js, worker.PauseAgreement, "a.b.c"); err != nil || !cleared || was.Reason != "audit" {
		t.Errorf("cleared %t, was %+v, %v", cleared, was, err)
	}
	until(t, "resumed", func() bool { _, paused := b.Paused(worker.PauseAgreement, "a.b.c"); return !paused })
	if _, cleared, err := control.Clear(t.Context(), js, worker.PauseAgreement, "a.b.c"); err != nil || cleared {
		t.Errorf("cleared again: %t, %v", cleared, err)
	}
}

func TestPausingAgainKeepsSinceAndTellsWhetherAnythingChanged(t *testing.T) {
	js := setup(t)
	first, _, err := control.Set(t.Context(), js, pause(worker.PauseLayer, "ai_processing", "one"))
	if err != nil {
		t.Fatal(err)
	}
	again := pause(worker.PauseLayer, "ai_processing", "one")
	again.Since = again.Since.Add(time.Hour)
	if p, changed, err := control.Set(t.Context(), js, again); err != nil || changed || p.Version != first.Version {
		t.Errorf("same: changed %t, %+v, %v", changed, p, err)
	}
	again.Reason = "two"
	p, changed, err := control.Set(t.Context(), js, again)
	if err != nil || !changed || !p.Since.Equal(first.Since) || p.Version <= first.Version {
		t.Errorf("other reason: changed %t, %+v, %v", changed, p, err)
	}
}

func TestWhatCannotBeReadIsAPauseAllTheSame(t *testing.T) {
	js := setup(t)
	kv, err := js.KeyValue(t.Context(), control.Bucket)
	if err != nil {
		t.Fatal(err)
	}
	for key, value := range map[string]string{
		"pause.layer.ai_processing": "{", "pause.tenant.acme": `{"v":1,"reason":"` + strings.Repeat("x", 10<<10) + `"}`,
		"pause.nothing.x": "{}", "pause.class.=zz": "{}", "other": "",
	} {
		if _, err := kv.PutString(t.Context(), key, value); err != nil {
			t.Fatal(err)
		}
	}
	pauses, err := control.List(t.Context(), js)
	if err != nil || len(pauses) != 2 {
		t.Fatalf("listed %+v, %v", pauses, err)
	}
	for _, p := range pauses {
		if !p.Unreadable || p.Reason == "" || len(p.Reason) > control.MaxReason {
			t.Errorf("%+v", p)
		}
	}
	w := watch(t, js)
	until(t, "paused", func() bool { _, paused := w.Paused(worker.PauseLayer, "ai_processing"); return paused })
}

func TestBadPausesAreRefused(t *testing.T) {
	js := setup(t)
	for name, p := range map[string]control.Pause{
		"kind": pause("planet", "x", "r"), "name": pause(worker.PauseTenant, " ", "r"), "reason": pause(worker.PauseTenant, "x", ""),
		"long name": pause(worker.PauseTenant, strings.Repeat("x", control.MaxName+1), "r"),
		"two lines": pause(worker.PauseTenant, "x", "a\nb"), "no text": pause(worker.PauseTenant, "x\xff", "r"),
		"long reason": pause(worker.PauseTenant, "x", strings.Repeat("x", control.MaxReason+1)),
	} {
		if _, _, err := control.Set(t.Context(), js, p); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// TestOneOfManyWritesTheHeartbeat: nobody is silent, and not everybody writes.
func TestOneOfManyWritesTheHeartbeat(t *testing.T) {
	js := setup(t)
	kv, err := js.KeyValue(t.Context(), control.Bucket)
	if err != nil {
		t.Fatal(err)
	}
	watcher, err := kv.Watch(t.Context(), "heartbeat")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = watcher.Stop() }()
	var watches []*control.Watch
	for range 5 {
		watches = append(watches, watch(t, js))
	}
	began := time.Now()
	const beats = 8
	for heard := 0; heard < beats; {
		if entry := <-watcher.Updates(); entry != nil {
			heard++
		}
		for _, w := range watches {
			if s := w.Silent(); s > 10*beat {
				t.Fatalf("silent for %s", s)
			}
		}
	}
	if took := time.Since(began); took < beats*beat/3 {
		t.Errorf("%d heartbeats in %s: everybody writes", beats, took)
	}
}

func TestADeletedBucketIsSilenceAndANewOneIsHeard(t *testing.T) {
	js := setup(t)
	w := watch(t, js)
	if _, _, err := control.Set(t.Context(), js, pause(worker.PauseTenant, "acme", "r")); err != nil {
		t.Fatal(err)
	}
	until(t, "paused", func() bool { _, paused := w.Paused(worker.PauseTenant, "acme"); return paused })
	if err := js.DeleteKeyValue(t.Context(), control.Bucket); err != nil {
		t.Fatal(err)
	}
	until(t, "silent", func() bool { return w.Silent() > 5*beat })
	if _, paused := w.Paused(worker.PauseTenant, "acme"); !paused {
		t.Error("silence resumes")
	}
	if _, err := control.List(t.Context(), js); err == nil || !strings.Contains(err.Error(), "topology") {
		t.Errorf("listing without a bucket: %v", err)
	}
	if _, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: control.Bucket}); err != nil {
		t.Fatal(err)
	}
	until(t, "heard again", func() bool { return w.Silent() < 2*beat })
	until(t, "resumed", func() bool { _, paused := w.Paused(worker.PauseTenant, "acme"); return !paused })
	if _, _, err := control.Set(t.Context(), js, pause(worker.PauseTenant, "acme", "r")); err != nil {
		t.Fatal(err)
	}
	until(t, "paused again", func() bool { _, paused := w.Paused(worker.PauseTenant, "acme"); return paused })
}

func TestTenThousandPausesHoldAndNoMore(t *testing.T) {
	js := setup(t)
	w := watch(t, js)
	for i := range control.MaxPauses {
		body := `{"v":1,"reason":"r","since":"2026-01-01T00:00:00Z"}`
		if err := js.Conn().Publish(fmt.Sprintf("$KV.%s.pause.tenant.t%d", control.Bucket, i), []byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "all known", func() bool {
		_, paused := w.Paused(worker.PauseTenant, fmt.Sprintf("t%d", control.MaxPauses-1))
		return paused
	})
	if _, _, err := control.Set(t.Context(), js, pause(worker.PauseTenant, "more", "r")); err == nil {
		t.Error("one more was taken")
	}
	if pauses, err := control.List(t.Context(), js); err != nil || len(pauses) != control.MaxPauses {
		t.Errorf("%d listed, %v", len(pauses), err)
	}
	late := watch(t, js)
	until(t, "all known to a newcomer", func() bool { _, paused := late.Paused(worker.PauseTenant, "t0"); return paused })
}

// TestWhatEndedPausesLeaveIsSweptAndNothingElse: a pause that is set anew under the name of an ended one stays, and so does
// the newest entry of all.
func TestWhatEndedPausesLeaveIsSweptAndNothingElse(t *testing.T) {
	js := setup(t)
	set := func(name string) {
		t.Helper()
		if _, _, err := control.Set(t.Context(), js, pause(worker.PauseAgreement, name, "audit")); err != nil {
			t.Fatal(err)
		}
	}
	cleared := func(name string) {
		t.Helper()
		if _, was, err := control.Clear(t.Context(), js, worker.PauseAgreement, name); err != nil || !was {
			t.Fatal(was, err)
		}
	}
	for _, name := range []string{"ended", "größe *>", "again", "stays", "newest"} {
		set(name)
	}
	for _, name := range []string{"ended", "größe *>", "again", "newest"} {
		cleared(name)
	}
	set("again")
	set("newest")
	cleared("newest")
	for _, sweep := range []struct {
		age  time.Duration
		want int
	}{{time.Hour, 0}, {-time.Minute, 2}, {-time.Minute, 0}} {
		if n, err := control.Sweep(t.Context(), js, sweep.age); err != nil || n != sweep.want {
			t.Fatalf("swept %d that were removed %s ago, want %d: %v", n, sweep.age, sweep.want, err)
		}
	}
	pauses, err := control.List(t.Context(), js)
	if err != nil || len(pauses) != 2 || pauses[0].Name != "again" || pauses[1].Name != "stays" {
		t.Errorf("%+v, %v", pauses, err)
	}
	stream, err := js.Stream(t.Context(), "KV_"+control.Bucket)
	if err != nil {
		t.Fatal(err)
	}
	if n := stream.CachedInfo().State.Msgs; n != 3 {
		t.Errorf("the bucket has %d entries", n)
	}
}
