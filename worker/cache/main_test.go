package cache_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"flowgate/messages"
	"flowgate/worker/cache"
)

const writerDir = "FLOWGATE_TEST_CACHE_WRITER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(writerDir); dir != "" {
		writeUntilKilled(dir)
	}
	goleak.VerifyTestMain(m)
}

const family = "claude"

func keyOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// answer is an entry for what is asked, which counts for an hour.
func answer(asked string, now time.Time) cache.Entry {
	response, err := json.Marshal(map[string]string{"text": "the answer to " + asked})
	if err != nil {
		panic(err)
	}
	return cache.Entry{
		Key: keyOf(asked), Family: family, Created: now, Expires: now.Add(time.Hour), Model: "claude-3", Backend: "bedrock",
		Request: json.RawMessage(`{"messages":["<EMAIL_1>"]}`), Response: response, Usage: messages.Usage{InputUncached: 10, Output: 20}, Seconds: 1.5, CostMicroUSD: 330,
	}
}

func options(dir string) cache.Options {
	return cache.Options{Dir: dir, Default: cache.Family{MaxBytes: 1 << 20, Compress: true}, MemoryBytes: 1 << 20}
}

func open(t testing.TB, dir string, change ...func(*cache.Options)) *cache.Cache {
	t.Helper()
	o := options(dir)
	for _, c := range change {
		c(&o)
	}
	c, err := cache.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// onDisk has no memory: every look is at a file.
func onDisk(o *cache.Options) { o.MemoryBytes = 0 }

func ask(asked string) cache.Ask { return cache.Ask{Family: family, Key: keyOf(asked)} }

func wantHit(t testing.TB, c *cache.Cache, asked string, level cache.Level) cache.Entry {
	t.Helper()
	e, found, ok := c.Get(t.Context(), ask(asked))
	if !ok || found != level || !strings.Contains(string(e.Response), "answer to "+asked) {
		t.Fatalf("%s: %t at %q (%s), want a hit at %s", asked, ok, found, e.Response, level)
	}
	return e
}

func wantMiss(t testing.TB, c *cache.Cache, asked string) {
	t.Helper()
	if e, level, ok := c.Get(t.Context(), ask(asked)); ok {
		t.Fatalf("%s: a hit at %s (%s), want a miss", asked, level, e.Response)
	}
}

func path(dir, asked string) string { return filepath.Join(dir, family, keyOf(asked)+".json.gz") }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func numbered(n int) string { return fmt.Sprintf("question %d", n) }
