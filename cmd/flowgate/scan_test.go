package main

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"flowgate/pipelines/privacy"
)

func scanned(t *testing.T, text string, args ...string) (string, int) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return inside(t, append([]string{"scan", path}, args...)...)
}

// TestScanTellsWhereAndNeverWhat: lines, columns and types for people, one document for machines, and no value in either.
func TestScanTellsWhereAndNeverWhat(t *testing.T) {
	t.Parallel()
	const text = "Grüße,\nwrite to anna.b@example.com\u200b or\n  pay with 4111 1111 1111 1111.\n"
	people, code := scanned(t, text)
	if code != exitDone || !strings.Contains(people, "2     10      EMAIL_ADDRESS  18 ") || !strings.Contains(people, "3     12      CREDIT_CARD    19 ") ||
		!strings.Contains(people, "2 found: CREDIT_CARD 1, EMAIL_ADDRESS 1. Not covered: names, postal addresses.") {
		t.Errorf("exit code %d:\n%s", code, people)
	}
	machines, code := scanned(t, text, "--json")
	var said struct {
		Characters int                  `json:"characters"`
		Counts     map[privacy.Type]int `json:"counts"`
		Findings   []privacy.Finding    `json:"findings"`
		NotCovered []string             `json:"not_covered"`
	}
	if err := json.Unmarshal([]byte(machines), &said); err != nil || code != exitDone || said.Characters != len([]rune(text)) ||
		len(said.Findings) != 2 || said.Findings[0].Start != 16 || said.Findings[0].End != 34 || said.Counts[privacy.TypeCard] != 1 || len(said.NotCovered) != 2 {
		t.Errorf("exit code %d, %v:\n%s", code, err, machines)
	}
	for _, value := range []string{"anna", "4111"} {
		if strings.Contains(people+machines, value) {
			t.Errorf("it prints %s", value)
		}
	}
	if none, code := scanned(t, "nothing"); code != exitDone || !strings.Contains(none, "nothing found") {
		t.Errorf("exit code %d: %s", code, none)
	}
	if none, _ := scanned(t, "", "--json"); !strings.Contains(none, `"findings": []`) {
		t.Errorf("an empty file: %s", none)
	}
}

// TestScanOfLinesAnswersEachLine: the bad ones too, by number and without what they hold; then it fails.
func TestScanOfLinesAnswersEachLine(t *testing.T) {
	t.Parallel()
	const lines = `{"text":"Grüße an anna.b@example.com"}` + "\r\n" + `nope hunter2` + "\n\n" + `{"text":7}` + "\n" + `{"id":"x"}` + "\n" + `{"text":"fine","id":1}`
	out, code := scanned(t, lines, "--jsonl", "--json")
	if code != exitFailed {
		t.Errorf("exit code %d", code)
	}
	var all []scannedLine
	for s := bufio.NewScanner(strings.NewReader(strings.TrimSuffix(out, "flowgate: said"))); s.Scan(); {
		var l scannedLine
		if err := json.Unmarshal(s.Bytes(), &l); err != nil {
			t.Fatalf("%s: %v", s.Text(), err)
		}
		all = append(all, l)
	}
	if len(all) != 6 || strings.Contains(out, "hunter2") || strings.Contains(out, "null") {
		t.Fatalf("%s", out)
	}
	for i, l := range all {
		if l.Line != i+1 || (l.Error == "") != (i == 0 || i == 5) {
			t.Errorf("line %d: %+v", i+1, l)
		}
	}
	if f := all[0].Findings; len(f) != 1 || f[0].Start != 9 || f[0].End != 27 || f[0].Type != privacy.TypeEmail {
		t.Errorf("%+v", f)
	}
	people, code := scanned(t, lines, "--jsonl")
	if code != exitFailed || !strings.Contains(people, "line 1: EMAIL_ADDRESS 1\n") || !strings.Contains(people, "line 5: has no key text\n") ||
		!strings.Contains(people, ", 6 lines, 4 of them unreadable: 1 found: EMAIL_ADDRESS 1.") {
		t.Errorf("exit code %d:\n%s", code, people)
	}
	if out, code := scanned(t, "\ufeff"+`{"text":"a@b.io"}`, "--jsonl"); code != exitDone || !strings.Contains(out, "line 1: EMAIL_ADDRESS 1\n") {
		t.Errorf("a byte order mark: exit code %d, %q", code, out)
	}
	if out, code := scanned(t, "", "--jsonl", "--json"); code != exitDone || out != "" {
		t.Errorf("no lines: exit code %d, %q", code, out)
	}
	if out, code := scanned(t, `{"text":"`+strings.Repeat("7", longestLine)+`"}`+"\n"+`{"text":"a@b.io"}`, "--jsonl"); code != exitFailed ||
		!strings.Contains(out, "line 1: is longer than 16 MiB") || !strings.Contains(out, "line 2: EMAIL_ADDRESS 1") {
		t.Errorf("a long line: exit code %d, %.300q", code, out)
	}
}

func TestScanNamesWhatItCannotRead(t *testing.T) {
	t.Parallel()
	if out, code := inside(t, "scan", t.TempDir()); code != exitUsage || !strings.Contains(out, "is a folder") {
		t.Errorf("a folder: exit code %d, %s", code, out)
	}
	if out, code := inside(t, "scan", filepath.Join(t.TempDir(), "none")); code != exitUsage || !strings.Contains(out, "none") {
		t.Errorf("no file: exit code %d, %s", code, out)
	}
	if out, code := scanned(t, strings.Repeat("x", largestScan+1)); code != exitUsage || !strings.Contains(out, "more than 64 MiB") {
		t.Errorf("a large file: exit code %d, %.200s", code, out)
	}
}
