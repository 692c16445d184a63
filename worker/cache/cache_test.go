package cache_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"flowgate/worker/cache"
)

func TestAnswerIsFoundInMemoryThenOnDisk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep", "cache")
	c := open(t, dir)
	wantMiss(t, c, "a")
	want := answer("a", time.Now())
	c.Put(t.Context(), want)
	got := wantHit(t, c, "a", cache.LevelMemory)
	again := wantHit(t, open(t, dir), "a", cache.LevelDisk)
	for _, e := range []cache.Entry{got, again} {
		if e.Model != want.Model || e.Backend != want.Backend || e.Usage != want.Usage || e.Seconds != 1.5 || e.CostMicroUSD != 330 || !e.Created.Equal(want.Created) ||
			!e.Expires.Equal(want.Expires) || string(e.Request) != string(want.Request) || e.V != cache.Version {
			t.Errorf("got %+v", e)
		}
	}
	info, err := os.Stat(path(dir, "a"))
	must(t, err)
	folder, err := os.Stat(filepath.Join(dir, family))
	must(t, err)
	if info.Mode().Perm() != 0o600 || folder.Mode().Perm() != 0o700 {
		t.Errorf("modes %v and %v", info.Mode(), folder.Mode())
	}
	s := c.Stats()
	if s.Memory != 1 || s.Misses != 1 || s.Stored != 1 || s.SavedMicroUSD != 330 || s.SavedSeconds != 1.5 || s.MemoryEntries != 1 || s.DiskBytes != info.Size() {
		t.Errorf("%+v", s)
	}
}

func TestAnswersGoWhenTheirTimeIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		c, disk := open(t, dir), open(t, dir, onDisk)
		c.Put(t.Context(), answer("a", time.Now()))
		time.Sleep(time.Hour - time.Nanosecond)
		wantHit(t, c, "a", cache.LevelMemory)
		wantHit(t, disk, "a", cache.LevelDisk)
		for age, want := range map[time.Duration]bool{0: true, time.Hour: true, time.Hour - time.Nanosecond: false, time.Second: false} {
			a := ask("a")
			a.MaxAge = age
			for _, c := range []*cache.Cache{c, disk} {
				if _, _, ok := c.Get(t.Context(), a); ok != want {
					t.Errorf("at most %s old: %t", age, ok)
				}
			}
		}
		time.Sleep(time.Nanosecond)
		wantMiss(t, c, "a")
		if _, err := os.Stat(path(dir, "a")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the expired file is there: %v", err)
		}
	})
}

func TestAnswerThatARequestMayNotHaveIsAMiss(t *testing.T) {
	c := open(t, t.TempDir())
	c.Put(t.Context(), answer("a", time.Now()))
	a := ask("a")
	a.Fits = func(e *cache.Entry) bool { return e.Backend == "anthropic" }
	if _, _, ok := c.Get(t.Context(), a); ok || c.Stats().Hits() != 0 {
		t.Error("it was given all the same")
	}
}

