package main

import (
	"testing"
	"time"
)

func TestMoment(t *testing.T) {
	now := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"+10m": now.Add(10 * time.Minute), "1h30m": now.Add(90 * time.Minute), "2026-02-01T00:00:00Z": now.Add(12 * time.Hour),
		"2026-02-01T00:00:00+01:00": now.Add(11 * time.Hour),
	} {
		if got, err := moment("run-at", text, now); err != nil || !got.Equal(want) {
			t.Errorf("%s is %s, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "soon", "-10m", "10", "2026-02-01"} {
		if at, err := moment("run-at", text, now); err == nil {
			t.Errorf("%q is %s", text, at)
		}
	}
}
