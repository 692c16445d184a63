package cache_test

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"flowgate/worker/cache"
)

func BenchmarkHitInMemory(b *testing.B) { benchmarkGet(b, cache.LevelMemory, nil) }
func BenchmarkHitOnDisk(b *testing.B)   { benchmarkGet(b, cache.LevelDisk, onDisk) }
func BenchmarkMiss(b *testing.B)        { benchmarkGet(b, "", nil) }

func BenchmarkHitOnEncryptedDisk(b *testing.B) {
	benchmarkGet(b, cache.LevelDisk, func(o *cache.Options) { onDisk(o); sealed(o) })
}

// benchmarkGet asks again and again, among a thousand answers of some 3 KB; it reports the slowest of a hundred beside the mean.
func benchmarkGet(b *testing.B, level cache.Level, change func(*cache.Options)) {
	if change == nil {
		change = func(*cache.Options) {}
	}
	dir := b.TempDir()
	c := open(b, dir, change, func(o *cache.Options) { o.Default.MaxBytes = 1 << 30; o.MemoryBytes *= 64 })
	const n = 1000
	asks := make([]cache.Ask, n)
	for i := range n {
		e := answer(numbered(i), time.Now())
		e.Request = json.RawMessage(`"` + strings.Repeat("what is asked ", 200) + `"`)
		c.Put(b.Context(), e)
		asks[i] = ask(numbered(i))
		if level == "" {
			asks[i].Key = keyOf("never asked" + numbered(i))
		}
	}
	times := make([]time.Duration, 0, 1<<20)
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		began := time.Now()
		_, found, _ := c.Get(b.Context(), asks[i%n])
		if len(times) < cap(times) {
			times = append(times, time.Since(began))
		}
		if found != level {
			b.Fatalf("found at %q", found)
		}
		i++
	}
	quantile(b, times)
}

func BenchmarkPut(b *testing.B) {
	c := open(b, filepath.Join(b.TempDir(), "cache"), func(o *cache.Options) { o.Default.MaxBytes = 1 << 40 })
	e := answer("a", time.Now())
	e.Request = json.RawMessage(`"` + strings.Repeat("what is asked ", 200) + `"`)
	times := make([]time.Duration, 0, 1<<20)
	b.ReportAllocs()
	for b.Loop() {
		began := time.Now()
		c.Put(b.Context(), e)
		if len(times) < cap(times) {
			times = append(times, time.Since(began))
		}
	}
	quantile(b, times)
}

func quantile(b *testing.B, times []time.Duration) {
	b.Helper()
	slices.Sort(times)
	if len(times) > 0 {
		b.ReportMetric(float64(times[len(times)*99/100].Nanoseconds()), "p99-ns")
	}
}