func TestWhatIsNoAnswerIsNotKept(t *testing.T) {
	dir := t.TempDir()
	c := open(t, dir)
	now := time.Now()
	for name, spoil := range map[string]func(*cache.Entry){
		"expired":           func(e *cache.Entry) { e.Created, e.Expires = now.Add(-time.Hour), now },
		"never counting":    func(e *cache.Entry) { e.Expires = e.Created },
		"of the future":     func(e *cache.Entry) { e.Created, e.Expires = now.Add(time.Hour), now.Add(2*time.Hour) },
		"without an answer": func(e *cache.Entry) { e.Response = nil },
		"of broken JSON":    func(e *cache.Entry) { e.Response = json.RawMessage(`{`) },
		"a path as family":  func(e *cache.Entry) { e.Family = "../../etc" },
		"a dot as family":   func(e *cache.Entry) { e.Family = "." },
		"dots as family":    func(e *cache.Entry) { e.Family = ".." },
		"a hidden family":   func(e *cache.Entry) { e.Family = ".counters" },
		"no family":         func(e *cache.Entry) { e.Family = "" },
		"a path as key":     func(e *cache.Entry) { e.Key = "../" + e.Key[3:] },
		"a short key":       func(e *cache.Entry) { e.Key = e.Key[1:] },
		"a key of capitals": func(e *cache.Entry) { e.Key = strings.Repeat("A", 64) },
		"too large": func(e *cache.Entry) {
			e.Request = json.RawMessage(`"` + strings.Repeat("x", cache.MaxEntryBytes) + `"`)
		},
		"of a negative price": func(e *cache.Entry) { e.CostMicroUSD = -1 },
	} {
		e := answer("a", now)
		spoil(&e)
		c.Put(t.Context(), e)
		if _, _, ok := c.Get(t.Context(), cache.Ask{Family: e.Family, Key: e.Key}); ok {
			t.Errorf("an answer that is %s was kept", name)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("%v %v", entries, err)
	}
}

func TestFolderMayBeDeletedAtAnyTime(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cache")
	c := open(t, dir)
	ctx, cancel := context.WithCancel(t.Context())
	var run sync.WaitGroup
	run.Go(func() { c.Run(ctx) })
	for n := range 20 {
		c.Put(t.Context(), answer("a", time.Now()))
		wantHit(t, c, "a", cache.LevelMemory)
		waitForFile(t, path(dir, "a"))
		waitFor(t, "it cannot be deleted", func() bool { return os.RemoveAll(dir) == nil }) // somebody may write there meanwhile
		waitFor(t, "what was deleted is still given from memory", func() bool {
			_, _, ok := c.Get(t.Context(), ask("a"))
			return !ok
		})
		if n%2 == 0 {
			c.Put(t.Context(), answer("b", time.Now()))
			waitForFile(t, path(dir, "b"))
			must(t, os.RemoveAll(filepath.Join(dir, family)))
		}
	}
	c.Put(t.Context(), answer("a", time.Now()))
	cancel()
	run.Wait()
	if _, err := os.Stat(path(dir, "a")); err != nil {
		t.Error(err)
	}
}

// waitForFile waits until a file is there: while Run runs, files are written behind the requests.
func waitForFile(t *testing.T, path string) {
	t.Helper()
	waitFor(t, "it was never written", func() bool {
		_, err := os.Stat(path)
		return err == nil
	})
}

func waitFor(t *testing.T, otherwise string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !done(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatal(otherwise)
		}
	}
}

func TestReplacedFileIsTheOneThatCounts(t *testing.T) {
	dir := t.TempDir()
	one, other := open(t, dir), open(t, dir)
	one.Put(t.Context(), answer("a", time.Now()))
	wantHit(t, one, "a", cache.LevelMemory)
	e := answer("a", time.Now())
	e.Model = "another"
	other.Put(t.Context(), e)
	if got := wantHit(t, one, "a", cache.LevelDisk); got.Model != "another" {
		t.Errorf("got %s", got.Model)
	}
}

func TestLinksAreNotFollowed(t *testing.T) {
	secrets := t.TempDir()
	real := open(t, secrets)
	real.Put(t.Context(), answer("a", time.Now()))
	t.Run("of files", func(t *testing.T) {
		dir := t.TempDir()
		must(t, os.Mkdir(filepath.Join(dir, family), 0o700))
		must(t, os.Symlink(path(secrets, "a"), path(dir, "a")))
		c := open(t, dir)
		wantMiss(t, c, "a")
		c.Put(t.Context(), answer("a", time.Now())) // takes the link's place, and leaves alone what it led to
		wantHit(t, c, "a", cache.LevelMemory)
		if info, err := os.Lstat(path(dir, "a")); err != nil || !info.Mode().IsRegular() {
			t.Errorf("%v %v", info, err)
		}
	})
	t.Run("of families", func(t *testing.T) {
		dir := t.TempDir()
		must(t, os.Symlink(filepath.Join(secrets, family), filepath.Join(dir, family)))
		c := open(t, dir, onDisk)
		wantMiss(t, c, "a")
		c.Put(t.Context(), answer("b", time.Now()))
		if _, err := os.Stat(path(secrets, "b")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("written through the link: %v", err)
		}
	})
	t.Run("of where files are written", func(t *testing.T) {
		dir, elsewhere := t.TempDir(), t.TempDir()
		must(t, os.Mkdir(filepath.Join(dir, family), 0o700))
		must(t, os.Symlink(elsewhere, filepath.Join(dir, ".writing")))
		c := open(t, dir, onDisk)
		c.Put(t.Context(), answer("a", time.Now()))
		wantMiss(t, c, "a")
	})
	t.Run("and pipes hold nobody up", func(t *testing.T) {
		dir := t.TempDir()
		must(t, os.Mkdir(filepath.Join(dir, family), 0o700))
		must(t, syscall.Mkfifo(path(dir, "a"), 0o600))
		wantMiss(t, open(t, dir), "a")
	})
	t.Run("and folders are no files", func(t *testing.T) {
		dir := t.TempDir()
		must(t, os.MkdirAll(path(dir, "a"), 0o700))
		c := open(t, dir, onDisk)
		wantMiss(t, c, "a")
		c.Put(t.Context(), answer("a", time.Now()))
		wantMiss(t, c, "a")
	})
	wantHit(t, real, "a", cache.LevelMemory)
}

