package cache_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"flowgate/worker/cache"
)

// run runs a cache until the returned function is called, which waits for its end.
func run(t *testing.T, c *cache.Cache) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { c.Run(ctx) })
	return func() { cancel(); running.Wait() }
}

func survey(t *testing.T, dir string) cache.Surveyed {
	t.Helper()
	s, err := cache.Survey(dir, time.Now())
	must(t, err)
	return s
}

func TestCountersOfAllProcessesAddUpAndOutliveThem(t *testing.T) {
	dir := t.TempDir()
	if s := survey(t, filepath.Join(dir, "none")); len(s.Families) != 0 || s.Total.Hits != 0 {
		t.Errorf("of nothing: %+v", s)
	}
	for range 3 { // one after the other
		var stops []func()
		for range 2 { // and side by side
			c := open(t, dir)
			stop := run(t, c)
			c.Put(t.Context(), answer("a", time.Now()))
			if _, _, found := c.Get(t.Context(), ask("a")); !found { // on disk, where the other one has written it a moment ago
				t.Error("the answer is in no level")
			}
			wantMiss(t, c, "b")
			stops = append(stops, stop)
		}
		for _, stop := range stops {
			stop()
		}
	}
	s := survey(t, dir)
	f := s.Families[0]
	if len(s.Families) != 1 || f.Family != family || f.Files != 1 || f.Hits != 6 || f.Misses != 6 || f.Stored != 6 || f.HitRate != 0.5 || f.SavedMicroUSD != 6*330 || f.SavedSeconds != 9 {
		t.Errorf("%+v", f)
	}
	if s.Total.Hits != 6 || s.Total.SizeBytes != f.SizeBytes || f.SizeBytes == 0 || f.Oldest.IsZero() || !f.Newest.Equal(f.Oldest) {
		t.Errorf("%+v", s.Total)
	}
	if files, err := filepath.Glob(filepath.Join(dir, ".counters", "*.json")); err != nil || len(files) > 2 {
		t.Errorf("%v %v", files, err)
	}
	shown, err := cache.List(dir, "", "", 10, time.Now())
	must(t, err)
	if len(shown) != 1 || shown[0].Hits != 6 || shown[0].Model != "claude-3" || !shown[0].Readable || shown[0].SizeBytes == 0 {
		t.Errorf("%+v", shown)
	}
}

func TestCountersMayBeDeletedOrBroken(t *testing.T) {
	dir := t.TempDir()
	c := open(t, dir)
	stop := run(t, c)
	c.Put(t.Context(), answer("a", time.Now()))
	stop()
	must(t, os.RemoveAll(filepath.Join(dir, ".counters")))
	if s := survey(t, dir); s.Total.Stored != 0 || s.Total.Files != 1 {
		t.Errorf("%+v", s.Total)
	}
	must(t, os.MkdirAll(filepath.Join(dir, ".counters"), 0o700))
	for name, text := range map[string]string{"0.json": "{half", "7.json": `{"families":{"../x":{"misses":1}}}`, "8.json": strings.Repeat(" ", 2<<20)} {
		must(t, os.WriteFile(filepath.Join(dir, ".counters", name), []byte(text), 0o600))
	}
	stop = run(t, c)
	wantHit(t, c, "a", cache.LevelMemory)
	stop()
	if s := survey(t, dir); s.Total.Hits != 1 || len(s.Families) != 1 {
		t.Errorf("%+v", s)
	}
}

func TestClearedAnswersAreGoneFromEveryLevel(t *testing.T) {
	dir := t.TempDir()
	c := open(t, dir)
	titan := answer("a", time.Now())
	titan.Family = "titan"
	c.Put(t.Context(), answer("a", time.Now()))
	c.Put(t.Context(), titan)
	n, bytes, err := cache.Clear(t.Context(), dir, family, time.Now())
	if err != nil || n != 1 || bytes == 0 {
		t.Fatal(n, bytes, err)
	}
	wantMiss(t, c, "a")
	if _, _, ok := c.Get(t.Context(), cache.Ask{Family: "titan", Key: keyOf("a")}); !ok {
		t.Error("another family was cleared too")
	}
	c.Put(t.Context(), answer("a", time.Now()))
	wantHit(t, open(t, dir), "a", cache.LevelDisk) // what comes afterwards counts
	if n, _, err := cache.Clear(t.Context(), dir, "", time.Now()); err != nil || n != 2 {
		t.Fatal(n, err)
	}
	wantMiss(t, open(t, dir), "a")
	if n, _, err := cache.Clear(t.Context(), filepath.Join(dir, "none", "yet"), "", time.Now()); err != nil || n != 0 {
		t.Fatal(n, err)
	}
}

func TestPruneRemovesWhatCountsNoMore(t *testing.T) {
	for name, change := range map[string]func(*cache.Options){"plain": func(*cache.Options) {}, "encrypted": sealed} {
		dir := t.TempDir()
		c := open(t, dir, change)
		short := answer("short", time.Now())
		short.Expires = short.Created.Add(time.Minute)
		c.Put(t.Context(), short)
		c.Put(t.Context(), answer("long", time.Now()))
		must(t, os.WriteFile(path(dir, "junk"), []byte("junk"), 0o600))
		if n, _, err := cache.Prune(t.Context(), dir, "titan", time.Now()); n != 0 || err != nil {
			t.Fatal(n, err)
		}
		if n, bytes, err := cache.Prune(t.Context(), dir, "", time.Now().Add(time.Minute)); n != 2 || bytes == 0 || err != nil {
			t.Fatal(name, n, err)
		}
		wantMiss(t, c, "short")
		wantHit(t, c, "long", cache.LevelMemory)
	}
}

func TestListShowsNoTextOfWhatItCannotRead(t *testing.T) {
	dir := t.TempDir()
	open(t, dir, sealed).Put(t.Context(), answer("a", time.Now()))
	shown, err := cache.List(dir, family, "", 10, time.Now())
	must(t, err)
	if len(shown) != 1 || shown[0].Readable || shown[0].Created.IsZero() || len(shown[0].Response) > 0 {
		t.Errorf("%+v", shown)
	}
	shown, err = cache.List(dir, "", secret, 10, time.Now())
	must(t, err)
	if text, err := json.Marshal(shown); err != nil || !strings.Contains(string(text), `"model":"claude-3"`) {
		t.Errorf("%s %v", text, err)
	}
	if shown, err = cache.List(dir, "titan", secret, 10, time.Now()); err != nil || len(shown) != 0 {
		t.Errorf("%+v %v", shown, err)
	}
}
