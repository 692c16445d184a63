//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"flowgate/worker/postgres/private"
)

// BenchmarkStart starts the real program: from its launch until it says that it is ready, on a machine and in a folder where
// it never ran (first: initdb makes the template of a database), in a new folder (cold: that is copied) and in one that ran
// before (warm), flushing to the disk as it does by default; and the memory of the process at rest, which is the whole of
// `flowgate up` but for the database's own. Wanted: cold under 1.5 s, warm under 0.3 s, rest under 150 MB.
func BenchmarkStart(b *testing.B) {
	binary(b)
	b.Run("first", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			dir := stateFolder(b)
			b.Setenv("FLOWGATE_CACHE", cacheWithPostgres(b))
			b.StartTimer()
			up := start(b, dir)
			b.StopTimer()
			up.Stop(b)
			b.StartTimer()
		}
	})
	b.Run("cold", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			dir := stateFolder(b)
			b.StartTimer()
			up := start(b, dir)
			b.StopTimer()
			up.Stop(b)
			b.StartTimer()
		}
	})
	b.Run("warm", func(b *testing.B) {
		dir := stateFolder(b)
		start(b, dir).Stop(b)
		for b.Loop() {
			up := start(b, dir)
			b.StopTimer()
			up.Stop(b)
			b.StartTimer()
		}
	})
	b.Run("rest", func(b *testing.B) {
		up := start(b, stateFolder(b))
		for b.Loop() {
			<-time.After(2 * time.Second) // what starting took is collected meanwhile
		}
		b.ReportMetric(0, "ns/op") // nothing was timed
		b.ReportMetric(float64(memory(b, up.PID))/1e6, "MB")
	})
}

// cacheWithPostgres is a cache folder that holds nothing but the Postgres that was fetched, if one was.
func cacheWithPostgres(b *testing.B) string {
	b.Helper()
	old, err := private.CacheDir()
	if err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	if err := os.Symlink(filepath.Join(old, "postgres"), filepath.Join(dir, "postgres")); err != nil {
		b.Fatal(err)
	}
	return dir
}

// memory is what the pages of a process in memory weigh, in bytes.
func memory(b *testing.B, pid int) (bytes int) {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "VmRSS:")
	if !found {
		b.Fatalf("no VmRSS in %s", text)
	}
	if _, err := fmt.Sscanf(rest, "%d", &bytes); err != nil {
		b.Fatal(err)
	}
	return bytes * 1024
}
