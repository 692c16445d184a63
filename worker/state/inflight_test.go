package state_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"flowgate/worker/state"
)

// life is one process of a folder: it opens the file, does something, and ends in order or not.
func life(t *testing.T, dir string, crash bool, do func(*state.Inflight)) {
	t.Helper()
	f, err := state.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	i, err := f.Inflight()
	if err != nil {
		t.Fatal(err)
	}
	do(i)
	if err := i.Close(); err != nil {
		t.Fatal(err)
	}
	lock, err := os.ReadFile(filepath.Join(dir, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if crash { // its name still stands in the lock
		if err := os.WriteFile(filepath.Join(dir, "lock"), lock, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestExitsAreCountedThatNameTheSameMessage(t *testing.T) {
	dir := t.TempDir()
	dies := func(seq uint64) func(*state.Inflight) {
		return func(i *state.Inflight) {
			if _, err := i.Note("WORK", seq); err != nil {
				t.Fatal(err)
			}
		}
	}
	exits := func(want map[uint64]int) func(*state.Inflight) {
		return func(i *state.Inflight) {
			for seq, n := range want {
				if got := i.Exits("WORK", seq); got != n {
					t.Errorf("%d exits with %d, want %d", got, seq, n)
				}
			}
			if i.Exits("INGRESS", 7) != 0 {
				t.Error("another stream's message is blamed")
			}
		}
	}
	life(t, dir, false, dies(7)) // ends in order: the note counts for nothing
	life(t, dir, true, exits(map[uint64]int{7: 0}))
	life(t, dir, true, dies(7))
	life(t, dir, true, dies(123456789))
	life(t, dir, true, func(i *state.Inflight) { exits(map[uint64]int{7: 1, 123456789: 1})(i); dies(7)(i) })
	life(t, dir, false, exits(map[uint64]int{7: 2, 123456789: 1}))
	life(t, dir, true, func(i *state.Inflight) {
		exits(map[uint64]int{7: 2, 8: 0})(i)
		for seq, gone := range map[uint64]bool{7: false, 123456789: true} {
			done, err := i.Note("WORK", seq)
			if err != nil {
				t.Fatal(err)
			}
			done(gone)
		}
	})
	life(t, dir, true, exits(map[uint64]int{7: 2, 123456789: 0}))
	for n := range uint64(101) {
		life(t, dir, true, dies(1000+n))
	}
	life(t, dir, true, exits(map[uint64]int{7: 0, 1000: 0, 1100: 1}))
}

func TestWhatACrashLeftInTheFileIsReadAsFarAsItGoes(t *testing.T) {
	for text, want := range map[string]int{
		`{"now":{"stream":"WORK","seq":7}}` + "\n" + `,"seq":12}}`: 1, `{"now":{"stream":"WORK","s`: 0, "": 0, "\x00\x00": 0,
		`{"now":{"stream":"WORK","seq":7},"suspects":[{"stream":"WORK","seq":7,"exits":2}]}`: 3,
	} {
		dir := t.TempDir()
		life(t, dir, true, func(*state.Inflight) {})
		if err := os.WriteFile(filepath.Join(dir, "inflight"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		life(t, dir, false, func(i *state.Inflight) {
			if got := i.Exits("WORK", 7); got != want {
				t.Errorf("%q: %d exits, want %d", text, got, want)
			}
		})
		if data, err := os.ReadFile(filepath.Join(dir, "inflight")); err != nil || strings.Count(string(data), "\n") != 1 {
			t.Errorf("%q is left: %v", data, err)
		}
	}
}
