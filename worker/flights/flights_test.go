package flights_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"flowgate/worker/flights"
	"flowgate/worker/workertest"
)

var question = strings.Repeat("a1", 32)

func bucket(t *testing.T) jetstream.JetStream {
	t.Helper()
	_, js := workertest.Conn(t, workertest.Server(t))
	workertest.Topology(t, js, nil)
	return js
}

// worker runs flights until the test ends, or until it is killed.
func worker(t *testing.T, js jetstream.JetStream, name string, now func() time.Time) (f *flights.Flights, kill func()) {
	t.Helper()
	f = flights.New(flights.Options{JS: js, Worker: name, Now: now})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { f.Run(ctx) })
	kill = sync.OnceFunc(func() { cancel(); wg.Wait() })
	t.Cleanup(kill)
	until(t, "the bucket is watched", func() bool { return f.State().Shared })
	return f, kill
}

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

func landed(t *testing.T, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(10 * time.Second):
		t.Fatal("it never landed")
	}
}

func TestOneOfManyLeadsOnOneWorkerAndOnThree(t *testing.T) {
	for _, workers := range []int{1, 3} {
		t.Run(fmt.Sprint(workers), func(t *testing.T) {
			js := bucket(t)
			all := make([]*flights.Flights, workers)
			for i := range all {
				all[i], _ = worker(t, js, fmt.Sprint("w", i), nil)
			}
			var leads atomic.Int64
			var leader atomic.Value
			var joining, following sync.WaitGroup
			joining.Add(64)
			for i := range 64 {
				following.Go(func() {
					f, name := all[i%workers], fmt.Sprint("acme/r", i)
					lead, told := f.Join(t.Context(), question, name)
					joining.Done()
					if lead {
						leads.Add(1)
						leader.Store(name)
						joining.Wait()
						f.Land(t.Context(), question, name, false)
						return
					}
					landed(t, told)
				})
			}
			following.Wait()
			if leads.Load() != 1 {
				t.Errorf("%d lead", leads.Load())
			}
			until(t, "nothing is on its way", func() bool {
				for _, f := range all {
					if s := f.State(); s.Own+s.Others != 0 {
						return false
					}
				}
				return true
			})
			if lead, _ := all[0].Join(t.Context(), question, "acme/later"); !lead {
				t.Error("a later question follows a flight that has landed")
			}
		})
	}
}

func TestLeaderThatIsTakenUpElsewhereLeadsOn(t *testing.T) {
	js := bucket(t)
	first, kill := worker(t, js, "w1", nil)
	second, _ := worker(t, js, "w2", nil)
	if lead, _ := first.Join(t.Context(), question, "acme/r1"); !lead {
		t.Fatal("nobody leads")
	}
	kill()
	if lead, _ := second.Join(t.Context(), question, "acme/r2"); lead {
		t.Error("another leads while the first may be alive")
	}
	lead, _ := second.Join(t.Context(), question, "acme/r1")
	if !lead {
		t.Fatal("the request that leads does not lead on")
	}
	first.Land(t.Context(), question, "acme/r1", false) // it is late, and must not end what is another's by now
	third, _ := worker(t, js, "w3", nil)
	until(t, "the third hears of it", func() bool { return third.State().Others == 1 })
	if lead, _ := third.Join(t.Context(), question, "acme/r3"); lead {
		t.Error("a late landing ended the flight of who leads now")
	}
}

func TestFlightThatNobodyRenewsIsOver(t *testing.T) {
	js := bucket(t)
	first, kill := worker(t, js, "w1", nil)
	if lead, _ := first.Join(t.Context(), question, "acme/r1"); !lead {
		t.Fatal("nobody leads")
	}
	var later atomic.Int64
	second, _ := worker(t, js, "w2", func() time.Time { return time.Now().Add(time.Duration(later.Load())) })
	until(t, "the second hears of it", func() bool { return second.State().Others == 1 })
	_, told := second.Join(t.Context(), question, "acme/r2")
	kill()
	later.Store(int64(flights.Expiry))
	landed(t, told)
}

func TestWithoutABucketFlightsAreTheProcessesOwn(t *testing.T) {
	f := flights.New(flights.Options{Worker: "w1"})
	lead, told := f.Join(t.Context(), question, "acme/r1")
	if again, _ := f.Join(t.Context(), question, "acme/r1"); !lead || !again {
		t.Error("nobody leads")
	}
	lead, follows := f.Join(t.Context(), question, "acme/r2")
	if lead || follows == nil || told == nil {
		t.Error("two lead")
	}
	f.Land(t.Context(), question, "acme/r2", false) // it does not lead
	f.Land(t.Context(), question, "acme/r1", false)
	landed(t, follows)
}

func TestWhatIsNotForOthersIsAskedByEach(t *testing.T) {
	js := bucket(t)
	first, _ := worker(t, js, "w1", nil)
	second, _ := worker(t, js, "w2", nil)
	if lead, _ := first.Join(t.Context(), question, "acme/r1"); !lead {
		t.Fatal("nobody leads")
	}
	until(t, "the second hears of it", func() bool { return second.State().Others == 1 })
	lead, told := second.Join(t.Context(), question, "acme/r2")
	if lead {
		t.Fatal("two lead")
	}
	first.Land(t.Context(), question, "acme/r1", true)
	landed(t, told)
	for i, f := range []*flights.Flights{first, second, first, second} {
		if lead, _ := f.Join(t.Context(), question, fmt.Sprint("acme/again", i)); !lead {
			t.Errorf("the %d. of them follows another, whose answer is not for it", i+1)
		}
	}
	third, _ := worker(t, js, "w3", nil) // it heard nothing of it before
	if lead, _ := third.Join(t.Context(), question, "acme/later"); !lead {
		t.Error("a process that comes later follows")
	}
}
