package directory_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"flowgate/messages"
	"flowgate/pipelines/corporate"
	"flowgate/worker/directory"
	"flowgate/worker/postgres"
)

// source is a directory that can be away, or not answer.
type source struct {
	mu       sync.Mutex
	revision int64
	entries  []postgres.DirectoryEntry
	err      error
	hangs    bool
	slow     time.Duration
	reads    int
}

// answers waits for the end of the context where the source hangs.
func (s *source) answers(ctx context.Context) error {
	s.mu.Lock()
	hangs, slow := s.hangs, s.slow
	s.mu.Unlock()
	select {
	case <-time.After(slow):
	case <-ctx.Done():
	}
	if hangs {
		<-ctx.Done()
	}
	return ctx.Err()
}

func (s *source) DirectoryRevision(ctx context.Context) (int64, error) {
	if err := s.answers(ctx); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.revision, s.err
}

func (s *source) DirectorySince(ctx context.Context, since int64) (int64, []postgres.DirectoryEntry, error) {
	if err := s.answers(ctx); err != nil {
		return 0, nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	var newer []postgres.DirectoryEntry
	for _, e := range s.entries {
		if e.Revision > since {
			newer = append(newer, e)
		}
	}
	return s.revision, newer, s.err
}

// put adds an entry of a person; with no state it removes them.
func (s *source) put(tenant, name string, state messages.PersonState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revision++
	e := postgres.DirectoryEntry{Tenant: tenant, Revision: s.revision, Entry: corporate.Entry{Kind: corporate.EntryPerson, Name: name}}
	if state != "" {
		e.Person = &messages.Person{State: state}
	}
	s.entries = append(s.entries, e)
}

func (s *source) set(err error, hangs bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err, s.hangs = err, hangs
}

// takes is how long each answer takes from now on.
func (s *source) takes(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.slow = d
}

// watched runs a test with a running watch.
func watched(t *testing.T, test func(*testing.T, *source, *directory.Watch)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &source{}
		w := directory.New(directory.Options{Source: s, Logger: zap.NewNop()})
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { w.Run(ctx) })
		defer running.Wait()
		defer cancel()
		test(t, s, w)
	})
}

func stateOf(t *testing.T, w *directory.Watch, tenant, name string) messages.PersonState {
	t.Helper()
	d, err := w.Tenant(t.Context(), tenant)
	if err != nil {
		t.Fatal(err)
	}
	if d == nil {
		return ""
	}
	return d.People[name].State
}

func TestWhoIsSuspendedIsKnownWithinASecond(t *testing.T) {
	watched(t, func(t *testing.T, s *source, w *directory.Watch) {
		if d, err := w.Tenant(t.Context(), "acme"); d != nil || err != nil {
			t.Fatalf("got %+v, %v", d, err)
		}
		s.put("acme", "anna", messages.PersonActive)
		s.put("other", "anna", messages.PersonActive)
		time.Sleep(time.Second)
		before, err := w.Tenant(t.Context(), "acme")
		if err != nil || before.People["anna"].State != messages.PersonActive {
			t.Fatalf("got %+v, %v", before, err)
		}
		s.put("acme", "anna", messages.PersonSuspended)
		time.Sleep(time.Second)
		if got := stateOf(t, w, "acme", "anna"); got != messages.PersonSuspended {
			t.Errorf("after a second anna is %q", got)
		}
		if stateOf(t, w, "other", "anna") != messages.PersonActive || before.People["anna"].State != messages.PersonActive {
			t.Error("another directory, or a copy that was given out, was changed")
		}
		s.put("acme", "anna", "")
		time.Sleep(time.Second)
		if d, err := w.Tenant(t.Context(), "acme"); d != nil || err != nil {
			t.Errorf("with nobody left: %+v, %v", d, err)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.reads != 4 {
			t.Errorf("read %d times, want once at first and once a change", s.reads)
		}
	})
}

func TestNobodyDecidesByStaleKnowledge(t *testing.T) {
	watched(t, func(t *testing.T, s *source, w *directory.Watch) {
		s.put("acme", "anna", messages.PersonActive)
		time.Sleep(time.Second)
		stateOf(t, w, "acme", "anna")
		away := errors.New("away")
		s.set(away, false)
		time.Sleep(2 * time.Second)
		if _, err := w.Tenant(t.Context(), "acme"); !errors.Is(err, directory.ErrStale) || !errors.Is(err, away) {
			t.Errorf("away: %v", err)
		}
		// It comes back as it was earlier, and then grew past the revision that was known: everything is read anew.
		s.mu.Lock()
		s.entries, s.revision = nil, 0
		s.mu.Unlock()
		s.put("acme", "ben", messages.PersonActive)
		s.put("acme", "cleo", messages.PersonActive)
		s.set(nil, false)
		time.Sleep(time.Second)
		if stateOf(t, w, "acme", "anna") != "" || stateOf(t, w, "acme", "ben") == "" {
			t.Error("what was set back is still known")
		}
		s.set(nil, true)
		time.Sleep(time.Second) // the copy is stale, and a look hangs
		began := time.Now()
		if _, err := w.Tenant(t.Context(), "acme"); !errors.Is(err, directory.ErrStale) || time.Since(began) > 3*time.Second {
			t.Errorf("hanging: %v after %s", err, time.Since(began))
		}
		s.set(nil, false)
		time.Sleep(4 * time.Second)
		if stateOf(t, w, "acme", "ben") == "" {
			t.Error("it is not read again")
		}
	})
}

func TestAWaitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := directory.New(directory.Options{Source: &source{}, Logger: zap.NewNop()}) // nobody runs it
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := w.Tenant(ctx, "acme"); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}

// A source that is slow is not believed late, and does not hold up who asks for longer than it may.
func TestASlowSourceIsWaitedForNoLongerThanItMay(t *testing.T) {
	watched(t, func(t *testing.T, s *source, w *directory.Watch) {
		s.put("acme", "anna", messages.PersonActive)
		time.Sleep(time.Second)
		s.takes(1200 * time.Millisecond)
		time.Sleep(3 * time.Second)
		for _, tenant := range []string{"acme", "none"} { // a tenant without a directory may have one by now
			began := time.Now()
			if _, err := w.Tenant(t.Context(), tenant); !errors.Is(err, directory.ErrStale) || time.Since(began) > 3*time.Second {
				t.Errorf("%s: %v after %s", tenant, err, time.Since(began))
			}
		}
		now, cancel := context.WithCancel(t.Context())
		cancel()
		began := time.Now()
		if _, err := w.Tenant(now, "acme"); !errors.Is(err, directory.ErrStale) || time.Since(began) != 0 {
			t.Errorf("who does not wait: %v after %s", err, time.Since(began))
		}
		s.takes(500 * time.Millisecond)
		s.put("acme", "anna", messages.PersonSuspended)
		time.Sleep(2 * time.Second)
		began = time.Now()
		if got := stateOf(t, w, "acme", "anna"); got != messages.PersonSuspended || time.Since(began) > time.Second {
			t.Errorf("anna is %q after %s", got, time.Since(began))
		}
		s.takes(0)
		time.Sleep(time.Second)
		if d, err := w.Tenant(now, "acme"); err != nil || d == nil {
			t.Errorf("what is fresh is not had at once: %v", err)
		}
	})
}
