package configs

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestAPipeIsNoFileOfSettings: whoever opened it would wait for its other end for good. A link to a file is one.
func TestAPipeIsNoFileOfSettings(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	pipe, link, file := filepath.Join(folder, "pipe.yaml"), filepath.Join(folder, "link"), filepath.Join(t.TempDir(), "agreements.yaml")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, embeddedAgreements, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	_, agreements := LoadAgreements(pipe)
	_, actions := LoadActions(folder)
	_, _, settings := Load(pipe, func(string) (string, bool) { return "", false })
	for of, err := range map[string]error{"agreements": agreements, "actions": actions, "settings": settings} {
		if err == nil || !strings.Contains(err.Error(), "is no regular file") {
			t.Errorf("%s: %v", of, err)
		}
	}
	if all, err := LoadAgreements(link); err != nil || len(all) == 0 {
		t.Errorf("got %d agreements, %v", len(all), err)
	}
}