func TestFolderThatCannotBeWrittenIsNobodysFault(t *testing.T) {
	dir := t.TempDir()
	blocked := filepath.Join(dir, "file")
	must(t, os.WriteFile(blocked, nil, 0o600))
	c := open(t, filepath.Join(blocked, "cache"))
	c.Put(t.Context(), answer("a", time.Now()))
	wantHit(t, c, "a", cache.LevelMemory)
	if _, err := cache.New(options("relative")); err == nil {
		t.Error("a relative folder")
	}
}

func TestWithoutAFolderNothingIsWritten(t *testing.T) {
	t.Chdir(t.TempDir())
	c := open(t, "")
	c.Put(t.Context(), answer("a", time.Now()))
	wantHit(t, c, "a", cache.LevelMemory)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c.Run(ctx)
	if entries, err := os.ReadDir("."); err != nil || len(entries) > 0 {
		t.Errorf("%v %v", entries, err)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	c := open(t, "", func(o *cache.Options) { o.MemoryBytes = 20_000 })
	for n := range 200 {
		c.Put(t.Context(), answer(numbered(n), time.Now()))
		wantHit(t, c, numbered(0), cache.LevelMemory) // what is used stays
		if s := c.Stats(); s.MemoryBytes > 20_000 || s.MemoryEntries < 1 {
			t.Fatalf("%+v", s)
		}
	}
	if n := c.Stats().MemoryEntries; n < 10 || n > 40 {
		t.Errorf("%d entries", n)
	}
	wantMiss(t, c, numbered(1))
}

func TestManyUseOneCacheAndOneFolder(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	var runs, users sync.WaitGroup
	for range 3 {
		c := open(t, dir, func(o *cache.Options) { o.Default.MaxBytes = 8000; o.MemoryBytes = 4000 })
		runs.Go(func() { c.Run(ctx) })
		for user := range 4 {
			users.Go(func() {
				for n := range 60 {
					asked := numbered((n + user) % 30)
					if e, _, ok := c.Get(ctx, ask(asked)); ok && !strings.HasSuffix(string(e.Response), asked+`"}`) {
						t.Errorf("%s was answered by %s", asked, e.Response)
					}
					c.Put(ctx, answer(asked, time.Now()))
					c.Stats()
				}
			})
		}
	}
	users.Wait()
	cancel()
	runs.Wait()
}

func TestLeastRecentlyUsedFilesGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		c := open(t, dir, onDisk, func(o *cache.Options) { o.Default = cache.Family{MaxBytes: 20_000} })
		ctx, cancel := context.WithCancel(t.Context())
		var run sync.WaitGroup
		run.Go(func() { c.Run(ctx) })
		const n = 60
		for i := range n {
			e := answer(numbered(i), time.Now())
			e.Expires = e.Created.Add(48 * time.Hour)
			c.Put(ctx, e)
			time.Sleep(2 * time.Minute)
			synctest.Wait()
			wantHit(t, c, numbered(0), cache.LevelDisk)
		}
		synctest.Wait()
		stats, err := cache.Survey(dir, time.Now())
		must(t, err)
		f := stats.Families[0]
		if f.SizeBytes > 20_000 || f.SizeBytes < 10_000 || f.Evicted == 0 {
			t.Errorf("%+v", f)
		}
		wantHit(t, c, numbered(0), cache.LevelDisk)
		wantHit(t, c, numbered(n-1), cache.LevelDisk)
		wantMiss(t, c, numbered(1))
		cancel()
		run.Wait()
	})
}
