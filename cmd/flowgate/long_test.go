package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"flowgate/messages"
	"flowgate/worker/results"
)

// long asks for the forms that take minutes and report figures (`make load`); the short ones of `make test` judge no time.
var long = os.Getenv("FLOWGATE_LONG") != ""

func crowdRequest() []byte { return []byte(`{"prompt":"Say OK","audit_reason":"a crowd of requests"}`) }

// crowd publishes n requests of a class as a plain producer does, many at once.
func crowd(t *testing.T, conn *nats.Conn, class messages.Class, name string, from, n int) {
	t.Helper()
	inbox := conn.NewInbox()
	acks := make(chan *nats.Msg, 1024)
	sub, err := conn.ChanSubscribe(inbox, acks)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sub.Unsubscribe() }() // the test ends
	late := time.NewTimer(patience)
	for sent, acked := 0, 0; acked < n; {
		for ; sent < n && sent-acked < cap(acks)/2; sent++ {
			key := messages.Key{Tenant: "default", ID: fmt.Sprintf("%s-%d", name, from+sent)}
			if err := conn.PublishRequest(messages.RequestSubject(class, key), inbox, crowdRequest()); err != nil {
				t.Fatal(err)
			}
		}
		late.Reset(patience)
		select {
		case ack := <-acks:
			if strings.Contains(string(ack.Data), "error") || len(ack.Data) == 0 {
				t.Fatalf("a request was not stored: %s", ack.Data)
			}
			acked++
		case <-late.C:
			t.Fatalf("%d of %d requests were stored", acked, n)
		}
	}
}

// weight follows the memory of a process.
type weight struct {
	mu  sync.Mutex
	all []int
}

func (w *weight) follow(ctx context.Context, t *testing.T, pid int) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		mb, err := resident(pid)
		if err != nil {
			t.Error(err)
			return
		}
		w.mu.Lock()
		w.all = append(w.all, mb)
		w.mu.Unlock()
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// resident is what the pages of a process in memory weigh, in MB.
func resident(pid int) (kb int, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	_, rest, found := strings.Cut(string(text), "VmRSS:")
	if !found {
		return 0, fmt.Errorf("no VmRSS in %s", text)
	}
	_, err = fmt.Sscanf(rest, "%d", &kb)
	return kb / 1024, err
}

// around is the median of the samples about one moment, in MB.
func (w *weight) around(i int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	i = min(max(i, 0), len(w.all)-1)
	near := slices.Sorted(slices.Values(w.all[max(0, i-10):min(len(w.all), i+10)]))
	return near[len(near)/2]
}

const slowSettings = "cost_optimization: {enabled: false}\nflowgate:\n  listen: 127.0.0.1:0\n  sync: interval\n  hold: 2m\n  backends: {offline: {latency: "

// TestACrowdOfBatchRequestsKeepsNobodyWaiting: many requests of class batch wait for a slow backend, and one of class rt a
// second passes them. The long form has 200,000 of them for 300 seconds.
func TestACrowdOfBatchRequestsKeepsNobodyWaiting(t *testing.T) {
	n, people, each, latency := 2000, 3, 100*time.Millisecond, "3s"
	if long {
		n, people, each, latency = 200_000, 300, time.Second, "200ms"
	} else {
		t.Parallel()
	}
	g := newGround(t, slowSettings+latency+"}}\n")
	up := g.up()
	conn := producer(t, up.ready().NATSURL)
	crowd(t, conn, messages.ClassBatch, "crowd", 0, n)
	ctx, cancel := context.WithCancel(t.Context())
	var w weight
	var following sync.WaitGroup
	following.Go(func() { w.follow(ctx, t, up.cmd.Process.Pid) })
	tick := time.NewTicker(each)
	defer tick.Stop()
	waits := make([]time.Duration, people)
	var all sync.WaitGroup
	for i := range people {
		<-tick.C
		all.Go(func() {
			key := messages.Key{Tenant: "default", ID: fmt.Sprintf("person-%d", i)}
			asking, done := context.WithTimeout(ctx, patience)
			defer done()
			began := time.Now()
			_, err := conn.RequestWithContext(asking, messages.RequestSubject(messages.ClassRT, key), crowdRequest())
			var r messages.Result
			if err == nil {
				r, err = results.Wait(asking, conn, key, 0)
			}
			if waits[i] = time.Since(began); err != nil || r.Status != messages.StatusSuccess {
				t.Errorf("%s: %+v, %v", key, r, err)
			}
		})
	}
	all.Wait()
	cancel()
	following.Wait()
	last := messages.Key{Tenant: "default", ID: fmt.Sprintf("crowd-%d", n-1)}
	if r, err := results.Get(t.Context(), conn, last); err != nil || r.State != messages.ResultPending {
		t.Errorf("nobody waited any more: %+v, %v", r, err)
	}
	slices.Sort(waits)
	const steady = 150 // seconds: by then what is kept for two minutes has come to its measure
	early, late := w.around(steady), w.around(1<<30)
	t.Logf("%d pending: memory at first %d MB, %d MB after %d s, at the end %d MB; rt p50 %s p95 %s worst %s", n, w.around(10), early, steady, late,
		waits[people/2].Round(time.Millisecond), waits[people*95/100].Round(time.Millisecond), waits[people-1].Round(time.Millisecond))
	if long && late > early+early/10 && late > early+32 {
		t.Errorf("memory grew from %d to %d MB", early, late)
	}
	up.kill() // what waits is not waited for
}

// TestMemoryIsLevelUnderASteadyLoad compares minute 4 with minute 10: streams are held for two minutes.
func TestMemoryIsLevelUnderASteadyLoad(t *testing.T) {
	if !long {
		t.Skip("takes ten minutes: FLOWGATE_LONG=1")
	}
	g := newGround(t, slowSettings+"1ms}}\n")
	up := g.up()
	conn := producer(t, up.ready().NATSURL)
	ctx, cancel := context.WithCancel(t.Context())
	var w weight
	var following sync.WaitGroup
	following.Go(func() { w.follow(ctx, t, up.cmd.Process.Pid) })
	const rate = 50
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for second := range 600 {
		<-tick.C
		crowd(t, conn, messages.ClassStd, "steady", second*rate, rate)
	}
	cancel()
	following.Wait()
	early, late := w.around(240), w.around(1<<30)
	t.Logf("%d requests a second, held for 2m: %d MB at minute 4, %d MB at minute 10", rate, early, late)
	if late > early+early/10 && late > early+32 {
		t.Errorf("memory grew from %d to %d MB", early, late)
	}
	up.stop()
}
