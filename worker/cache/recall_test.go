package cache_test

import (
	"errors"
	"testing"
	"time"

	"flowgate/worker/cache"
)

// recalling asks, and counts how often something is made of what is found.
func recalling(asked string, made *int) cache.Ask {
	a := ask(asked)
	a.Recall = func(e *cache.Entry) (any, error) {
		*made++
		return string(e.Response), nil
	}
	return a
}

func TestWhatIsMadeOfAnAnswerIsMadeOnce(t *testing.T) {
	dir, made := t.TempDir(), 0
	open(t, dir).Put(t.Context(), answer("a", time.Now()))
	c := open(t, dir)
	for _, level := range []cache.Level{cache.LevelDisk, cache.LevelMemory, cache.LevelMemory} {
		e, found, _ := c.Get(t.Context(), recalling("a", &made))
		if found != level || e.Recalled != string(e.Response) || made != 1 {
			t.Errorf("%v at %q, made %d times", e.Recalled, found, made)
		}
	}
	other := answer("a", time.Now())
	other.Expires = other.Expires.Add(time.Minute)
	c.Put(t.Context(), other)
	if e, _, _ := c.Get(t.Context(), recalling("a", &made)); e.Recalled == nil || made != 2 {
		t.Errorf("of another answer: %v, made %d times", e.Recalled, made)
	}
	if wantHit(t, c, "a", cache.LevelMemory); c.Stats().Misses != 0 {
		t.Error("who makes nothing of it finds it as well")
	}
}

func TestAnAnswerOfWhichNothingCanBeMadeIsAMiss(t *testing.T) {
	c := open(t, t.TempDir())
	c.Put(t.Context(), answer("a", time.Now()))
	a := ask("a")
	a.Recall = func(*cache.Entry) (any, error) { return nil, errors.New("nothing") }
	if _, level, hit := c.Get(t.Context(), a); hit || c.Stats().Misses != 1 || c.Stats().Hits() != 0 {
		t.Errorf("%v at %q: %+v", hit, level, c.Stats())
	}
}

func TestMemoryIsBoundedWithWhatIsMadeOfAnswers(t *testing.T) {
	made, most := 0, int64(20_000)
	c := open(t, "", func(o *cache.Options) { o.MemoryBytes = most })
	for i := range 100 {
		c.Put(t.Context(), answer(numbered(i), time.Now()))
	}
	full := c.Stats()
	for i := range 100 {
		c.Get(t.Context(), recalling(numbered(i), &made))
		if s := c.Stats(); s.MemoryBytes > most || s.MemoryBytes <= most/2 {
			t.Fatalf("%+v", s)
		}
	}
	if s := c.Stats(); made == 0 || made > full.MemoryEntries || s.MemoryEntries >= full.MemoryEntries {
		t.Errorf("made %d times: %+v, before %+v", made, s, full)
	}
}
